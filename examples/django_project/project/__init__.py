"""A project with an API whose clients are registered in the database."""

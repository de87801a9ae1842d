"""The PostgreSQL server: the front end that verifies tokens, the real server behind it, and the certificates."""

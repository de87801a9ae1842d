"""What the API is about."""

"""The app with the orders and their API."""

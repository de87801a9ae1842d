"""A backend derived from this package's, as other packages and projects have them."""

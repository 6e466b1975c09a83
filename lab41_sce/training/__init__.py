"""A method and its mixtures become weights."""

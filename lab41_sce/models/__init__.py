"""Keras layers and models: front end, networks, and what a saved model holds."""

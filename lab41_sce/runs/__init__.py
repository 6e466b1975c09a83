"""Configurations are checked, and one folder keeps all of one run."""

"""A configuration is checked and becomes one run in one folder."""

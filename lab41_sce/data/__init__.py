"""Corpora of single speakers become splits, mixtures for training, and fixed evaluation sets."""

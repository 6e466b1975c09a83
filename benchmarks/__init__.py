"""Benchmarks of training, separation, scoring and corpora: `make bench`, or `python -m benchmarks RESULTS`."""

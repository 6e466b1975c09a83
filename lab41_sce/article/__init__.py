"""Runs become the figures of the article, and verdicts on its claims (arXiv 1705.04662)."""

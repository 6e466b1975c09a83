"""The article's figures and claims, drawn and judged from our own runs (arXiv 1705.04662)."""

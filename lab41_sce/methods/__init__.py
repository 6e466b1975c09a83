"""One file for each system of the article: a loss to train with, or masks for a mixture."""

"""One file for each system: a loss to train with, and masks for a mixture."""

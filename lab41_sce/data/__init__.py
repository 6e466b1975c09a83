"""Speech of known speakers becomes splits, mixtures to train on, and frozen evaluation sets."""

"""A page to separate recordings on, to look at how, and to listen: `python -m lab41_sce.demo`."""

"""The systems that the article compares, one file each: a loss to train a model with, or masks for a mixture.

The settings of each system stand in `experiments/method/NAME.yaml`, with default, unit and range; the `build` functions
here have no defaults. `yaml_defaults.with_yaml_defaults` applies those of the YAML in Python.
"""

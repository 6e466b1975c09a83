"""Keras layers and models: front end, networks, and the models that a run saves."""

from typing import Any, TypeAlias

# A tensor of the Keras backend, or a NumPy array where the function also accepts one. The backends share no type.
Tensor: TypeAlias = Any

"""A model that an earlier run has trained, scored as it is, or with another way from its vectors to masks."""

from collections.abc import Mapping
from pathlib import Path

from lab41_sce.errors import UserError


def build(setup, path: str | Path, changes: Mapping | None = None):
    """Return the system of a trained model; it is loaded when it first separates, so that its run may come before.

    Args:
        setup: a `Setup`; nothing of it is used.
        path: see `Separator.load`.
        changes: attributes of the model to set, such as `{"soft_scale": None}`.

    Returns:
        A function of a `Mixture`.
    """
    loaded = []

    def masks(mixture):
        if not loaded:
            loaded.append(_load(path, changes or {}))
        return loaded[0].masks(mixture.signal, mixture.n_speakers)

    return masks


def _load(path, changes):
    """Load a model and change it."""
    from lab41_sce.separation import Separator  # which imports the methods

    model = Separator.load(path).model
    for name, value in changes.items():
        if not hasattr(model, name):
            raise UserError(f"changes.{name}={value} is not possible: the model of {path} has no {name}.")
        setattr(model, name, value)
    return model

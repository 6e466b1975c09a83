"""A trained model and a recording become one signal for each speaker.

`separate` and `Separator` are imported on first use, so that the import of the package is quick.
"""

from typing import Any


def __getattr__(name: str) -> Any:
    """Import `separate` or `Separator`."""
    if name not in ("Separator", "separate"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from lab41_sce.separation import separator

    return getattr(separator, name)

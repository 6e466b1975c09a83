"""Separate recordings of several people who speak at once into one signal for each speaker.

    import lab41_sce as sce

    voices = sce.separate("talk.wav").voices

A reproduction of source-contrastive estimation (Stephenson, Callier, Ganesh and Ni, 2017, arXiv:1705.04662) in Keras
and TensorFlow: corpora, mixtures, networks, the systems that the article compares, their training, scores and report.

The names below are imported on first use, so that the import of the package is quick. `__init__.pyi` lists the same
names for type checkers and editors. TensorFlow writes no messages when a name below imports it, unless
`TF_CPP_MIN_LOG_LEVEL` is 0, 1 or 2 (`quiet.py`). If TensorFlow is imported after this package, it computes with oneDNN
on every x86 processor, unless `TF_ENABLE_ONEDNN_OPTS` is 0 (`onednn.py`).
"""

import os
from importlib import import_module
from typing import Any

from lab41_sce.onednn import prefer_onednn
from lab41_sce.quiet import LEVEL_VARIABLE, quiet_tensorflow

__version__ = "0.3.0"

MODULES = {
    "Separator": "lab41_sce.separation.separator",
    "evaluation_mixtures": "lab41_sce.runs.run_mixtures",
    "load_audio": "lab41_sce.audio",
    "score": "lab41_sce.evaluation.metrics",
    "separate": "lab41_sce.separation.separator",
    "training_batches": "lab41_sce.runs.run_mixtures",
}

__all__ = ["__version__", *MODULES]

prefer_onednn()
if LEVEL_VARIABLE in os.environ:  # set by the user, or by the command that started this worker process
    quiet_tensorflow()


def __getattr__(name: str) -> Any:
    """Import a public name from its module."""
    if name not in MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    quiet_tensorflow()
    return getattr(import_module(MODULES[name]), name)


def __dir__() -> list[str]:
    """List the public names, including those that are not imported yet."""
    return __all__

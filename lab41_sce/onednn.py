"""TensorFlow computes with the library oneDNN on every x86 processor, unless `TF_ENABLE_ONEDNN_OPTS` is set to 0.

By default, TensorFlow 2.21 uses it only on processors with instructions for neural networks, such as AVX-512 VNNI, and
not on many laptops, where an update of a training then takes longer (results/performance/onednn).
"""

import os
import platform

VARIABLE = "TF_ENABLE_ONEDNN_OPTS"  # TensorFlow reads it once, when it is imported


def prefer_onednn() -> None:
    """Set the variable for this process and those that it starts, unless it is set or this is no x86 processor."""
    if platform.machine().lower() in ("x86_64", "amd64"):
        os.environ.setdefault(VARIABLE, "1")

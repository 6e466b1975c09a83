"""The folder `experiments/` with the configurations: inside an installed package, beside the package in a checkout."""

from pathlib import Path

_INSTALLED = Path(__file__).parent / "experiments"
CONFIG_PATH = _INSTALLED if _INSTALLED.is_dir() else Path(__file__).parent.parent / "experiments"

"""What was measured for a model becomes a JSON file beside the model, and is read and checked again.

    sce.keras  ->  sce.counting.json, sce.verification.json, sce.turns.json, sce.confidence.json

Such values depend on the network, so each file contains the checksum of the network's weights, `network`. That of turns
also depends on the first two files, and has a checksum of them.
"""

import json
import zlib
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from lab41_sce.atomic_write import write_text
from lab41_sce.errors import UserError
from lab41_sce.plain_data import read_json

T = TypeVar("T")


def calibration_path(model_file: Path, kind: str) -> Path:
    """Return the path of the values of a kind for a model file: `sce.counting.json` for `sce.keras` and "counting"."""
    return model_file.with_name(f"{model_file.name.removesuffix('.keras')}.{kind}.json")


def weights_checksum(model: Any) -> int:
    """Compute a checksum of the weights of a model's network."""
    checksum = 0
    for weights in model.network.get_weights():
        checksum = zlib.crc32(np.ascontiguousarray(weights, np.float32).tobytes(), checksum)
    return checksum


def write_calibration(values: Any, model_file: Path, kind: str) -> Path:
    """Write a dataclass as JSON beside a model file; return the path."""
    path = calibration_path(model_file, kind)
    write_text(path, json.dumps(asdict(values)) + "\n")
    return path


def read_calibration(model_file: Path, kind: str, model: Any, build: Callable[[dict[str, Any]], T],
                     without: str, made_for: int | None = None) -> T | None:
    """Read the values of a kind beside a model file.

    Args:
        model_file: file of the model.
        kind: see `calibration_path`.
        model: the model.
        build: makes the result of the contents of the file; raises ValueError, or another error of wrong values, if
            the contents are not possible.
        without: what a model without this file does, such as "separate without warnings".
        made_for: checksum that the file contains; None for that of the weights of the network.

    Returns:
        The result of `build`; None if there is no file.

    Raises:
        UserError: the file is damaged, or was made for another network or by another version.
    """
    path = calibration_path(model_file, kind)
    if not path.exists():
        return None
    values, wrong = read_json(path), ""
    try:
        built = build(values)
    except (TypeError, ValueError, KeyError, AttributeError, OverflowError) as error:
        wrong = f"is damaged, or was made by another version of this program ({error})"
    else:
        if made_for is None and values["network"] != weights_checksum(model):
            wrong = f"was made for another network than that of {model_file.name}"
        if made_for is not None and values["network"] != made_for:
            wrong = f"was made for other calibrations than those beside {model_file.name}"
    if wrong:
        raise UserError(f"{path} {wrong}; calibrate the model again, or delete {path.name} to {without}.")
    return built

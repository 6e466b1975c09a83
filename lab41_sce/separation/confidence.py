"""The confidence of a separation becomes a warning: these voices may each hold parts of the others.

The confidence at which voices still hold parts of each other differs between two and more people, so each number has a
threshold. Below the threshold, a voice more probably gains less than `limit_db` of SI-SDR than more.
`tools/model/calibrate_confidence.py` measures the thresholds of the shipped model and writes them as JSON beside the
model: `sce.keras` and `sce.confidence.json`. The file names the weights of its network.
"""

import json
import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from lab41_sce.atomic_write import write_text
from lab41_sce.errors import UserError
from lab41_sce.plain_data import read_json
from lab41_sce.separation.count_classifier import weights_checksum

SUFFIX = ".confidence.json"


@dataclass(frozen=True)
class ConfidenceThresholds:
    """Hold the confidence below which the voices of a model may hold parts of each other.

    Attributes:
        network: checksum of the weights of the network (`weights_checksum`).
        limit_db: SI-SDR improvement below which a separation counts as bad, in dB.
        thresholds: of each number of voices, written in digits; more voices have the threshold of the largest number.
    """

    network: int
    limit_db: float
    thresholds: dict[str, float]

    def is_low(self, confidence: float, n_speakers: int) -> bool:
        """Return whether the confidence of a separation into `n_speakers` voices is low; False for NaN."""
        known = [threshold for number, threshold in self.thresholds.items() if int(number) <= n_speakers]
        return bool(known) and confidence < known[-1]

    def write(self, model_file: Path) -> Path:
        """Write the thresholds beside a model file; return their path."""
        path = beside(model_file)
        write_text(path, json.dumps(asdict(self), indent=2) + "\n")
        return path


def beside(model_file: Path) -> Path:
    """Return the path of the thresholds of a model file: `sce.confidence.json` for `sce.keras`."""
    return model_file.with_name(model_file.name.removesuffix(".keras") + SUFFIX)


def read_thresholds(model_file: Path, model: Any) -> ConfidenceThresholds | None:
    """Read the thresholds beside a model file.

    Args:
        model_file: file of the model.
        model: the model.

    Returns:
        The thresholds; None if the model has none.

    Raises:
        UserError: the file is damaged, or was made for another network.
    """
    path = beside(model_file)
    if not path.exists():
        return None
    values = read_json(path)
    try:
        read = ConfidenceThresholds(**values)
        numbers = [int(number) for number in read.thresholds]
        fits = (numbers and numbers == sorted(numbers) and numbers[0] >= 2 and math.isfinite(read.limit_db)
                and all(0 <= threshold <= 1 for threshold in read.thresholds.values()))
    except (TypeError, ValueError, AttributeError):
        fits = False
    if not fits:
        raise UserError(f"{path} is damaged: it does not hold a threshold from 0 to 1 for each number of voices; "
                        "delete it to separate without warnings.")
    if read.network != weights_checksum(model):
        raise UserError(f"{path} was made for another network than that of {model_file.name}; delete it to separate "
                        "without warnings.")
    return read

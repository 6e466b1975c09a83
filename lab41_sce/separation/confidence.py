"""The confidence of a separation becomes a warning: these voices may each hold parts of the others.

The confidence at which voices still hold parts of each other differs between two and more people, so each number has a
threshold. It divides voices that gain less than `limit_db` of SI-SDR from the others, where both are equally frequent.

`lab41-sce calibrate` measures the thresholds (`evaluation/confidence_calibration.py`) and writes them as JSON beside
the model: `sce.keras` and `sce.confidence.json`. The file names the weights of its network.
"""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lab41_sce.separation.calibration_file import read_calibration, write_calibration

KIND = "confidence"


@dataclass(frozen=True)
class ConfidenceThresholds:
    """Hold the confidence below which the voices of a model may hold parts of each other.

    Attributes:
        network: checksum of the weights of the network (`weights_checksum`).
        limit_db: SI-SDR improvement below which a separation counts as bad, in dB.
        thresholds: of each number of voices, written in digits; more voices have the threshold of the largest number.
        calibration: with what mixtures the thresholds were fitted, and how often they are right.
    """

    network: int
    limit_db: float
    thresholds: dict[str, float]
    calibration: dict[str, Any]

    def is_low(self, confidence: float, n_speakers: int) -> bool | None:
        """Return whether the confidence of a separation into `n_speakers` voices is low.

        A single voice has no confidence, which is not low. Of several, None for NaN, as of silence.
        """
        if n_speakers > 1 and math.isnan(confidence):
            return None
        known = [threshold for number, threshold in self.thresholds.items() if int(number) <= n_speakers]
        return bool(known) and confidence < known[-1]

    def write(self, model_file: Path) -> Path:
        """Write the thresholds beside a model file; return their path."""
        return write_calibration(self, model_file, KIND)


def read_thresholds(model_file: Path, model: Any) -> ConfidenceThresholds | None:
    """Read the thresholds beside a model file; None if there are none (`read_calibration`)."""
    return read_calibration(model_file, KIND, model, _build, "separate without warnings")


def _build(values: dict[str, Any]) -> ConfidenceThresholds:
    """Make thresholds of the contents of a file; raise ValueError if they are not possible."""
    read = ConfidenceThresholds(**values)
    numbers = [int(number) for number in read.thresholds]
    if not (numbers and numbers == sorted(numbers) and numbers[0] >= 2 and math.isfinite(read.limit_db)
            and all(0 <= threshold <= 1 for threshold in read.thresholds.values())):
        raise ValueError("the file does not hold a threshold from 0 to 1 for each number of voices")
    return read

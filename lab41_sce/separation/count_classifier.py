"""The numbers of a recording `[D]` become the probability of each number of speakers `[5]`: multinomial regression.

    p = softmax(W (x - mean) / scale + b)

The numbers are those of `count_features.py` and, where one was trained, the scores of a network
(`models/count_network.py`). A second classifier counts again in recordings with enough speech; its numbers are those of
`turn_numbers.py`. `lab41-sce calibrate` fits both to one embedding network and writes them as JSON beside the model:
`sce.keras`, `sce.counting.json` and `sce.turns.json`. The numbers of another network have other distributions, so the
files contain checksums.
"""

import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np

from lab41_sce.models.count_network import CountedFrames, CountNetwork
from lab41_sce.separation.calibration_file import read_calibration, write_calibration
from lab41_sce.separation.count_features import feature_names
from lab41_sce.separation.turn_numbers import turn_names
from lab41_sce.separation.verification import Verification

MAX_FEATURES, MAX_NUMBER = 1000, 20  # larger files are refused
CLIP = 5.0  # a number further from the mean counts as so many deviations: the fit does not reach further
KIND, TURNS_KIND = "counting", "turns"


@dataclass(frozen=True)
class CountClassifier:
    """Hold the fitted regression for S = 1 to `most` speakers.

    Attributes:
        network: checksum of the weights of the network (`weights_checksum`), or `fitted_to`.
        features: names of the numbers (`count_features` and `score_names`, or `turn_numbers`), D.
        mean, scale: of each number over the calibration mixtures, D each; scales are positive.
        weights: W, `most` rows of D.
        bias: b, `most`.
        calibration: what was measured by cross-validation, for the reader of the file.
        count_network: `CountNetwork.to_json`; None without scores of a network.
    """

    network: int
    features: list[str]
    mean: list[float]
    scale: list[float]
    weights: list[list[float]]
    bias: list[float]
    calibration: dict[str, Any]
    count_network: dict[str, Any] | None = None

    @property
    def most(self) -> int:
        """The largest number of speakers."""
        return len(self.bias)

    def scores(self, frames: Callable[[], Sequence[CountedFrames]]) -> dict[str, float]:
        """Compute the scores of the network by name; none without a network.

        Args:
            frames: returns those of the windows of a recording.
        """
        return named_scores(self._network, frames()) if self._network else {}

    @cached_property
    def _network(self) -> CountNetwork | None:
        return None if self.count_network is None else CountNetwork.from_json(self.count_network)

    def probabilities(self, numbers: dict[str, float], fewest: int = 1, most: int | None = None) -> dict[int, float]:
        """Compute the probability of each number of speakers.

        Args:
            numbers: of the recording, by name.
            fewest: smallest possible number of speakers.
            most: largest possible number; None for the classifier's.

        Returns:
            The probabilities of `fewest` to `most` speakers; they sum to one.
        """
        values = np.array([numbers[name] for name in self.features])
        standard = np.clip((values - self.mean) / self.scale, -CLIP, CLIP)
        logits = (np.asarray(self.weights) @ standard + self.bias)[fewest - 1 : most]
        shares = np.exp(logits - logits.max())
        return dict(enumerate((shares / shares.sum()).tolist(), start=fewest))

    def write(self, model_file: Path, kind: str = KIND) -> Path:
        """Write the classifier beside a model file; return its path."""
        return write_calibration(self, model_file, kind)


def named_scores(network: CountNetwork, frames: Sequence[CountedFrames]) -> dict[str, float]:
    """Compute the scores of a network by name."""
    scores = network.scores(frames)
    return dict(zip(score_names(len(scores)), map(float, scores - scores.mean()), strict=True))


def score_names(most: int) -> list[str]:
    """Return the names of the scores of 1 to `most` speakers."""
    return [f"score_{number}" for number in range(1, most + 1)]


def read_classifier(model_file: Path, model: Any) -> CountClassifier | None:
    """Read the classifier beside a model file; None if there is none (`read_calibration`)."""
    return read_calibration(model_file, KIND, model, _build, "count with the model's threshold")


def read_turn_classifier(model_file: Path, model: Any, counting: CountClassifier | None,
                         verification: Verification | None) -> CountClassifier | None:
    """Read the classifier of `turn_numbers` beside a model file (`read_calibration`).

    Returns:
        The classifier; None if there is none, or if a file that it was fitted to is missing.
    """
    if counting is None or verification is None:
        return None
    build = partial(_build, known=turn_names(counting.most))
    return read_calibration(model_file, TURNS_KIND, model, build, "count only people who talk at once",
                            fitted_to(counting, verification))


def fitted_to(counting: CountClassifier, verification: Verification) -> int:
    """Compute a checksum of the classifier and the verification that a classifier of `turn_numbers` is fitted to."""
    checksum = 0
    for numbers in (counting.weights, counting.bias, verification.projection, verification.classes.means):
        checksum = zlib.crc32(np.asarray(numbers, float).tobytes(), checksum)
    return checksum


def _build(values: dict[str, Any], known: Sequence[str] | None = None) -> CountClassifier:
    """Make a classifier of the contents of a file; raise ValueError if they are not possible.

    Args:
        values: contents of the file.
        known: names of the numbers that can be computed; None for those of `count_features` and of the network.
    """
    classifier = CountClassifier(**values)
    matrix = [np.asarray(row, float) for row in (classifier.mean, classifier.scale, *classifier.weights)]
    bias = np.asarray(classifier.bias, float)
    n_features, n_numbers = len(classifier.features), len(bias)
    if not (1 <= n_features <= MAX_FEATURES and 2 <= n_numbers <= MAX_NUMBER and bias.ndim == 1
            and len(classifier.weights) == n_numbers and all(row.shape == (n_features,) for row in matrix)
            and all(np.isfinite(row).all() for row in (*matrix, bias)) and min(classifier.scale) > 0):
        raise ValueError("the tables do not hold finite numbers for each feature")
    if known is None:
        known = [*feature_names(), *(score_names(n_numbers) if classifier._network else [])]
    if unknown := set(classifier.features) - set(known):
        raise ValueError(f"{len(unknown)} unknown features, such as {min(map(str, unknown))}")
    return classifier

"""The vectors of a recording say how many people talk: 1, 2 or 3.

Training pulls the vectors of one speaker together. So those of one voice lie close around a single centre, those of two
voices around two and around no single one, and so on: the count is the smallest number of clusters whose vectors lie
close to their centres.
"""

from dataclasses import dataclass

import numpy as np

from lab41_sce.clustering import fit_centres

MOST_COUNTED = 3
RANGE_DB = 30.0  # bins further below the peak do not count; all others count alike, so that a quiet voice does, too
VECTORS = 5000  # are enough: with 2,000 the spreads are the same to three digits
CLOSE = 0.08  # so near to the threshold, as a share of it, the count is wrong in a third of the validation mixtures


@dataclass(frozen=True)
class Count:
    """Hold how many people talk and why.

    Attributes:
        n_speakers: the number.
        spreads: for 1, 2, ... clusters: mean squared distance of the vectors from their centres.
        spread: what it is at most where each cluster is a voice.
    """

    n_speakers: int
    spreads: tuple[float, ...]
    spread: float

    def __str__(self):
        """Say it in a sentence."""
        if not self.spreads:
            return "nobody is heard: the recording comes back as one voice"
        people = "1 person talks" if self.n_speakers == 1 else f"{self.n_speakers} people talk"
        scatter = ", ".join(f"{spread:.2f} if {n}" for n, spread in enumerate(self.spreads, start=1))
        counted = f"{people} (the sounds of each scatter by {scatter}; less than {self.spread:g} is usual)"
        if self.alternative:
            counted += f"; a close call, it could be {self.alternative}: say how many, if you know"
        return counted

    @property
    def alternative(self) -> int | None:
        """The number that it would be had the threshold been a little, `CLOSE`, lower or higher; None if the same."""
        most = len(self.spreads) + 1
        numbers = {decide(self.spreads, self.spread * factor, most) for factor in (1 - CLOSE, 1 + CLOSE)}
        return next(iter(numbers - {self.n_speakers}), None)


def spread_around(vectors: np.ndarray, centres: np.ndarray) -> float:
    """Measure how far vectors lie from the nearest centre: mean squared distance.

    Args:
        vectors: float32 `[n, K]`, n at least 1.
        centres: `[S, K]`.

    Returns:
        At least 0; of unit vectors, at most about 1.
    """
    # |v - c|^2 = |v|^2 - 2 (<v, c> - |c|^2 / 2)
    nearness = (vectors @ centres.T - 0.5 * (centres**2).sum(axis=1)).max(axis=1)
    return float(np.mean((vectors**2).sum(axis=1) - 2 * nearness))


def decide(spreads, spread: float, most: int = MOST_COUNTED) -> int:
    """Return the smallest number of clusters, from 1 on, whose spread is small enough; else `most`."""
    return next((n for n, value in enumerate(spreads, start=1) if value < spread), most)


def count_speakers(vectors: np.ndarray, spread: float, most: int = MOST_COUNTED) -> Count:
    """Count the speakers; silence is one.

    Args:
        vectors: of bins at most `RANGE_DB` below the peak, float32 `[n, K]`.
        spread: the largest spread of voices, see `EmbeddingModel`.
        most: the largest number to think of.
    """
    if not len(vectors):
        return Count(1, (), spread)
    vectors = vectors[:: -(-len(vectors) // VECTORS)]
    alike = np.ones(len(vectors), np.float32)
    spreads = tuple(spread_around(vectors, fit_centres(vectors, alike, n)) for n in range(1, most))
    return Count(decide(spreads, spread, most), spreads, spread)

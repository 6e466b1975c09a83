"""The vectors of a recording say how many people talk: 1, 2 or 3.

Training pulls the vectors of one speaker together. So those of one voice lie close around a single centre, those of two
voices around two and around no single one, and so on: the count is the smallest number of clusters whose vectors lie
close to their centres.
"""

from dataclasses import dataclass

import numpy as np

from lab41_sce.models.clustering import fit_centroids

MAX_COUNTED = 3
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
    cluster_variances: tuple[float, ...]
    cluster_variance: float

    def __str__(self):
        """Say it in a sentence."""
        if not self.cluster_variances:
            return "nobody is heard: the recording comes back as one voice"
        people = "1 person talks" if self.n_speakers == 1 else f"{self.n_speakers} people talk"
        scatter = ", ".join(f"{cluster_variance:.2f} if {n}" for n, cluster_variance in enumerate(self.cluster_variances, start=1))
        counted = f"{people} (the sounds of each scatter by {scatter}; less than {self.cluster_variance:g} is usual)"
        if self.alternative:
            counted += f"; a close call, it could be {self.alternative}: say how many, if you know"
        return counted

    @property
    def alternative(self) -> int | None:
        """The number that it would be had the threshold been a little, `CLOSE`, lower or higher; None if the same."""
        most = len(self.cluster_variances) + 1
        numbers = {decide(self.cluster_variances, self.cluster_variance * factor, most) for factor in (1 - CLOSE, 1 + CLOSE)}
        return next(iter(numbers - {self.n_speakers}), None)


def mean_squared_distance(vectors: np.ndarray, centroids: np.ndarray) -> float:
    """Measure how far vectors lie from the nearest centre: mean squared distance.

    Args:
        vectors: float32 `[n, K]`, n at least 1.
        centres: `[S, K]`.

    Returns:
        At least 0; of unit vectors, at most about 1.
    """
    # |v - c|^2 = |v|^2 - 2 (<v, c> - |c|^2 / 2)
    nearness = (vectors @ centroids.T - 0.5 * (centroids**2).sum(axis=1)).max(axis=1)
    return float(np.mean((vectors**2).sum(axis=1) - 2 * nearness))


def decide(cluster_variances, cluster_variance: float, most: int = MAX_COUNTED) -> int:
    """Return the smallest number of clusters, from 1 on, whose spread is small enough; else `most`."""
    return next((n for n, value in enumerate(cluster_variances, start=1) if value < cluster_variance), most)


def count_speakers(vectors: np.ndarray, cluster_variance: float, most: int = MAX_COUNTED) -> Count:
    """Count the speakers; silence is one.

    Args:
        vectors: of bins at most `RANGE_DB` below the peak, float32 `[n, K]`.
        spread: the largest spread of voices, see `EmbeddingModel`.
        most: the largest number to think of.
    """
    if not len(vectors):
        return Count(1, (), cluster_variance)
    vectors = vectors[:: -(-len(vectors) // VECTORS)]
    equal_weights = np.ones(len(vectors), np.float32)
    cluster_variances = tuple(mean_squared_distance(vectors, fit_centroids(vectors, equal_weights, n)) for n in range(1, most))
    return Count(decide(cluster_variances, cluster_variance, most), cluster_variances, cluster_variance)

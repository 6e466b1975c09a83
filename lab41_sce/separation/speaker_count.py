"""The embeddings of a recording become the number of people who talk: 1, 2 or 3.

Training moves the embeddings of one speaker together. The embeddings of one voice lie close to one centroid, those of
two voices close to two centroids and not to one, and so on. The count is the smallest number of clusters with a mean
squared distance to the centroids below the model's threshold.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lab41_sce.models.clustering import fit_centroids

MAX_SPEAKERS = 3
RANGE_DB = 30.0  # bins further below the peak are left out; the others have equal weights, so quiet voices count
MAX_EMBEDDINGS = 5000  # with 2,000 the variances agree to three digits
UNCERTAIN_SHARE = 0.08  # so close to the threshold, a third of the counts of validation mixtures are wrong


@dataclass(frozen=True)
class SpeakerCount:
    """Hold the number of speakers and the cluster variances that lead to it.

    Attributes:
        n_speakers: the smallest number of clusters with a variance below the threshold.
        cluster_variances: mean squared distance of the embeddings from their centroids, for 1, 2, ... clusters.
        threshold: the model's `cluster_variance`.
    """

    n_speakers: int
    cluster_variances: tuple[float, ...]
    threshold: float

    def __str__(self) -> str:
        """Explain the number in a sentence."""
        if not self.cluster_variances:
            return "the recording is silent: one voice is returned"
        people = "1 person talks" if self.n_speakers == 1 else f"{self.n_speakers} people talk"
        variances = ", ".join(f"{variance:.2f} with {n} {'cluster' if n == 1 else 'clusters'}"
                              for n, variance in enumerate(self.cluster_variances, start=1))
        sentence = f"{people} (cluster variance {variances}; threshold {self.threshold:g})"
        if self.alternative:
            sentence += f"; close to the threshold, it could be {self.alternative}: give the number if you know it"
        return sentence

    @property
    def alternative(self) -> int | None:
        """Return the number with a threshold `UNCERTAIN_SHARE` lower or higher; None if both give the same."""
        most = len(self.cluster_variances) + 1
        numbers = {smallest_fit(self.cluster_variances, self.threshold * factor, most)
                   for factor in (1 - UNCERTAIN_SHARE, 1 + UNCERTAIN_SHARE)}
        return next(iter(numbers - {self.n_speakers}), None)


def mean_squared_distance(embeddings: np.ndarray, centroids: np.ndarray) -> float:
    """Compute the mean squared distance of embeddings from their nearest centroid.

    Args:
        embeddings: float32 `[n, K]`, n at least 1.
        centroids: `[S, K]`.

    Returns:
        At least 0; for embeddings of length one, at most about 1.
    """
    # |v - c|^2 = |v|^2 - 2 (<v, c> - |c|^2 / 2)
    nearness = (embeddings @ centroids.T - 0.5 * (centroids**2).sum(axis=1)).max(axis=1)
    return float(np.mean((embeddings**2).sum(axis=1) - 2 * nearness))


def smallest_fit(cluster_variances: Sequence[float], threshold: float, most: int = MAX_SPEAKERS) -> int:
    """Return the smallest number of clusters, from 1, with a variance below the threshold; else `most`."""
    return next((n for n, variance in enumerate(cluster_variances, start=1) if variance < threshold), most)


def count_speakers(embeddings: np.ndarray, threshold: float, most: int = MAX_SPEAKERS) -> SpeakerCount:
    """Count the speakers of a recording; silence counts as one.

    Args:
        embeddings: of bins at most `RANGE_DB` below the peak, float32 `[n, K]`.
        threshold: the model's `cluster_variance` (see `EmbeddingModel`).
        most: largest number that is counted.
    """
    if not len(embeddings):
        return SpeakerCount(1, (), threshold)
    embeddings = embeddings[:: -(-len(embeddings) // MAX_EMBEDDINGS)]
    equal_weights = np.ones(len(embeddings), np.float32)
    cluster_variances = tuple(mean_squared_distance(embeddings, fit_centroids(embeddings, equal_weights, n))
                              for n in range(1, most))
    return SpeakerCount(smallest_fit(cluster_variances, threshold, most), cluster_variances, threshold)

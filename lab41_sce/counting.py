"""The vectors of a recording say how many people talk: 1, 2 or 3.

k-means is asked for one, two, ... clusters. As long as each is a voice of its own, the centres lie far apart; one more
than there are voices tears a voice in two, and the halves lie close together; or it finds a few bins of noise. So one
counts on as long as the nearest two centres are further apart than voices usually are from their own halves, and the
smallest cluster is not too small.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lab41_sce.clustering import fit_centres

MOST_COUNTED = 3
LEAST_SHARE = 0.05  # of the magnitude, that a cluster must have to be a voice


@dataclass(frozen=True)
class Count:
    """Hold how many people talk and why.

    Attributes:
        n_speakers: the number.
        distances: for 2, 3, ... clusters: how far their nearest two centres are apart; 0 if there is nothing to hear.
        shares: for the same: of the smallest cluster.
        apart: how far those of two voices are, at least.
    """

    n_speakers: int
    distances: tuple[float, ...]
    shares: tuple[float, ...]
    apart: float

    def __str__(self):
        """Say it in a sentence."""
        if not any(self.distances):
            return "nobody is heard: the recording comes back as one voice"
        shown = ", ".join(f"{distance:.2f} for {n}{' (one of them tiny)' if share < LEAST_SHARE else ''}"
                          for n, (distance, share) in enumerate(zip(self.distances, self.shares), start=2))
        return (f"{self.n_speakers} {'person talks' if self.n_speakers == 1 else 'people talk'}: "
                f"the nearest clusters are apart by {shown}; voices by more than {self.apart:g}")


def nearest(centres: np.ndarray) -> float:
    """Measure how far the nearest two of some centres `[S, K]`, S at least 2, are apart."""
    differences = centres[:, None] - centres[None]
    distances = np.linalg.norm(differences, axis=-1) + np.diag(np.full(len(centres), np.inf))
    return float(distances.min())


def count_speakers(vectors: np.ndarray, magnitudes: np.ndarray, apart: float,
                   most: int = MOST_COUNTED) -> tuple[Count, np.ndarray]:
    """Count the speakers.

    Args:
        vectors: of audible bins, float32 `[n, K]`.
        magnitudes: `[n]`.
        apart: the least distance of the centres of two voices, see `EmbeddingModel`.
        most: the largest number to think of.

    Returns:
        A `Count`, and the centres of that number of clusters, float32 `[S, K]`. Silence is one speaker.
    """
    centres = [fit_centres(vectors, magnitudes, n) for n in range(1, most + 1)]
    distances = tuple(nearest(of_number) for of_number in centres[1:])
    shares = tuple(smallest_share(vectors, magnitudes, of_number) for of_number in centres[1:])
    n_speakers = decide(distances, shares, apart)
    return Count(n_speakers, distances, shares, apart), centres[n_speakers - 1]


def decide(distances: Sequence[float], shares: Sequence[float], apart: float) -> int:
    """Count on as long as clusters are apart and none is tiny; arguments as the attributes of `Count`."""
    n_speakers = 1
    for distance, share in zip(distances, shares, strict=True):
        if distance <= apart or share < LEAST_SHARE:
            break
        n_speakers += 1
    return n_speakers


def smallest_share(vectors: np.ndarray, magnitudes: np.ndarray, centres: np.ndarray) -> float:
    """Compute which part of the magnitude the smallest cluster has; arguments as above, centres `[S, K]`."""
    nearest_centre = (vectors @ centres.T - 0.5 * (centres**2).sum(axis=1)).argmax(axis=1)
    sums = np.bincount(nearest_centre, magnitudes, minlength=len(centres))
    return float(sums.min() / max(sums.sum(), 1e-12))

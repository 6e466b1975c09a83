"""The vectors of a recording say how many people talk: 1, 2 or 3.

k-means is asked for one, two, ... clusters. As long as each is a voice of its own, the centres lie far apart; one more
than there are voices tears a voice in two, and the halves lie close together. So the count is the largest number whose
nearest two centres are still further apart than voices usually are from their own halves.
"""

from dataclasses import dataclass

import numpy as np

from lab41_sce.clustering import fit_centres

MOST_COUNTED = 3


@dataclass(frozen=True)
class Count:
    """Hold how many people talk and why.

    Attributes:
        n_speakers: the number.
        distances: for 2, 3, ... clusters: how far their nearest two centres are apart.
        apart: how far those of two voices are, at least.
    """

    n_speakers: int
    distances: tuple[float, ...]
    apart: float

    def __str__(self):
        """Say it in a sentence."""
        shown = ", ".join(f"{distance:.2f} for {n}" for n, distance in enumerate(self.distances, start=2))
        return (f"{self.n_speakers} {'person talks' if self.n_speakers == 1 else 'people talk'}: "
                f"the nearest clusters are apart by {shown} (voices by more than {self.apart:g})")


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
    of_numbers = {n: fit_centres(vectors, magnitudes, n) for n in range(1, most + 1)}
    distances = {n: nearest(of_numbers[n]) for n in range(2, most + 1)}
    n_speakers = max((n for n, distance in distances.items() if distance > apart), default=1)
    return Count(n_speakers, tuple(distances.values()), apart), of_numbers[n_speakers]

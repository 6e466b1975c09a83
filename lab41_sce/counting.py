"""The vectors of a recording say how many people talk: 1, 2 or 3.

Training pulls the vectors of one speaker together. So those of one voice lie close around a single centre, those of two
voices around two and around no single one, and so on: the count is the smallest number of clusters whose vectors lie
close to their centres.
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
        shown = ", ".join(f"{spread:.2f} with {n}" for n, spread in enumerate(self.spreads, start=1))
        return f"{people}: the vectors' spread is {shown} clusters, and below {self.spread:g} if each is a voice"


def spread_around(vectors: np.ndarray, magnitudes: np.ndarray, centres: np.ndarray) -> float:
    """Measure how far vectors lie from the nearest centre: mean squared distance, by magnitude.

    Args:
        vectors: float32 `[n, K]`, n at least 1.
        magnitudes: `[n]`.
        centres: `[S, K]`.

    Returns:
        At least 0; of unit vectors, at most about 1.
    """
    # |v - c|^2 = |v|^2 - 2 (<v, c> - |c|^2 / 2)
    nearness = (vectors @ centres.T - 0.5 * (centres**2).sum(axis=1)).max(axis=1)
    return float(np.average((vectors**2).sum(axis=1) - 2 * nearness, weights=magnitudes))


def decide(spreads, spread: float, most: int = MOST_COUNTED) -> int:
    """Return the smallest number of clusters, from 1 on, whose spread is small enough; else `most`."""
    return next((n for n, value in enumerate(spreads, start=1) if value < spread), most)


def count_speakers(vectors: np.ndarray, magnitudes: np.ndarray, spread: float,
                   most: int = MOST_COUNTED) -> tuple[Count, np.ndarray]:
    """Count the speakers.

    Args:
        vectors: of audible bins, float32 `[n, K]`.
        magnitudes: `[n]`.
        spread: the largest spread of voices, see `EmbeddingModel`.
        most: the largest number to think of.

    Returns:
        A `Count`, and the centres of that number of clusters, float32 `[S, K]`. Silence is one speaker.
    """
    if not len(vectors):
        return Count(1, (), spread), np.zeros((1, vectors.shape[1]), np.float32)
    centres = [fit_centres(vectors, magnitudes, n) for n in range(1, most + 1)]
    spreads = tuple(spread_around(vectors, magnitudes, of_number) for of_number in centres[: most - 1])
    n_speakers = decide(spreads, spread, most)
    return Count(n_speakers, spreads, spread), centres[n_speakers - 1]

"""Two-second blocks of speech become the numbers `[D]` that show whether people take turns.

The embeddings show how many people talk at once. Those who never do are distinguished by the speaker vectors of
blocks of the mixture (`verification.py`): the vectors of one person lie together. A recording with at least
`MIN_BLOCKS` blocks of speech gives these numbers:

| number | meaning |
| --- | --- |
| `at_once_n` | log of the probability of n people by the classifier of the embeddings |
| `turn_variance` | log of the mean squared distance of the speaker vectors from their mean |
| `turn_gain_k` | log of the ratio of the mean squared distances from k and from k - 1 centroids, k = 2 to 5 |
| `turn_neighbours` | mean cosine of the speaker vectors of consecutive blocks |
| `turn_blocks` | log of the number of blocks |
"""

import math
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from lab41_sce.models.kmeans import kmeans
from lab41_sce.models.numpy_front_end import NumpyFrontEnd
from lab41_sce.separation.turns import VoiceFrames
from lab41_sce.separation.verification import Verification

BLOCK_SECONDS = 2.0
MIN_BLOCKS = 6
MAX_BLOCKS = 60  # a larger number counts as this one: the calibration recordings have at most two minutes
MIN_ACTIVE = 0.3  # least number of active frames of a block with speech, as a share of that of the fullest block
MAX_CLUSTERS = 5
MIN_SHARE, VARIANCE_FLOOR = 1e-3, 1e-2  # added before logarithms


class SpeechBlocks(NamedTuple):
    """Hold the blocks of a recording that have speech.

    Attributes:
        vectors: speaker vectors, float32 `[n, D]`.
        weights: numbers of active frames, float32 `[n]`.
    """

    vectors: np.ndarray
    weights: np.ndarray


def speech_blocks(windows: Iterable[np.ndarray], peak: float, front_end: NumpyFrontEnd,
                  verification: Verification) -> SpeechBlocks:
    """Describe the blocks of a recording.

    Args:
        windows: magnitudes of the mixture in consecutive or separate parts, float32 `[T, F]` each.
        peak: usual largest magnitude of the recording (`RunningScaling.peak`).
        front_end: that of the magnitudes.
        verification: describes people by speaker vectors.

    Returns:
        The blocks with speech, perhaps none.
    """
    length = round(BLOCK_SECONDS * front_end.sample_rate_hz / front_end.hop_length)
    counts, sums = [], []
    for magnitudes in windows:
        magnitudes = magnitudes[: len(magnitudes) // length * length]
        none = np.zeros((0, *magnitudes.shape), np.float32)  # no voices: the mixture itself is described
        frames = VoiceFrames.measure(np.arange(len(magnitudes)), none, magnitudes, peak, front_end)
        cepstra = frames.cepstra[0].astype(np.float64)
        shares = verification.classes.shares_of(cepstra) * frames.active[0][:, None]
        shares, cepstra = (array.reshape(-1, length, array.shape[1]) for array in (shares, cepstra))
        counts.append(shares.sum(axis=1))
        sums.append(np.einsum("nbm,nbc->nmc", shares, cepstra, optimize=True))
    count, total = np.concatenate(counts), np.concatenate(sums)
    weights = count.sum(axis=1)
    spoken = weights > MIN_ACTIVE * weights.max(initial=0.0)
    vectors = verification.vectors(count[spoken], total[spoken])
    return SpeechBlocks(vectors.astype(np.float32), weights[spoken].astype(np.float32))


def turn_numbers(at_once: dict[int, float], blocks: SpeechBlocks) -> dict[str, float]:
    """Compute the numbers by name; the module describes them.

    Args:
        at_once: probability of each number of people by the classifier of the embeddings.
        blocks: at least `MIN_BLOCKS`.
    """
    logs = [math.log(_mean_squared_distance(blocks, k) + VARIANCE_FLOOR) for k in range(1, MAX_CLUSTERS + 1)]
    neighbours = np.einsum("nd,nd->n", blocks.vectors[1:], blocks.vectors[:-1])
    numbers = [*(math.log(share + MIN_SHARE) for share in at_once.values()), logs[0], *np.diff(logs).tolist(),
               float(neighbours.mean()), math.log(min(len(blocks.weights), MAX_BLOCKS))]
    return dict(zip(turn_names(len(at_once)), numbers, strict=True))


def turn_names(most: int) -> list[str]:
    """Return the names of the numbers for a classifier of the embeddings that counts up to `most` people."""
    return [*(f"at_once_{n}" for n in range(1, most + 1)), "turn_variance",
            *(f"turn_gain_{k}" for k in range(2, MAX_CLUSTERS + 1)), "turn_neighbours", "turn_blocks"]


def _mean_squared_distance(blocks: SpeechBlocks, n_clusters: int) -> float:
    """Return the weighted mean squared distance of the speaker vectors from the nearest centroid of k-means."""
    centroids = kmeans(blocks.vectors, blocks.weights, n_clusters)
    squares = np.square(blocks.vectors[:, None] - centroids).sum(axis=2).min(axis=1)
    return float(np.average(squares, weights=blocks.weights))

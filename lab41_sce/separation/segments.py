"""Embeddings `[T, F, K]` of a long recording become means over seconds, whose clusters give a centroid of each speaker.

    embeddings and magnitudes of a window -> weighted sums over the bins of each second and band [n, B, K]
    sums of the whole recording           -> k-means over the seconds -> centroids [S, K]

Single bins of two similar voices overlap so much that k-means over bins divides a conversation by sounds as well as by
speakers. Means over a second, in which mostly one person talks, vary less. The bands keep the means comparable where
a second has more low or more high sounds.
"""

from typing import NamedTuple

import numpy as np
from sklearn.cluster import KMeans
from threadpoolctl import threadpool_limits

SECONDS = 1.0  # duration of a segment
MIN_SEGMENTS = 10  # with speech, for each speaker; fewer do not make reliable clusters
MIN_VARIANCE_RATIO = 0.4  # of the centroids of segments to those of bins; with turns it is near 1
BAND_EDGES = (0.0, 0.1, 0.33, 1.0)  # of the frequency bins


class SegmentSums(NamedTuple):
    """Hold the sums of segments.

    Attributes:
        vectors: embeddings times magnitudes, summed over the bins of each band, float32 `[n, B, K]`.
        weights: magnitudes, summed over the same bins, `[n, B]`.
    """

    vectors: np.ndarray
    weights: np.ndarray


def sum_segments(embeddings: np.ndarray, weights: np.ndarray, frame_seconds: float) -> SegmentSums:
    """Sum the embeddings of a window over segments and bands.

    Args:
        embeddings: float32 `[T, F, K]`.
        weights: magnitudes of the active bins, 0 of the others, `[T, F]`.
        frame_seconds: time between frames.

    Returns:
        The sums; the last segment of a window may be shorter.
    """
    firsts = np.arange(0, len(weights), round(SECONDS / frame_seconds))
    edges = [round(edge * weights.shape[1]) for edge in BAND_EDGES]
    bands = [slice(low, high) for low, high in zip(edges[:-1], edges[1:], strict=True)]
    vectors = [np.einsum("tf,tfk->tk", weights[:, band], embeddings[:, band]) for band in bands]
    return SegmentSums(np.stack([np.add.reduceat(of_band, firsts) for of_band in vectors], axis=1),
                       np.stack([np.add.reduceat(weights[:, band].sum(axis=1), firsts) for band in bands], axis=1))


def join_segments(parts: list[SegmentSums]) -> SegmentSums:
    """Join the segments of several windows."""
    return SegmentSums(np.concatenate([part.vectors for part in parts]),
                       np.concatenate([part.weights for part in parts]))


def segment_centroids(segments: SegmentSums, bin_centroids: np.ndarray, seed: int = 0) -> np.ndarray:
    """Find the centroid of each speaker from the clusters of segments, each weighted by its magnitude.

    Args:
        segments: of the recording.
        bin_centroids: centroids of single bins, float32 `[S, K]`.
        seed: of the initial clusters.

    Returns:
        float32 `[S, K]`: the mean of the segments of each cluster. `bin_centroids`, if the segments differ little,
        because the same people talk in most of them.
    """
    n_speakers = len(bin_centroids)
    vectors, weights = (part[segments.weights.sum(axis=1) > 0] for part in segments)
    if len(vectors) < MIN_SEGMENTS * n_speakers:
        return bin_centroids
    means = vectors / np.maximum(weights, 1e-6 * weights.max())[..., None]  # zeros in a band without active bins
    kmeans = KMeans(n_speakers, n_init=10, random_state=seed)
    with threadpool_limits(1, "openmp"):
        labels = kmeans.fit_predict(means.reshape(len(means), -1), sample_weight=weights.sum(axis=1))
    own = labels == np.arange(n_speakers)[:, None]  # [S, n]
    centroids = ((own @ vectors.sum(axis=1)) / (own @ weights.sum(axis=1))[:, None]).astype(np.float32)
    differ = centroids.var(axis=0).sum() >= MIN_VARIANCE_RATIO * bin_centroids.var(axis=0).sum()
    return centroids if differ else bin_centroids

"""Vectors of time-frequency bins `[T, F, K]` become masks `[S, T, F]`, without knowing anybody.

k-means is fitted on the audible bins of one mixture, each weighted by its magnitude, and then every bin goes to the
nearest centre (binary masks, as in the article). Soft masks are the softmax of `-scale / 2 |vector - centre|^2` over
the centres: the share of each cluster, were all of them round clouds of variance 1 / scale. For two speakers it is a
sigmoid of `<vector, centre>`, as in the article, but with its threshold where k-means has it. Masks sum to one over the
speakers in each bin.
"""

import numpy as np
from sklearn.cluster import KMeans
from threadpoolctl import threadpool_limits


def fit_centroids(vectors: np.ndarray, magnitudes: np.ndarray, n_speakers: int, seed: int = 0) -> np.ndarray:
    """Find the centres of the vectors of audible bins by k-means, each weighted by its magnitude.

    Args:
        vectors: float32 `[n, K]`.
        magnitudes: `[n]`.
        n_speakers: S, at least 1.
        seed: of the starting centres.

    Returns:
        float32 `[S, K]`, in arbitrary but repeatable order; zeros if there are fewer than S vectors.
    """
    if len(vectors) < n_speakers:
        return np.zeros((n_speakers, vectors.shape[1]), np.float32)
    kmeans = KMeans(n_speakers, n_init=4, max_iter=100, random_state=seed)
    with threadpool_limits(1, "openmp"):  # for so little, threads that wait for each other cost more than they bring
        return kmeans.fit(vectors.astype(np.float32), sample_weight=magnitudes).cluster_centers_


def oracle_centroid_masks(embeddings: np.ndarray, magnitude: np.ndarray, source_magnitudes: np.ndarray,
                       range_db: float = 25.0, soft_scale: float | None = None) -> np.ndarray:
    """Give every bin to the nearest *true* class centre: what perfect clustering could reach with these vectors.

    Args:
        embeddings: `[T, F, K]`.
        magnitude: `[T, F]`, of the mixture.
        source_magnitudes: `[S, T, F]`, of the sources.
        range_db: bins at most this far below the peak are audible; only they make the centres.
        soft_scale: see `masks_from_centroids`.

    Returns:
        Masks, float32 `[S, T, F]`, that sum to one over S, in the sources' order.
    """
    loudest = source_magnitudes.argmax(axis=0)
    weights = np.where(active_bins(magnitude, range_db), magnitude, 0.0)
    centroids = []
    for source in range(len(source_magnitudes)):
        own = np.where(loudest == source, weights, 0.0)[..., None]
        centroids.append((own * embeddings).sum(axis=(0, 1)) / max(own.sum(), 1e-12))
    return masks_from_centroids(embeddings, np.stack(centroids), soft_scale)


def masks_from_centroids(embeddings: np.ndarray, centroids: np.ndarray, soft_scale: float | None = None) -> np.ndarray:
    """Turn vectors and centres into masks.

    Args:
        embeddings: float32 `[T, F, K]`.
        centres: `[S, K]`.
        soft_scale: how sharp soft masks are; None for binary masks, their limit.

    Returns:
        Masks, float32 `[S, T, F]`, that sum to one over S.
    """
    centroids = centroids.astype(np.float32)
    # -|v - c|^2 / 2 = <v, c> - |c|^2 / 2 - |v|^2 / 2, and the last term is the same for all centres.
    nearness = np.moveaxis(embeddings @ centroids.T - 0.5 * (centroids**2).sum(axis=1), -1, 0)  # [S, T, F]
    if soft_scale is None:
        return (nearness.argmax(axis=0) == np.arange(len(centroids))[:, None, None]).astype(np.float32)
    shares = np.exp(soft_scale * (nearness - nearness.max(axis=0)))
    return shares / shares.sum(axis=0)


def active_bins(magnitude: np.ndarray, range_db: float, peak: float | None = None) -> np.ndarray:
    """Tell which bins lie at most `range_db` below a peak, by default the loudest of them, bool; none in silence."""
    peak = magnitude.max() if peak is None else peak
    return (magnitude >= peak * 10.0 ** (-range_db / 20.0)) & (magnitude > 1e-8)

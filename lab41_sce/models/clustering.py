"""Embeddings of time-frequency bins `[T, F, K]` become masks `[S, T, F]` by k-means, without knowing any speaker.

k-means is fitted to the embeddings of the active bins of one mixture, each weighted by its magnitude. Then every bin
goes to the nearest centroid (binary masks, as in the article). Soft masks are a softmax over the centroids c_s,

    m_s = softmax_s(-scale / 2 |v - c_s|^2)

which is the share of each cluster if all clusters are spherical with variance 1 / scale. For two speakers it is a
sigmoid of `<v, c_1 - c_2>`, as in the article, but with the threshold where k-means has it. Masks sum to one over the
speakers in each bin.
"""

import numpy as np

from lab41_sce.models.kmeans import kmeans


def fit_centroids(vectors: np.ndarray, magnitudes: np.ndarray, n_speakers: int, seed: int = 0) -> np.ndarray:
    """Find the centroids of the embeddings of active bins by k-means with bins weighted by magnitude.

    Args:
        vectors: embeddings, float32 `[n, K]`.
        magnitudes: `[n]`.
        n_speakers: S, at least 1.
        seed: of the initial centroids.

    Returns:
        float32 `[S, K]`, in arbitrary but repeatable order; zeros if there are fewer than S embeddings.
    """
    if len(vectors) < n_speakers:
        return np.zeros((n_speakers, vectors.shape[1]), np.float32)
    return kmeans(vectors.astype(np.float32), magnitudes, n_speakers, seed)


def oracle_centroid_masks(embeddings: np.ndarray, magnitude: np.ndarray, source_magnitudes: np.ndarray,
                          range_db: float = 25.0, soft_scale: float | None = None) -> np.ndarray:
    """Make masks with the centroids of the true sources, as perfect clustering would find them.

    Args:
        embeddings: `[T, F, K]`.
        magnitude: of the mixture, `[T, F]`.
        source_magnitudes: of the sources, `[S, T, F]`.
        range_db: range below the peak within which bins make the centroids, in dB.
        soft_scale: see `masks_from_centroids`.

    Returns:
        Masks, float32 `[S, T, F]`, that sum to one over S, in the order of the sources.
    """
    loudest = source_magnitudes.argmax(axis=0)  # [T, F]
    weights = np.where(active_bins(magnitude, range_db), magnitude, 0.0)
    centroids = []
    for source in range(len(source_magnitudes)):
        own = np.where(loudest == source, weights, 0.0)[..., None]
        centroids.append((own * embeddings).sum(axis=(0, 1)) / max(own.sum(), 1e-12))
    return masks_from_centroids(embeddings, np.stack(centroids), soft_scale)


def masks_from_centroids(embeddings: np.ndarray, centroids: np.ndarray, soft_scale: float | None = None) -> np.ndarray:
    """Turn embeddings and centroids into masks.

    Args:
        embeddings: float32 `[T, F, K]`.
        centroids: `[S, K]`.
        soft_scale: sharpness of soft masks, see above; None for binary masks, the limit of ever sharper ones.

    Returns:
        Masks, float32 `[S, T, F]`, that sum to one over S.
    """
    centroids = centroids.astype(np.float32)
    # -|v - c|^2 / 2 = <v, c> - |c|^2 / 2 - |v|^2 / 2, and the last term is the same for all centroids.
    scores = centroids @ embeddings.reshape(-1, embeddings.shape[-1]).T - 0.5 * (centroids**2).sum(axis=1)[:, None]
    scores = scores.reshape(len(centroids), *embeddings.shape[:-1])  # [S, T, F]
    if soft_scale is None:
        return (scores.argmax(axis=0) == np.arange(len(centroids))[:, None, None]).astype(np.float32)
    shares = np.exp(soft_scale * (scores - scores.max(axis=0)))
    return shares / shares.sum(axis=0)


def active_bins(magnitude: np.ndarray, range_db: float, peak: float | None = None) -> np.ndarray:
    """Mark the bins at most `range_db` below a peak.

    Args:
        magnitude: array of any shape.
        range_db: range below the peak, in dB.
        peak: magnitude of the peak; None takes the largest of `magnitude`.

    Returns:
        bool, in the shape of `magnitude`; all False in silence.
    """
    peak = magnitude.max() if peak is None else peak
    return (magnitude >= peak * 10.0 ** (-range_db / 20.0)) & (magnitude > 1e-8)

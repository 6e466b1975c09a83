"""The embeddings of active bins `[n, K]` become the numbers `[D]` from which the number of speakers is estimated.

The bins are weighted by magnitude. For k centroids of k-means:

| number | meaning |
| --- | --- |
| `variance_k` | log of the mean squared distance of the embeddings from k centroids, k = 1 to 5 |
| `gain_k` | log of the ratio of the variances with k and with k - 1 centroids, k = 2 to 5 |
| `cosine_k` | largest cosine between two of k centroids |
| `norm_k` | length of the shortest of k centroids; 1 for a cluster without variance |
| `core_k` | share of the bins that are near one of k centroids |
| `smallest_k` | log of the share of the bins that are near the centroid with the fewest |
| `dominance_k` | mean over the frames of the share of the frame's strongest cluster |
| `overlap_k` | largest correlation over time between two clusters: the halves of one voice are active together |

Without clusters:

| number | meaning |
| --- | --- |
| `eigenvalue_i` | the five largest eigenvalues of the embeddings' second moments |
| `frame_variance` and its quantiles | variance of the embeddings within a frame |
| `coherence_*` | mean cosine between the embeddings of a bin and of a neighbour, at four distances |
| `level_mean_db`, `level_deviation_db` | of the active bins, relative to the loudest |
"""

from typing import NamedTuple

import numpy as np

from lab41_sce.models.clustering import fit_centroids

MAX_CLUSTERS = 5
MAX_FITTED_EMBEDDINGS = 2500  # for each k-means; the variances change in the third digit with more
CORE_DISTANCE = 0.4  # largest squared distance of a bin near a centroid
MIN_FRAME_BINS = 4.0  # smallest effective number of bins for the variance within a frame
QUANTILES = (0.1, 0.5, 0.9)
NEIGHBOURS = {"next_frame": (1, 0), "next_bin": (0, 1), "frame_2": (2, 0), "frame_8": (8, 0)}  # (frames, bins)
SHARE_FLOOR, VARIANCE_FLOOR = 1e-3, 1e-2  # added before logarithms
BLOCK_FRAMES = 25  # of a large recording, whole blocks of frames are left out, so that neighbours stay together


class ActiveBins(NamedTuple):
    """Hold the active bins of a recording.

    Attributes:
        embeddings: float32 `[n, K]`, of length one for a model with `unit_norm`.
        magnitudes: `[n]`, at least one above 0.
        frames, bins: places of the bins in the spectrogram, ascending, int `[n]` each.
    """

    embeddings: np.ndarray
    magnitudes: np.ndarray
    frames: np.ndarray
    bins: np.ndarray


def count_features(active: ActiveBins) -> dict[str, float]:
    """Compute the numbers by name; the module describes them.

    Args:
        active: the active bins, n at least 1.
    """
    frames = np.unique(active.frames, return_inverse=True)[1]
    weights = (active.magnitudes / active.magnitudes.mean()).astype(np.float32)
    levels_db = 20 * np.log10(np.maximum(active.magnitudes / active.magnitudes.max(), 1e-9))
    numbers = {**{f"coherence_{name}": _coherence(active, step) for name, step in NEIGHBOURS.items()},
               "level_mean_db": levels_db.mean(), "level_deviation_db": levels_db.std(),
               **_moments(active.embeddings, weights, frames), **_clusters(active.embeddings, weights, frames)}
    return {name: float(value) for name, value in numbers.items()}


def feature_names() -> set[str]:
    """Return the names of the numbers that `count_features` computes."""
    places = np.arange(MAX_CLUSTERS)
    return set(count_features(ActiveBins(np.eye(MAX_CLUSTERS, dtype=np.float32), np.ones(len(places)), places, places)))


def thin_blocks(frames: np.ndarray, most: int) -> np.ndarray:
    """Choose blocks of frames at random, so that about `most` active bins are left.

    Args:
        frames: frame of each active bin, int `[n]`.
        most: number of bins.

    Returns:
        Indices of the bins in the chosen blocks, ascending; all if there are at most `most`.
    """
    if len(frames) <= most:
        return np.arange(len(frames))
    blocks = frames // BLOCK_FRAMES
    chosen = np.random.default_rng(0).random(blocks.max() + 1) < most / len(frames)
    return np.flatnonzero(chosen[blocks])


def _coherence(active: ActiveBins, step: tuple[int, int]) -> float:
    """Return the mean cosine between the embeddings of bins `step` (frames, bins) apart that are both active."""
    stride = int(active.bins.max()) + 2
    places = active.frames.astype(np.int64) * stride + active.bins  # ascending
    wanted = places + step[0] * stride + step[1]
    found = np.minimum(np.searchsorted(places, wanted), len(places) - 1)
    both = places[found] == wanted
    cosines = np.einsum("nk,nk->n", active.embeddings[both], active.embeddings[found[both]])
    return float(cosines.sum()) / max(len(cosines), 1)


def _moments(embeddings: np.ndarray, weights: np.ndarray, frames: np.ndarray) -> dict[str, float]:
    """Compute the numbers that need no clusters."""
    total = weights.sum()
    eigenvalues = np.linalg.eigvalsh((embeddings * weights[:, None]).T @ embeddings / total)[::-1]
    eigenvalues = np.pad(eigenvalues, (0, MAX_CLUSTERS))[:MAX_CLUSTERS]  # 0 beyond the size of the embeddings
    sums = np.stack([np.bincount(frames, weights * column) for column in embeddings.T], axis=1)  # [T, K]
    weight = np.bincount(frames, weights)
    effective = weight**2 / np.bincount(frames, weights**2)
    enough = effective > MIN_FRAME_BINS
    power = np.bincount(frames, weights * (embeddings**2).sum(axis=1)) / weight
    variances = (power - ((sums / weight[:, None]) ** 2).sum(axis=1)) * effective / np.maximum(effective - 1, 1e-9)
    measured = np.stack([variances, weight])[:, enough] if enough.any() else np.ones((2, 1))
    return {**{f"eigenvalue_{i}": value for i, value in enumerate(eigenvalues, start=1)},
            "frame_variance": np.average(measured[0], weights=measured[1]),
            **{f"frame_variance_{quantile:g}": np.quantile(measured[0], quantile) for quantile in QUANTILES}}


def _clusters(embeddings: np.ndarray, weights: np.ndarray, frames: np.ndarray) -> dict[str, float]:
    """Compute the numbers of 1 to 5 clusters."""
    numbers, before = {}, 0.0
    fitted = slice(None, None, -(-len(embeddings) // MAX_FITTED_EMBEDDINGS))
    frame_weight = np.bincount(frames, weights)
    for k in range(1, MAX_CLUSTERS + 1):
        centroids = fit_centroids(embeddings[fitted], weights[fitted], k)
        scores = embeddings @ centroids.T - 0.5 * (centroids**2).sum(axis=1)
        nearest = scores.argmax(axis=1)
        distances = np.maximum((embeddings**2).sum(axis=1) - 2 * scores.max(axis=1), 0)
        near = distances < CORE_DISTANCE
        variance = np.log(np.average(distances, weights=weights) + VARIANCE_FLOOR)
        numbers[f"variance_{k}"] = variance
        numbers[f"core_{k}"] = np.average(near, weights=weights)
        if k > 1:
            norms = np.linalg.norm(centroids, axis=1)
            pairs = np.triu_indices(k, 1)
            directions = centroids / np.maximum(norms, 1e-9)[:, None]
            shares = np.bincount(nearest, weights * near, k) / weights.sum()
            activity = np.stack([np.bincount(frames, weights * (nearest == cluster)) for cluster in range(k)])  # [k, T]
            numbers |= {
                f"gain_{k}": variance - before, f"cosine_{k}": (directions @ directions.T)[pairs].max(),
                f"norm_{k}": norms.min(), f"smallest_{k}": np.log(shares.min() + SHARE_FLOOR),
                f"dominance_{k}": (activity.max(axis=0).sum()) / frame_weight.sum(),
                f"overlap_{k}": _correlations(np.sqrt(activity))[pairs].max()}
        before = variance
    return numbers


def _correlations(activity: np.ndarray) -> np.ndarray:
    """Return the correlations `[k, k]` of activities `[k, T]`; 0 where an activity is constant."""
    centred = activity - activity.mean(axis=1, keepdims=True)
    norms = np.linalg.norm(centred, axis=1)
    return centred @ centred.T / np.maximum(np.outer(norms, norms), 1e-9)

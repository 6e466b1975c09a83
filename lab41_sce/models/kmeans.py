"""Vectors `[n, K]` and their weights `[n]` become the centroids `[S, K]` of S clusters: k-means.

Lloyd's algorithm from several starts of k-means++ (Arthur and Vassilvitskii, 2007). It draws the same random numbers
and stops at the same step as `sklearn.cluster.KMeans`, so the centroids are the same up to rounding; with 100,000
vectors, rounding sometimes changes the order of the clusters. scikit-learn is not used, because its import takes about
as long as all other work for a short recording.
"""

import numpy as np

N_STARTS, MAX_STEPS, TOLERANCE = 4, 100, 1e-4


def kmeans(vectors: np.ndarray, weights: np.ndarray, n_clusters: int, seed: int = 0) -> np.ndarray:
    """Find the centroids of clusters.

    Args:
        vectors: float32 `[n, K]`, n at least S.
        weights: `[n]`, at least 0 and not all 0.
        n_clusters: S, at least 1.
        seed: of the starts.

    Returns:
        float32 `[S, K]`, in arbitrary but repeatable order.
    """
    random, mean = np.random.RandomState(seed), vectors.mean(axis=0)
    vectors, weights = np.ascontiguousarray(vectors - mean), weights.astype(np.float32)
    squares = np.einsum("nk,nk->n", vectors, vectors)
    best, best_labels, least = np.zeros(0), np.zeros(0), np.inf
    for _ in range(N_STARTS):
        centroids = _lloyd(vectors, weights, _spread_starts(vectors, squares, weights, n_clusters, random))
        labels = _scores(vectors, centroids).argmax(axis=0)
        # Several starts are often equally good, and rounding decides between them. float32 terms are added one after
        # the other, as in scikit-learn, so that the clusters have the same order.
        loss = np.add.accumulate(np.square(vectors - centroids[labels]).sum(axis=1) * weights)[-1]
        if np.isinf(least) or (loss < least and not _same_clusters(labels, best_labels)):
            best, best_labels, least = centroids, labels, loss
    return best + mean


def _same_clusters(labels: np.ndarray, others: np.ndarray) -> bool:
    """Return whether two labellings differ by the order of the clusters at most."""
    pairs = np.unique(np.stack([labels, others]), axis=1)
    return len(np.unique(pairs[0])) == pairs.shape[1]


def _scores(vectors: np.ndarray, centroids: np.ndarray) -> np.ndarray:
    """Return `<v, c> - |c|^2 / 2`, `[S, n]`: the larger, the nearer is v to c."""
    return centroids @ vectors.T - 0.5 * np.einsum("sk,sk->s", centroids, centroids)[:, None]


def _spread_starts(vectors: np.ndarray, squares: np.ndarray, weights: np.ndarray, n_clusters: int,
                   random: np.random.RandomState) -> np.ndarray:
    """Choose vectors far apart as the first centroids: the best of a few candidates drawn for each, `[S, K]`."""
    chosen = [random.choice(len(vectors), p=weights / weights.sum())]
    distances = _squared_distances(vectors, squares, chosen)[0]  # from the nearest centroid, [n]
    for _ in range(1, n_clusters):
        draws = random.uniform(size=2 + int(np.log(n_clusters))) * (distances @ weights)
        candidates = np.searchsorted(np.cumsum(weights * distances), draws).clip(max=len(vectors) - 1)
        closer = np.minimum(distances, _squared_distances(vectors, squares, candidates))
        best = np.argmin(closer @ weights)
        chosen.append(candidates[best])
        distances = closer[best]
    return vectors[chosen]


def _squared_distances(vectors: np.ndarray, squares: np.ndarray, chosen: np.ndarray | list[int]) -> np.ndarray:
    """Return the squared distances of all vectors from the chosen ones, `[chosen, n]`."""
    distances = np.maximum(squares[chosen][:, None] - 2 * (vectors[chosen] @ vectors.T) + squares, 0)
    distances[np.arange(len(distances)), chosen] = 0  # without rounding, so that no vector is chosen twice
    return distances


def _lloyd(vectors: np.ndarray, weights: np.ndarray, centroids: np.ndarray) -> np.ndarray:
    """Move the centroids to the means of their clusters until they rest."""
    tolerance, labels = TOLERANCE * float(vectors.var(axis=0).mean()), None
    for _ in range(MAX_STEPS):
        before, labels = labels, _scores(vectors, centroids).argmax(axis=0)
        members = weights * (labels == np.arange(len(centroids))[:, None])  # [S, n]
        sums, totals = members @ vectors, members.sum(axis=1)
        _fill_empty(sums, totals, vectors, weights, centroids, labels)
        moved = np.divide(sums, totals[:, None], out=centroids.copy(), where=totals[:, None] > 0)
        shift, centroids = float(np.square(moved - centroids).sum()), moved
        if shift <= tolerance or (before is not None and np.array_equal(labels, before)):
            break
    return centroids


def _fill_empty(sums: np.ndarray, totals: np.ndarray, vectors: np.ndarray, weights: np.ndarray, centroids: np.ndarray,
                labels: np.ndarray) -> None:
    """Give each cluster without members the vector that is furthest from its centroid, in place."""
    empty = np.flatnonzero(totals == 0)
    if not len(empty):
        return
    distances = np.square(vectors - centroids[labels]).sum(axis=1)
    if not distances.any():  # fewer different vectors than clusters
        return
    for cluster, furthest in zip(empty, np.argpartition(distances, -len(empty))[: -len(empty) - 1 : -1], strict=True):
        moved, owner = weights[furthest] * vectors[furthest], labels[furthest]
        sums[owner] -= moved
        totals[owner] -= weights[furthest]
        sums[cluster], totals[cluster] = moved, weights[furthest]

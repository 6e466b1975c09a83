"""k-means against scikit-learn: the same centroids in the same order."""

import numpy as np
import pytest
from sklearn.cluster import KMeans

from lab41_sce.models.kmeans import _lloyd, kmeans


def vectors(seed, n_vectors, size, n_clusters, deviation):
    rng = np.random.default_rng(seed)
    centroids = rng.standard_normal((n_clusters, size))
    noise = deviation * rng.standard_normal((n_vectors, size))
    return (centroids[rng.integers(n_clusters, size=n_vectors)] + noise).astype(np.float32), rng.random(n_vectors) ** 3


@pytest.mark.parametrize("deviation", [0.05, 0.3, 1.0])
@pytest.mark.parametrize(("n_vectors", "size", "n_clusters"), [(7, 3, 5), (2000, 20, 2), (3000, 4, 4), (500, 1, 3)])
def test_the_centroids_are_those_of_scikit_learn(n_vectors, size, n_clusters, deviation):
    points, weights = vectors(n_vectors, n_vectors, size, n_clusters, deviation)
    for number in range(1, n_clusters + 1):
        reference = KMeans(number, n_init=4, max_iter=100, random_state=0).fit(points, sample_weight=weights)
        np.testing.assert_allclose(kmeans(points, weights, number), reference.cluster_centers_, atol=1e-5)


def test_equal_vectors_have_equal_centroids():
    points = np.ones((10, 2), np.float32)
    np.testing.assert_array_equal(kmeans(points, np.ones(10), 3), np.ones((3, 2)))


def test_an_empty_cluster_receives_the_furthest_vector():
    points, weights = vectors(1, 400, 3, 3, 0.3)
    starts = np.array([points[0], points[0], points[1]])  # the second cluster has no members at first
    reference = KMeans(3, init=starts, n_init=1, max_iter=100).fit(points, sample_weight=weights)
    found = _lloyd(points, weights.astype(np.float32), starts)
    np.testing.assert_allclose(found, reference.cluster_centers_, atol=1e-5)

"""Masks from embeddings with known clusters."""

import numpy as np
import pytest

from lab41_sce.models.clustering import active_bins, fit_centroids, masks_from_centroids, oracle_centroid_masks


def two_clusters(seed=0, distance=4.0):
    """Return embeddings [T, F, K] of two clusters, the cluster of each bin, and magnitudes."""
    rng = np.random.default_rng(seed)
    owner = rng.integers(2, size=(30, 20))
    centroids = np.array([[distance, 0, 0], [0, distance, 0]])
    vectors = centroids[owner] + rng.normal(size=(30, 20, 3))
    return vectors.astype(np.float32), owner, rng.random((30, 20)) + 0.5


def agreement(masks, owner):
    found = masks.argmax(axis=0)
    return max(np.mean(found == owner), np.mean(found != owner))


def cluster(vectors, levels, n_speakers, soft_scale=None):
    """Do what an `EmbeddingModel` does with the vectors of a mixture."""
    loud = active_bins(levels, 25.0)
    return masks_from_centroids(vectors, fit_centroids(vectors[loud], levels[loud], n_speakers), soft_scale)


@pytest.mark.parametrize("soft_scale", [None, 1.0, 5.0])
def test_kmeans_finds_the_clusters(soft_scale):
    vectors, owner, levels = two_clusters()
    masks = cluster(vectors, levels, 2, soft_scale=soft_scale)
    assert masks.shape == (2, 30, 20) and agreement(masks, owner) > 0.97
    np.testing.assert_allclose(masks.sum(axis=0), 1, atol=1e-6)
    assert soft_scale or set(np.unique(masks)) == {0.0, 1.0}


def test_same_input_same_masks():
    vectors, _, levels = two_clusters(distance=0.5)
    np.testing.assert_array_equal(cluster(vectors, levels, 3), cluster(vectors, levels, 3))


def test_inactive_bins_do_not_shape_the_clusters():
    vectors, owner, levels = two_clusters()
    levels[:15] = 1e-4  # half of the frames are 74 dB down, and their vectors far away
    vectors[:15] += 100
    masks = cluster(vectors, levels, 2)
    assert agreement(masks[:, 15:], owner[15:]) > 0.95
    np.testing.assert_allclose(masks.sum(axis=0), 1)


def test_one_speaker_gets_all_and_too_few_vectors_have_no_centroids():
    vectors, _, levels = two_clusters()
    np.testing.assert_allclose(cluster(vectors, levels, 1), 1.0)
    assert not fit_centroids(vectors[0, :2], levels[0, :2], 3).any()


def test_binary_masks_take_the_nearest_centroid():
    vectors, _, _ = two_clusters()
    centroids = np.array([[1.0, 0, 0], [0, 5, 0], [2, 2, 2]])
    distances = np.linalg.norm(vectors[None] - centroids[:, None, None], axis=-1)
    expected = distances.argmin(axis=0)
    np.testing.assert_array_equal(masks_from_centroids(vectors, centroids).argmax(axis=0), expected)


def test_a_soft_mask_of_two_is_a_sigmoid_that_is_a_half_at_equal_distances():
    vectors, _, _ = two_clusters()
    centroids = np.array([[0.3, 0, 0], [0, 0.5, 0]])
    margin = (((vectors - centroids[1]) ** 2).sum(axis=-1) - ((vectors - centroids[0]) ** 2).sum(axis=-1)) / 2
    masks = masks_from_centroids(vectors, centroids, soft_scale=3.0)
    np.testing.assert_allclose(masks[0], 1 / (1 + np.exp(-3 * margin)), rtol=1e-4)
    np.testing.assert_array_equal(masks[0] > 0.5, masks_from_centroids(vectors, centroids)[0] == 1)


def test_oracle_centroids_are_the_ceiling():
    vectors, owner, levels = two_clusters(distance=2.0)
    sources = np.stack([np.where(owner == 0, levels, 0), np.where(owner == 1, levels, 0)])
    ceiling = oracle_centroid_masks(vectors, levels, sources)
    assert np.mean(ceiling.argmax(axis=0) == owner) >= agreement(cluster(vectors, levels, 2), owner) - 0.02


def test_active_bins_are_within_the_range_of_the_peak():
    levels = np.array([[1.0, 0.11, 0.09]])
    assert active_bins(levels, 20).tolist() == [[True, True, False]]
    assert not active_bins(np.zeros((2, 2)), 20).any()
    assert active_bins(levels, 20, peak=0.5).all() and not active_bins(levels, 20, peak=100.0).any()


def test_only_active_bins_make_oracle_centroids_whatever_the_level():
    vectors, owner, levels = two_clusters()
    levels[:15] = 1e-4
    sources = np.stack([np.where(owner == 0, levels, 0), np.where(owner == 1, levels, 0)])
    moved = vectors.copy()
    moved[:15, :, 0] += 100
    masks = oracle_centroid_masks(moved, levels, sources, soft_scale=1.0)
    active_only = oracle_centroid_masks(vectors[15:], levels[15:], sources[:, 15:], soft_scale=1.0)
    np.testing.assert_allclose(masks[:, 15:], active_only, atol=1e-6)
    quiet = oracle_centroid_masks(moved, 1e-4 * levels, 1e-4 * sources, soft_scale=1.0)
    np.testing.assert_allclose(quiet, masks, atol=1e-6)
    assert not active_bins(np.full((2, 2), 1e-9), 20).any()

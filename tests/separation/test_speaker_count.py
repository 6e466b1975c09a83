"""Counting: as many speakers as clusters of embeddings."""

import numpy as np
import pytest

from lab41_sce.separation.speaker_count import SpeakerCount, count_speakers, mean_squared_distance, smallest_fit


def clusters(n_voices, deviation=0.3, size=20, per_voice=400):
    """Draw unit vectors around orthogonal directions."""
    rng = np.random.default_rng(n_voices)
    directions = np.linalg.qr(rng.standard_normal((size, n_voices)))[0].T
    vectors = np.repeat(directions, per_voice, axis=0) + deviation / np.sqrt(size) * rng.standard_normal(
        (n_voices * per_voice, size))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


@pytest.mark.parametrize("n_voices", [1, 2, 3])
def test_as_many_speakers_as_clusters(n_voices):
    count = count_speakers(clusters(n_voices), threshold=0.3)
    assert count.n_speakers == n_voices
    assert [variance < 0.3 for variance in count.cluster_variances] == [n >= n_voices for n in (1, 2)]
    assert str(count).startswith(f"{n_voices} p")


def test_silence_is_one_speaker():
    count = count_speakers(np.zeros((0, 20), np.float32), threshold=0.3)
    assert count.n_speakers == 1 and str(count).startswith("the recording is silent")


def test_a_count_close_to_the_threshold_is_reported():
    assert "close to the threshold, it could be 2" in str(SpeakerCount(1, (0.48, 0.3), 0.5))
    assert "close to the threshold, it could be 1" in str(SpeakerCount(2, (0.52, 0.3), 0.5))
    assert "close to the threshold, it could be 3" in str(SpeakerCount(2, (0.7, 0.48), 0.5))
    assert "close to the threshold, it could be 2" in str(SpeakerCount(3, (0.7, 0.52), 0.5))
    for n, variances in [(1, (0.4, 0.3)), (1, (0.4, 0.39)), (2, (0.7, 0.4)), (3, (0.7, 0.6)), (1, ())]:
        assert "close" not in str(SpeakerCount(n, variances, 0.5))


def test_mean_squared_distance_of_a_small_example():
    vectors = np.array([[1, 0], [0, 1], [0, 2]], np.float32)
    centroids = np.array([[1, 0], [0, 1]], np.float32)
    assert mean_squared_distance(vectors, centroids) == pytest.approx(1 / 3)


def test_the_smallest_number_of_clusters_that_fits():
    examples = [0.4, 0.3], [0.6, 0.4], [0.6, 0.6], [0.4, 0.6]
    assert [smallest_fit(variances, 0.5) for variances in examples] == [1, 2, 3, 1]

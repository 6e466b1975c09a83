"""`lab41_sce.separation.speaker_count`: as many speakers as clouds of vectors."""

import numpy as np
import pytest

from lab41_sce.separation.speaker_count import Count, count_speakers, decide, mean_squared_distance


def clouds(n_voices, cluster_variance=0.3, size=20, per_voice=400):
    """Draw unit vectors around directions at right angles."""
    rng = np.random.default_rng(n_voices)
    directions = np.linalg.qr(rng.standard_normal((size, n_voices)))[0].T
    vectors = np.repeat(directions, per_voice, axis=0) + cluster_variance / np.sqrt(size) * rng.standard_normal(
        (n_voices * per_voice, size))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


@pytest.mark.parametrize("n_voices", [1, 2, 3])
def test_as_many_speakers_as_clouds(n_voices):
    count = count_speakers(clouds(n_voices), cluster_variance=0.3)
    assert count.n_speakers == n_voices
    assert all((cluster_variance < 0.3) == (n >= n_voices) for n, cluster_variance in enumerate(count.cluster_variances, start=1))
    assert str(count).startswith(f"{n_voices} p")


def test_silence_is_one_speaker():
    count = count_speakers(np.zeros((0, 20), np.float32), cluster_variance=0.3)
    assert count.n_speakers == 1 and str(count).startswith("nobody is heard")


def test_a_close_call_is_told():
    assert "a close call, it could be 2" in str(Count(1, (0.48, 0.3), 0.5))
    assert "a close call, it could be 1" in str(Count(2, (0.52, 0.3), 0.5))
    assert "a close call, it could be 3" in str(Count(2, (0.7, 0.48), 0.5))
    assert "a close call, it could be 2" in str(Count(3, (0.7, 0.52), 0.5))
    assert all("close" not in str(Count(n, cluster_variances, 0.5))
               for n, cluster_variances in [(1, (0.4, 0.3)), (1, (0.4, 0.39)), (2, (0.7, 0.4)), (3, (0.7, 0.6)), (1, ())])


def test_spread_by_hand():
    vectors = np.array([[1, 0], [0, 1], [0, 2]], np.float32)
    centroids = np.array([[1, 0], [0, 1]], np.float32)
    assert mean_squared_distance(vectors, centroids) == pytest.approx(1 / 3)


def test_the_smallest_number_that_fits():
    assert [decide(cluster_variances, 0.5) for cluster_variances in ([0.4, 0.3], [0.6, 0.4], [0.6, 0.6], [0.4, 0.6])] == [1, 2, 3, 1]

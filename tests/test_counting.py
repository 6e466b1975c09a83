"""`lab41_sce.counting`: clouds of vectors are voices, and one cloud is not torn in two."""

import numpy as np
import pytest

from lab41_sce.counting import count_speakers, decide, nearest


def clouds(n_voices, spread=0.3, size=20, per_voice=400):
    """Draw unit vectors around directions at right angles; with the loudness of each."""
    rng = np.random.default_rng(n_voices)
    directions = np.linalg.qr(rng.standard_normal((size, n_voices)))[0].T
    vectors = np.repeat(directions, per_voice, axis=0) + spread / np.sqrt(size) * rng.standard_normal(
        (n_voices * per_voice, size))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32), rng.random(len(vectors)) + 0.1


@pytest.mark.parametrize("n_voices", [1, 2, 3])
def test_as_many_speakers_as_clouds(n_voices):
    vectors, magnitudes = clouds(n_voices)
    count, centres = count_speakers(vectors, magnitudes, apart=0.9)
    assert count.n_speakers == n_voices
    assert centres.shape == (n_voices, 20)
    assert all((distance > 0.9) == (n <= n_voices) for n, distance in enumerate(count.distances, start=2))
    assert str(count).startswith(f"{n_voices} p")


def test_silence_is_one_speaker():
    count, centres = count_speakers(np.zeros((0, 20), np.float32), np.zeros(0), apart=0.9)
    assert count.n_speakers == 1 and not centres.any() and str(count).startswith("nobody is heard")


def test_quiet_vectors_count_less():
    """A few bins of another direction, as noise makes them, are no speaker."""
    vectors, magnitudes = clouds(2)
    magnitudes[400:] *= 1e-2
    centre = vectors[:400].mean(axis=0)
    count, fitted = count_speakers(vectors, magnitudes, apart=0.9)
    assert count.n_speakers == 1 and count.shares[0] < 0.02 < 0.9 < count.distances[0]
    assert "one of them tiny" in str(count)
    np.testing.assert_allclose(fitted, [centre], atol=0.1)


def test_counting_stops_where_a_voice_would_be_torn():
    assert decide([1.0, 0.5], [0.4, 0.3], apart=0.9) == 2
    assert decide([0.5, 1.0], [0.4, 0.3], apart=0.9) == 1
    assert decide([1.0, 1.0], [0.4, 0.01], apart=0.9) == 2
    assert decide([1.0, 1.0], [0.4, 0.2], apart=0.9) == 3


def test_nearest_two():
    assert nearest(np.array([[0.0, 0.0], [3.0, 4.0], [0.0, 1.0]])) == pytest.approx(1.0)

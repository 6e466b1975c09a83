"""`lab41_sce.counting`: clouds of vectors are voices, and one cloud is not torn in two."""

import numpy as np
import pytest

from lab41_sce.counting import count_speakers, nearest


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
    assert count.n_speakers == 1 and not centres.any()


def test_quiet_vectors_count_less():
    """A few bins of another direction, as noise makes them, are no speaker."""
    vectors, magnitudes = clouds(2)
    magnitudes[400:] *= 1e-4
    centre = vectors[:400].mean(axis=0)
    _, fitted = count_speakers(vectors, magnitudes, apart=0.9)
    assert np.linalg.norm(fitted - centre, axis=1).min() < 0.1


def test_nearest_two():
    assert nearest(np.array([[0.0, 0.0], [3.0, 4.0], [0.0, 1.0]])) == pytest.approx(1.0)

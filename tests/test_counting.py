"""`lab41_sce.counting`: as many speakers as clouds of vectors."""

import numpy as np
import pytest

from lab41_sce.counting import count_speakers, decide, spread_around


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
    count, centres = count_speakers(vectors, magnitudes, spread=0.3)
    assert count.n_speakers == n_voices
    assert centres.shape == (n_voices, 20)
    assert all((spread < 0.3) == (n >= n_voices) for n, spread in enumerate(count.spreads, start=1))
    assert str(count).startswith(f"{n_voices} p")


def test_silence_is_one_speaker():
    count, centres = count_speakers(np.zeros((0, 20), np.float32), np.zeros(0), spread=0.3)
    assert count.n_speakers == 1 and not centres.any() and str(count).startswith("nobody is heard")


def test_quiet_vectors_count_less():
    """A few bins of another direction, as noise makes them, are no speaker."""
    vectors, magnitudes = clouds(2)
    assert count_speakers(vectors, magnitudes, spread=0.3)[0].n_speakers == 2
    magnitudes[400:] *= 1e-2
    assert count_speakers(vectors, magnitudes, spread=0.3)[0].n_speakers == 1


def test_spread_by_hand():
    vectors = np.array([[1, 0], [0, 1], [0, 2]], np.float32)
    centres = np.array([[1, 0], [0, 1]], np.float32)
    assert spread_around(vectors, np.array([1, 1, 2]), centres) == pytest.approx(0.5)


def test_the_smallest_number_that_fits():
    assert [decide(spreads, 0.5) for spreads in ([0.4, 0.3], [0.6, 0.4], [0.6, 0.6], [0.4, 0.6])] == [1, 2, 3, 1]

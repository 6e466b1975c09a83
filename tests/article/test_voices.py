"""Pitch and spectra of artificial voices, and correlations between similarities against SciPy and chance."""

import numpy as np
import pytest
from conftest import hum
from scipy.stats import spearmanr

from lab41_sce.article import voices

RATE = 10000


@pytest.mark.parametrize("pitch_hz", [85, 120, 180, 250])
def test_pitch_of_a_buzzing_voice(pitch_hz):
    signal = hum(pitch_hz, 3.0, RATE, np.random.default_rng(0))
    assert voices.median_pitch_hz(signal, RATE) == pytest.approx(pitch_hz, rel=0.05)


@pytest.mark.parametrize("pitch_hz", [61.0, 97.3, 143.9, 251.2, 398.0])
def test_periods_between_samples(pitch_hz):
    phase = 2 * np.pi * pitch_hz * np.arange(4096) / RATE
    signal = sum(np.cos(n * phase + n) / n for n in range(1, 6))
    frames = np.lib.stride_tricks.sliding_window_view(signal, 512)[::100]
    np.testing.assert_allclose(voices.yin(frames, RATE, 60, 400), pitch_hz, rtol=0.005)


def test_hiss_and_silence_have_no_pitch():
    hiss = np.random.default_rng(0).standard_normal(20000).astype(np.float32)
    assert np.isnan(voices.median_pitch_hz(hiss, RATE))
    assert np.isnan(voices.median_pitch_hz(np.zeros(20000, np.float32), RATE))
    assert np.isnan(voices.median_pitch_hz(hiss[:100], RATE))


def test_spectra_differ_by_filter_but_not_by_level():
    white = np.random.default_rng(0).standard_normal(50000)
    dull = np.convolve(white, [1, 1])
    same = voices.spectrum_distances(np.array([voices.long_term_spectrum_db(s) for s in (white, 9 * white, dull)]))
    assert same[0, 1] < 0.01 and same[0, 2] > 3 and np.allclose(same, same.T)


def test_distances_by_hand():
    np.testing.assert_allclose(voices.pitch_distances(np.array([100.0, 200.0, 141.42136])),
                               [[0, 12, 6], [12, 0, 6], [6, 6, 0]], atol=1e-4)
    np.testing.assert_allclose(voices.cosines(np.array([[1.0, 0], [3, 0], [1, 1], [0, 0]]))[0],
                               [1, 1, 0.5**0.5, 0], atol=1e-6)


def points(n, seed=0):
    return np.random.default_rng(seed).standard_normal((n, 3))


def distances(of):
    return np.sqrt(((of[:, None] - of) ** 2).sum(axis=-1))


def test_the_correlation_is_spearmans_over_pairs():
    some, other = distances(points(12)), distances(points(12, 1))
    pairs = np.triu_indices(12, 1)
    expected = spearmanr(some[pairs], -other[pairs])[0]
    assert voices.mantel_test(some, other)[0] == pytest.approx(expected)
    groups = ["F"] * 5 + ["M"] * 7
    within = [(i, j) for i, j in zip(*pairs, strict=True) if groups[i] == groups[j]]
    i, j = np.array(within).T
    assert voices.mantel_test(some, other, groups)[0] == pytest.approx(spearmanr(some[i, j], -other[i, j])[0])


def test_only_real_similarity_is_significant():
    place = points(20)
    near = distances(place + 0.3 * points(20, 1))
    correlation, p = voices.mantel_test(-near, distances(place))
    assert correlation > 0.6 and p == pytest.approx(1 / 2001)
    pairs = [(-distances(points(12, seed)), distances(points(12, seed + 100))) for seed in range(30)]
    chances = [voices.mantel_test(*pair, n_permutations=200)[1] for pair in pairs]
    assert 0.3 < np.mean(chances) < 0.7 and np.mean(np.array(chances) < 0.1) < 0.3


def test_speakers_without_a_distance_are_left_out():
    full, holes = distances(points(10)), distances(points(10))
    holes[3, :] = holes[:, 3] = np.nan
    kept = np.delete(np.arange(10), 3)
    expected = voices.mantel_test(-full[np.ix_(kept, kept)], full[np.ix_(kept, kept)])
    assert voices.mantel_test(-full, holes) == expected and expected[0] == pytest.approx(1)
    with pytest.raises(ValueError, match="at least three"):
        voices.mantel_test(full[:2, :2], full[:2, :2])


def test_describe_takes_each_speakers_first_seconds(monkeypatch):
    import pandas as pd

    class Hums:
        sample_rate_hz = RATE
        asked = []

        def length(self, utterance):
            return 30000

        def excerpt(self, utterance, start, length):
            self.asked.append((utterance, length))
            return hum(int(utterance[1:4]), 3.0, RATE, np.random.default_rng(0))[:length]

    monkeypatch.setattr(voices, "SECONDS_PER_SPEAKER", 5.0)
    table = pd.DataFrame({"utterance": ["a100-1", "a100-2", "a100-3", "b220-1"], "speaker": ["a", "a", "a", "b"]})
    pitches, spectra = voices.describe(Hums(), table, ["b", "a"])
    np.testing.assert_allclose(pitches, [220, 100], rtol=0.05)
    assert spectra.shape == (2, 129)
    assert Hums.asked == [("b220-1", 30000), ("a100-1", 30000), ("a100-2", 20000)]

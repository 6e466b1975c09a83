"""Counting: as many speakers as clusters of embeddings."""

import numpy as np
import pytest

from lab41_sce.separation.count_classifier import CountClassifier
from lab41_sce.separation.count_features import ActiveBins
from lab41_sce.separation.speaker_count import (
    SpeakerCount,
    count_speakers,
    estimate_count,
    mean_squared_distance,
    smallest_fit,
)


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


def test_a_range_limits_the_threshold():
    for limits, number in [((1, 3), 2), ((3, 5), 3), ((1, 1), 1), ((2, 4), 2)]:
        assert count_speakers(clusters(2), 0.3, *limits).n_speakers == number
    assert count_speakers(clusters(3), 0.3, 1, 2).n_speakers == 2
    assert count_speakers(np.zeros((0, 20), np.float32), 0.3, 2, 4).n_speakers == 2
    assert str(count_speakers(clusters(2), 0.3, 1, 1)) == "1 person talks (no other number was possible)"


def test_an_alternative_is_within_the_range():
    variances = 0.28, 0.1  # with 8 % less, the threshold would fit two clusters; with 8 % more, one
    assert SpeakerCount(1, variances, 0.29).alternative == 2
    assert SpeakerCount(2, variances, 0.27).alternative == 1
    assert SpeakerCount(2, variances, 0.27, fewest=2).alternative is None


def active_bins(embeddings):
    """Place embeddings in a spectrogram with 20 bins in a frame."""
    frames, bins = np.divmod(np.arange(len(embeddings)), 20)
    return ActiveBins(embeddings, np.ones(len(embeddings), np.float32), frames, bins)


@pytest.fixture
def by_variance():
    """Return a classifier for which the number of clusters that explains the variance is the most probable."""
    names = [f"variance_{k}" for k in range(1, 5)]
    # With the variances of a good fit near log(0.1) and those of a bad one near log(0.5), the sums order the numbers.
    weights = [[-3.0 * (k >= n) + 3.0 * (k < n) for k in range(1, 5)] for n in range(1, 6)]
    return CountClassifier(0, names, [-1.4] * 4, [0.8] * 4, weights, [0.0] * 5, {})


@pytest.mark.parametrize("n_voices", [1, 2, 3, 4, 5])
def test_the_classifier_counts_clusters(by_variance, n_voices):
    count = estimate_count(active_bins(clusters(n_voices)), list, by_variance, 1, 5)
    assert count.n_speakers == n_voices
    assert [*count.probabilities] == [1, 2, 3, 4, 5] and sum(count.probabilities.values()) == pytest.approx(1)
    within = estimate_count(active_bins(clusters(n_voices)), list, by_variance, 2, 4)
    assert within.n_speakers == min(max(n_voices, 2), 4)
    assert [*within.probabilities] == [2, 3, 4] and sum(within.probabilities.values()) == pytest.approx(1)


def test_silence_has_the_smallest_possible_number(by_variance):
    for fewest in (1, 2):
        count = estimate_count(active_bins(np.zeros((0, 20), np.float32)), list, by_variance, fewest, 4)
        assert count.n_speakers == fewest and str(count).startswith("the recording is silent")
        assert count.alternative is None and count.probabilities is None


def test_an_unsure_number_names_the_runner_up():
    unsure = SpeakerCount(3, probabilities={1: 0.02, 2: 0.38, 3: 0.55, 4: 0.05})
    assert str(unsure) == "3 people talk (probability 55%, unsure: 2 has 38%)" and unsure.alternative == 2
    sure = SpeakerCount(1, probabilities={1: 0.81, 2: 0.19})
    assert str(sure) == "1 person talks (probability 81%)" and sure.alternative is None
    assert SpeakerCount(2, probabilities={2: 1.0}).alternative is None

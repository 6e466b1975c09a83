"""The numbers that the classifier counts by, for embeddings whose numbers are known."""

import numpy as np
import pytest

from lab41_sce.separation.count_features import ActiveBins, count_features, feature_names, thin_blocks


def two_voices(alternate):
    """Place two almost orthogonal embeddings in 100 frames of 10 bins: in turns of 10 frames, or both in each frame."""
    frames, bins = np.divmod(np.arange(1000), 10)
    voice = (frames // 10) % 2 if alternate else bins // 5
    noise = 1e-3 * np.random.default_rng(0).standard_normal((1000, 4))  # k-means warns of equal embeddings
    return ActiveBins((np.eye(4)[voice] + noise).astype(np.float32), np.ones(1000, np.float32), frames, bins)


def test_numbers_of_two_voices():
    together, in_turns = count_features(two_voices(False)), count_features(two_voices(True))
    for numbers in (together, in_turns):
        assert set(numbers) == feature_names() and all(map(np.isfinite, numbers.values()))
        assert numbers["variance_1"] == pytest.approx(np.log(0.51), abs=0.05)  # 1 - |(v + w) / 2|^2 = 0.5
        assert numbers["variance_2"] == pytest.approx(np.log(0.01), abs=0.01)
        assert numbers["eigenvalue_2"] == pytest.approx(0.5, abs=0.05)
        assert numbers["eigenvalue_3"] == pytest.approx(0, abs=1e-3)
        assert numbers["cosine_2"] == pytest.approx(0, abs=1e-3)
        assert numbers["core_1"] == 0 and numbers["core_2"] == 1
        assert numbers["norm_2"] == pytest.approx(1, abs=1e-2)
    assert together["dominance_2"] == pytest.approx(0.5, abs=0.05)
    assert in_turns["dominance_2"] == pytest.approx(1, abs=1e-2)
    assert in_turns["overlap_2"] == pytest.approx(-1, abs=0.05)
    assert together["frame_variance"] == pytest.approx(0.5 * 10 / 9, abs=0.05)  # unbiased
    assert in_turns["frame_variance"] == pytest.approx(0, abs=1e-3)


def test_coherence_with_neighbours():
    numbers = count_features(two_voices(True))
    assert numbers["coherence_next_bin"] == pytest.approx(1, abs=1e-3)
    assert numbers["coherence_next_frame"] == pytest.approx(90 / 99, abs=1e-3)  # nine changes between 100 frames
    assert numbers["coherence_frame_8"] == pytest.approx(20 / 92, abs=1e-3)


def test_numbers_do_not_depend_on_the_level():
    active = two_voices(False)
    louder = count_features(active._replace(magnitudes=active.magnitudes * 1000))
    assert louder == pytest.approx(count_features(active), abs=1e-5)


def test_few_bins_have_finite_numbers():
    one = ActiveBins(np.eye(4, dtype=np.float32)[:1], np.ones(1, np.float32), np.array([7]), np.array([3]))
    assert all(map(np.isfinite, count_features(one).values()))


def test_blocks_of_frames_are_left_out():
    frames = np.repeat(np.arange(10_000), 10)
    assert len(thin_blocks(frames[:500], 500)) == 500
    kept = frames[thin_blocks(frames, 20_000)]
    assert 15_000 < len(kept) < 25_000
    assert np.bincount(kept // 25).max() == 250 and set(np.bincount(kept // 25)) == {0, 250}

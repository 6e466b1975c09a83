"""Bands cover all bins once; each band sees its own bins only; dual-path blocks join time and bands."""

import keras
import numpy as np

from lab41_sce.models.band_split import BandMerge, BandSplit, DualPathBlock, band_starts


def test_bands_are_narrow_where_harmonics_lie_and_wide_above():
    widths = np.diff([*band_starts(257, 31.25), 257])
    assert widths.tolist() == [4] * 8 + [8] * 8 + [16] * 6 + [32, 33]


def test_every_bin_belongs_to_one_band_at_other_rates():
    for n_bins, bin_hz in ((257, 10000 / 512), (129, 8000 / 256), (65, 125.0)):
        starts = band_starts(n_bins, bin_hz)
        assert starts[0] == 0 and starts[-1] < n_bins and (np.diff(starts) > 0).all()


def test_a_band_sees_only_its_own_bins_and_its_own_frames():
    keras.utils.set_random_seed(0)
    split = BandSplit([0, 2, 5], 9, 2, 4)
    bins = np.random.default_rng(0).normal(size=(1, 6, 9, 2)).astype(np.float32)
    changed = bins.copy()
    changed[0, 3, 4, 1] += 1.0  # frame 3 belongs to step 1, bin 4 to band 1
    difference = np.abs(np.asarray(split(changed)) - np.asarray(split(bins))).max(axis=-1)[0]  # [T', Q]
    assert difference.shape == (3, 3) and difference[1, 1] > 1e-3
    difference[1, 1] = 0
    assert not difference.any()


def test_the_numbers_of_a_bin_come_from_its_own_band_and_step():
    keras.utils.set_random_seed(0)
    merge = BandMerge([0, 2, 5], 9, 2, 8, 3)
    features = np.random.default_rng(0).normal(size=(1, 3, 3, 4)).astype(np.float32)
    changed = features.copy()
    changed[0, 1, 1] += [1, -1, 0, 2]
    difference = np.abs(np.asarray(merge(changed)) - np.asarray(merge(features)))[0]  # [T, F, C]
    assert difference.shape == (6, 9, 3) and (difference[2:4, 2:5] > 0).all()
    difference[2:4, 2:5] = 0
    assert not difference.any()


def test_a_block_joins_all_steps_and_all_bands():
    keras.utils.set_random_seed(0)
    block = DualPathBlock(5, training_dtype="float32")
    features = np.random.default_rng(0).normal(size=(1, 4, 3, 6)).astype(np.float32)
    changed = features.copy()
    changed[0, 1, 2, 0] += 1.0
    difference = np.abs(np.asarray(block(changed)) - np.asarray(block(features))).max(axis=-1)[0]
    assert (difference > 1e-6).all()  # [T', Q]

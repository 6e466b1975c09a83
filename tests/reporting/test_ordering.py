"""Systems, kinds and splits are put in reading order."""

import numpy as np

from lab41_sce.data.splits import split_snr_db
from lab41_sce.reporting import ordering


def test_splits_are_ordered_from_clean_to_noisy():
    splits = ["unseen, SNR -5 dB", "unseen, SNR 10 dB", "unseen", "in-set", "unseen, SNR 5 dB", "unseen, SNR 2.5 dB"]
    assert ordering.ordered_splits([*splits, "unseen"]) == [
        "in-set", "unseen", "unseen, SNR 10 dB", "unseen, SNR 5 dB", "unseen, SNR 2.5 dB", "unseen, SNR -5 dB"]


def test_kinds_are_ordered_with_all_last():
    assert ordering.ordered_kinds(["MM", "All", "FM", "FF", "FM"]) == ["FF", "FM", "MM", "All"]


def test_only_oracle_centroids_have_the_name_of_a_system_in_front():
    assert ordering.is_reference("mine_oracle_centroids") and ordering.is_reference("phase_sensitive_mask")
    assert not ordering.is_reference("learned_phase_sensitive_mask")
    assert not ordering.is_reference("my_unprocessed")


def test_references_come_last_from_floor_to_ceiling():
    systems = ["ideal_ratio_mask", "sce_oracle_centroids", "sce", "unprocessed", "pit_cnn", "sce"]
    ordered = ordering.ordered_systems(systems)
    assert ordered == ["sce", "pit_cnn", "unprocessed", "sce_oracle_centroids", "ideal_ratio_mask"]
    assert [ordering.is_reference(system) for system in ordered] == [False, False, True, True, True]


def test_the_signal_to_noise_ratio_is_read_from_the_name_of_a_split():
    splits = ("unseen", "unseen, SNR -5 dB", "in-set, SNR 2.5 dB")
    assert [split_snr_db(split) for split in splits] == [np.inf, -5, 2.5]

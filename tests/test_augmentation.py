"""`lab41_sce.augmentation`: the responses are what they promise, and filtering does nothing else."""

import numpy as np
import pytest

from lab41_sce.augmentation import augment, random_responses, telephone_response

FREQUENCIES_HZ = np.linspace(0, 5000, 501)


def test_random_responses_are_smooth_different_and_within_their_range():
    """Neighbours differ little, speakers a lot, and none leaves +- half of the range."""
    responses_db = 20 * np.log10(random_responses(np.random.default_rng(0), 50, FREQUENCIES_HZ, range_db=20.0))
    assert responses_db.shape == (50, 501)
    assert np.abs(responses_db).max() <= 10.0
    assert np.abs(np.diff(responses_db)).max() < 0.3
    assert responses_db.std(axis=0).mean() > 1.0


def test_telephone_response_passes_speech_and_stops_the_rest():
    """1 from 300 to 3400 Hz, 50 dB down from 100 Hz outside on, falling in between."""
    response_db = 20 * np.log10(telephone_response(FREQUENCIES_HZ))
    inside = (FREQUENCIES_HZ >= 300) & (FREQUENCIES_HZ <= 3400)
    outside = (FREQUENCIES_HZ <= 200) | (FREQUENCIES_HZ >= 3500)
    np.testing.assert_allclose(response_db[inside], 0.0, atol=1e-5)
    np.testing.assert_allclose(response_db[outside], -50.0, atol=1e-4)


@pytest.mark.parametrize(("frequency_hz", "gain_db"), [(100.0, -50.0), (1000.0, 0.0), (4000.0, -50.0)])
def test_a_telephone_line_filters_every_source_alike(frequency_hz, gain_db):
    """Tones within its band pass, others are 50 dB weaker."""
    tone = np.sin(2 * np.pi * frequency_hz * np.arange(10000) / 10000).astype(np.float32)
    filtered = augment(np.random.default_rng(0), np.stack([tone, 2 * tone]), 10000, response_db=0.0, telephone=1.0)
    assert filtered.shape == (2, 10000) and filtered.dtype == np.float32
    np.testing.assert_allclose(20 * np.log10(filtered.std(axis=1) / tone.std()), [gain_db, gain_db + 6.02], atol=0.01)


def test_sources_get_different_responses_and_the_same_seed_the_same():
    """What is drawn depends on the source and on nothing but the generator."""
    click = np.zeros((2, 2000), np.float32)
    click[:, 1000] = 1.0
    first, again = (augment(np.random.default_rng(3), click, 10000, response_db=20.0, telephone=0.0) for _ in "ab")
    np.testing.assert_array_equal(first, again)
    assert np.abs(first[0] - first[1]).max() > 0.01


def test_nothing_is_done_when_nothing_is_asked_for():
    """Without a range and without telephones the very same array comes back."""
    sources = np.ones((2, 10), np.float32)
    assert augment(np.random.default_rng(0), sources, 10000, response_db=0.0, telephone=0.0) is sources

"""`lab41_sce.data.frequency_response`: the responses are what they promise, and filtering does nothing else."""

import numpy as np
import pytest

from lab41_sce.data.frequency_response import TERMS, draw_responses, response_basis
from lab41_sce.models.frequency_response import respond
from lab41_sce.models.front_end import FrontEnd

FREQUENCIES_HZ = np.linspace(0, 5000, 501)


def test_random_responses_are_smooth_different_and_within_their_range():
    """Neighbours differ little, speakers a lot, and none leaves +- half of the range."""
    drawn = draw_responses(np.random.default_rng(0), 50, range_db=20.0, telephone=0.0)
    assert drawn.shape == (50, TERMS + 1) and drawn.dtype == np.float32 and not drawn[:, -1].any()
    responses_db = drawn @ response_basis(FREQUENCIES_HZ)
    assert np.abs(responses_db).max() <= 10.0
    assert np.abs(np.diff(responses_db)).max() < 0.3
    assert responses_db.std(axis=0).mean() > 1.0
    np.testing.assert_array_equal(draw_responses(np.random.default_rng(0), 50, 20.0, 0.0), drawn)


def test_all_sources_of_a_mixture_or_none_are_on_the_telephone():
    lines = [draw_responses(np.random.default_rng(seed), 3, 0.0, 0.25)[:, -1] for seed in range(400)]
    assert all(line.min() == line.max() for line in lines)
    assert 0.15 < np.mean([line[0] for line in lines]) < 0.35


def test_telephone_response_passes_speech_and_stops_the_rest():
    """0 dB from 300 to 3400 Hz, -50 from 100 Hz outside on, falling in between."""
    response_db = response_basis(FREQUENCIES_HZ)[-1]
    inside = (FREQUENCIES_HZ >= 300) & (FREQUENCIES_HZ <= 3400)
    outside = (FREQUENCIES_HZ <= 200) | (FREQUENCIES_HZ >= 3500)
    np.testing.assert_allclose(response_db[inside], 0.0, atol=1e-5)
    np.testing.assert_allclose(response_db[outside], -50.0, atol=1e-4)


@pytest.mark.parametrize(("frequency_hz", "difference_db"), [(150.0, -50.0), (2000.0, 0.0), (4000.0, -50.0)])
def test_a_telephone_line_weakens_tones_outside_its_band(frequency_hz, difference_db):
    """A tone beside one that passes: the second keeps its level, together they keep their energy."""
    time = np.arange(10000) / 10000
    tones = np.stack([np.sin(2 * np.pi * hz * time) for hz in (frequency_hz, 1000.0)]).astype(np.float32)
    front_end = FrontEnd()
    spectra = [np.array(part) for part in front_end.analyse(tones.sum(axis=0)[None, None])]
    responses = np.zeros((1, 1, TERMS + 1), np.float32)
    responses[..., -1] = 1
    filtered = np.hypot(*(np.array(part) for part in respond(*spectra, responses, 10000)))[0, 0]
    before = np.hypot(*spectra)[0, 0]
    bins = [round(hz / 10000 * 512) for hz in (frequency_hz, 1000.0)]
    gains_db = 20 * np.log10(filtered[20, bins] / before[20, bins])
    assert gains_db[0] - gains_db[1] == pytest.approx(difference_db, abs=0.01)
    assert (filtered**2).sum() == pytest.approx((before**2).sum(), rel=1e-4)


def test_responses_filter_spectra_as_they_would_signals():
    """Each source by its own; who is silent stays so."""
    rng = np.random.default_rng(3)
    sources = rng.standard_normal((2, 3, 8000)).astype(np.float32)
    sources[1, 2] = 0
    responses = np.stack([draw_responses(rng, 3, 6.0, 0.0) for _ in range(2)])
    front_end = FrontEnd(pre_emphasis=0.0)
    real, imaginary = respond(*front_end.analyse(sources), responses, 10000)
    found = np.array(real) + 1j * np.array(imaginary)
    factors = 10 ** (responses @ response_basis(np.fft.rfftfreq(8000, 1 / 10000)) / 20)
    expected = front_end.spectrogram(np.fft.irfft(np.fft.rfft(sources) * factors).astype(np.float32))
    assert not found[1, 2].any()
    for place in [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1)]:
        before = front_end.spectrogram(sources[place])
        scale = np.linalg.norm(before) / np.linalg.norm(expected[place])
        error = np.abs(found[place] - scale * expected[place])[2:-2]
        assert (error**2).sum() < 1e-4 * (np.abs(found[place]) ** 2).sum()  # -40 dB

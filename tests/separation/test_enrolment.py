"""A recording that enrols a person is checked: it contains speech, whatever its level."""

import numpy as np
import pytest
from scipy.signal import lfilter

from lab41_sce.audio.recording import Recording
from lab41_sce.data.corpus import EMBEDDED_ROOT
from lab41_sce.errors import UserError
from lab41_sce.examples import EXAMPLES
from lab41_sce.models.numpy_front_end import NumpyFrontEnd
from lab41_sce.separation.voice_description import MIN_SPEECH_VARIATION_DB, check_speech, spectral_variation_db

FRONT_END = NumpyFrontEnd()
WHITE = 0.1 * np.random.default_rng(0).standard_normal(80_000)
TIME = np.arange(80_000) / 10_000
NOISES = {"white": WHITE, "brown": lfilter([1], [1, -0.98], WHITE), "swelling": WHITE * (1.1 + np.sin(TIME)),
          "hum": np.sin(2 * np.pi * 100 * TIME) + np.sin(2 * np.pi * 300 * TIME) + 0.01 * WHITE}


def magnitudes(signal):
    return np.abs(FRONT_END.spectrogram(signal.astype(np.float32)))


def speech(file):
    recording = Recording.open(file, "mix")
    rate_hz = recording.sample_rate_hz
    signal = recording.read(0, recording.n_samples)[0]
    return np.interp(np.arange(0, len(signal) / rate_hz, 1e-4), np.arange(len(signal)) / rate_hz, signal)


@pytest.mark.parametrize("name", NOISES)
def test_steady_noise_is_refused_in_one_sentence(name):
    with pytest.raises(UserError, match=r"ann.wav contains no speech: its spectrum varies by [12].\d dB, and that of "
                                        r"speech by at least 3 dB; give a few seconds"):
        check_speech("ann.wav", magnitudes(NOISES[name]), FRONT_END)


FILES = [*EXAMPLES, *sorted(EMBEDDED_ROOT.rglob("*-0000.ogg"))[:8]]


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
@pytest.mark.parametrize("snr_db", [np.inf, 10])
def test_speech_is_accepted_also_with_noise(file, snr_db):
    signal = speech(file)
    noisy = signal + np.resize(WHITE, len(signal)) * signal.std() / WHITE.std() * 10 ** (-snr_db / 20)
    check_speech("ann.wav", magnitudes(noisy), FRONT_END)
    assert spectral_variation_db(magnitudes(0.01 * noisy), FRONT_END) == pytest.approx(
        spectral_variation_db(magnitudes(noisy), FRONT_END), rel=1e-3)


def test_a_few_words_in_long_noise_are_speech():
    signal = speech(EXAMPLES[0])
    with_noise = np.concatenate([np.resize(WHITE, 500_000) * 0.1 * signal.std() / WHITE.std(), signal])
    assert spectral_variation_db(magnitudes(with_noise), FRONT_END) > MIN_SPEECH_VARIATION_DB

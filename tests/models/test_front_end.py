"""The front end against scipy's STFT, and its inverse at every length."""

import keras
import numpy as np
import pytest
from scipy.signal import ShortTimeFFT, lfilter

from lab41_sce.errors import UserError
from lab41_sce.models.front_end import FrontEnd
from lab41_sce.separation.running_scaling import RunningScaling


@pytest.mark.parametrize("length", [1, 2, 255, 256, 257, 1000, 25600, 38401])
@pytest.mark.parametrize(("frame", "hop"), [(512, 256), (512, 128), (400, 100)])
def test_synthesis_inverts_analysis_at_any_length(length, frame, hop):
    front_end = FrontEnd(frame_length=frame, hop_length=hop)
    signals = np.random.default_rng(0).standard_normal((2, length)).astype(np.float32)
    spectrogram = front_end.spectrogram(signals)
    assert spectrogram.shape == (2, 1 + (length + frame - hop - 1) // hop, frame // 2 + 1)
    np.testing.assert_allclose(front_end.synthesise(spectrogram, length), signals, atol=1e-5)


def test_analysis_agrees_with_scipy():
    signal = np.random.default_rng(0).standard_normal(5000).astype(np.float32)
    window = np.hanning(513)[:-1]
    scipy_stft = ShortTimeFFT(window, 256, fs=10000, fft_mode="onesided", phase_shift=None)
    emphasised = lfilter([1, -0.95], 1, signal)
    # scipy's frames are centred on p * hop and counted from 0; ours begin frame - hop before the signal.
    expected = scipy_stft.stft(emphasised, p0=0, p1=21)
    np.testing.assert_allclose(FrontEnd().spectrogram(signal).T[:, :21], expected, atol=1e-4)


@pytest.mark.parametrize("compression", ["sqrt", "log"])
def test_input_is_scaled_whatever_the_level(compression):
    magnitude = np.random.default_rng(0).random((1, 20, 257)).astype(np.float32)
    min_max = FrontEnd(compression=compression, scaling="min_max")
    standard = FrontEnd(compression=compression, scaling="standard")
    assert (np.min(min_max(magnitude)), np.max(min_max(magnitude))) == pytest.approx((0, 1))
    assert (np.mean(standard(magnitude)), np.std(standard(magnitude))) == pytest.approx((0, 1), abs=1e-4)
    for front_end in (min_max, standard):
        np.testing.assert_allclose(front_end(magnitude), front_end(0.01 * magnitude), atol=1e-4)


@pytest.mark.parametrize("compression", ["sqrt", "log"])
@pytest.mark.parametrize("scaling", ["min_max", "standard"])
def test_parts_are_scaled_as_the_whole(compression, scaling):
    front_end = FrontEnd(compression=compression, scaling=scaling)
    magnitude = np.exp(np.random.default_rng(0).standard_normal((90, 257))).astype(np.float32)
    running = RunningScaling(front_end)
    for part in (magnitude[:20], magnitude[20:21], magnitude[21:]):
        running.add(part)
    expected = front_end(magnitude[None])[0]
    np.testing.assert_allclose(np.concatenate([running(magnitude[:50]), running(magnitude[50:])]), expected, atol=2e-3)
    silent = RunningScaling(front_end)
    silent.add(np.zeros((5, 257)))
    np.testing.assert_allclose(silent(np.zeros((5, 257))), front_end(np.zeros((1, 5, 257), np.float32))[0], atol=1e-6)


@pytest.mark.parametrize(("compression", "scaling"), [("log", "standard"), ("sqrt", "min_max")])
def test_long_pauses_change_nothing_for_speech(compression, scaling):
    front_end = FrontEnd(compression=compression, scaling=scaling)
    speech = np.random.default_rng(0).gamma(1.0, 1.0, (200, 257)).astype(np.float32)
    alone, among = RunningScaling(front_end), RunningScaling(front_end)
    for scaling_ in (alone, among):
        scaling_.add(speech)
    for _ in range(10):
        among.add(1e-3 * speech)  # 60 dB below
    assert among.peak == alone.peak == speech.max()
    np.testing.assert_allclose(among(speech), alone(speech), atol=0.01)


@pytest.mark.parametrize("n_events", [1, 3])
def test_events_hardly_change_the_peak(n_events):
    """0.15 seconds in 5, or three times as much in two minutes."""
    rng, running = np.random.default_rng(0), RunningScaling(FrontEnd(compression="log", scaling="standard"))
    speech = rng.gamma(1.0, 1.0, (200 if n_events == 1 else 4700, 257)).astype(np.float32)
    running.add(speech)
    for _ in range(n_events):
        running.add(1000 * speech[:6])
    assert speech.max() < running.peak < 4 * speech.max()
    assert running(1000 * speech[:6]).max() == pytest.approx(running(np.full((1, 257), running.peak)).max())


def test_silence_stays_finite():
    for compression in ("sqrt", "log"):
        for scaling in ("min_max", "standard"):
            features = FrontEnd(compression=compression, scaling=scaling)(np.zeros((1, 5, 257), np.float32))
            assert np.isfinite(features).all()


def test_configuration_survives_serialisation():
    front_end = FrontEnd(frame_length=256, hop_length=64, pre_emphasis=0.5, compression="log", scaling="standard")
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(front_end))
    assert again.get_config() == front_end.get_config()


def test_impossible_settings_are_refused():
    with pytest.raises(UserError, match="hop_length=200 is not possible; it must divide"):
        FrontEnd(hop_length=200)
    with pytest.raises(UserError, match="cube"):
        FrontEnd(compression="cube")


@pytest.mark.parametrize("number", [3, 40, 200, 253])
def test_emphasis_is_what_pre_emphasis_does_to_a_tone(number):
    tone = np.sin(2 * np.pi * number / 512 * np.arange(10000)).astype(np.float32)
    with_it, without = (np.abs(FrontEnd(pre_emphasis=amount).spectrogram(tone))[10:20, number].mean()
                        for amount in (0.95, 0.0))
    assert FrontEnd().emphasis()[number] == pytest.approx(with_it / without, rel=0.01)
    assert FrontEnd(pre_emphasis=0.0).emphasis()[number] == 1.0

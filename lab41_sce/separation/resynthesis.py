"""Masks `[S, T, F]` and the signals of a window become voices `[S, C, n]` at the recording's rate.

The model covers frequencies up to half of its sample rate. The rest of the recording, samples minus resampled samples,
is divided among the voices in proportion to their masks in the highest bins of the model, so that the voices sum to
the recording. Where masks sum to less than one, the voices receive less of it.
"""

import numpy as np

from lab41_sce import audio
from lab41_sce.models.numpy_front_end import NumpyFrontEnd
from lab41_sce.separation.window_signals import WindowSignals, first_frame_seconds, frame_seconds

HIGH_BINS = 0.7  # bins above this share of the model's band determine the shares of the remainder


def synthesise_voices(front_end: NumpyFrontEnd, masks: np.ndarray, shares: np.ndarray, signals: WindowSignals,
                      sample_rate_hz: int) -> np.ndarray:
    """Apply masks to the spectrograms of a window.

    Args:
        front_end: front end of the model.
        masks: float32 or complex64 `[S, T, F]`.
        shares: masks that divide the remainder, float32 `[S, T, F]`, at least 0.
        signals: the window, C channels of n samples.
        sample_rate_hz: sample rate of the recording.

    Returns:
        Voices, float32 `[S, C, n]`. They sum to the samples of the window if the masks sum to one.
    """
    n_samples = signals.samples.shape[1]
    voices = front_end.synthesise(signals.spectrograms * masks[:, None], signals.resampled.shape[1])  # [S, C, N]
    rates = front_end.sample_rate_hz, sample_rate_hz
    voices = np.stack([_resample_to_length(voice, *rates, n_samples) for voice in voices])
    remainder = signals.samples - _resample_to_length(signals.resampled, *rates, n_samples)
    first = round(HIGH_BINS * masks.shape[2])
    high = _high_band_shares(front_end, masks[..., first:], shares[..., first:], signals.spectrograms[..., first:],
                             n_samples, sample_rate_hz)
    return voices + high[:, None] * remainder


def _resample_to_length(signals: np.ndarray, from_hz: float, to_hz: float, length: int) -> np.ndarray:
    """Resample signals `[C, N]` to `[C, length]`; rounding may lose samples at the end, which become zeros."""
    resampled = [audio.resample(signal, from_hz, to_hz)[:length] for signal in signals]
    return np.stack([np.pad(signal, (0, length - len(signal))) for signal in resampled])


def _high_band_shares(front_end: NumpyFrontEnd, masks: np.ndarray, shares: np.ndarray, spectrograms: np.ndarray,
                      n_samples: int, sample_rate_hz: int) -> np.ndarray:
    """Compute the mean share of each voice in some bins, for every sample: `[S, n]`."""
    kept = np.minimum(np.abs(masks.sum(axis=0)), 1.0)  # less than one where there is a rest
    weights = (np.abs(spectrograms) ** 2).mean(axis=0) + 1e-12  # [T, bins]
    means = (shares * (kept * weights)).sum(axis=2) / np.maximum((shares.sum(axis=0) * weights).sum(axis=1), 1e-20)
    sample_times = np.arange(n_samples) / sample_rate_hz
    frame_times = first_frame_seconds(front_end) + np.arange(masks.shape[1]) * frame_seconds(front_end)
    return np.stack([np.interp(sample_times, frame_times, mean) for mean in means]).astype(np.float32)

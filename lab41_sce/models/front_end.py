"""Signals become spectrograms and network input, and spectrograms become signals again.

The front end of the article (section "Experiments"): pre-emphasis s(n) - 0.95 s(n-1), a Hann STFT of 512 samples every
256, and the square root of the magnitude scaled to [0, 1]. It is a Keras layer inside every model, so training and
inference cannot differ, and it runs on any Keras backend. Synthesis is its exact inverse: overlap-add with the dual of
the window, then the recursion that undoes pre-emphasis.

Conventions: signals `[..., N]`, spectrograms `[..., T, F]` complex or a (real, imaginary) pair of tensors,
`F = frame_length // 2 + 1` and `T = 1 + (N + frame_length - hop_length - 1) // hop_length`.
"""

from dataclasses import fields
from typing import Any

import keras
import numpy as np
from keras import ops
from scipy.signal import get_window, lfilter

from lab41_sce.errors import UserError
from lab41_sce.models import Tensor
from lab41_sce.models.settings import FrontEndSettings

ARTICLE = FrontEndSettings()  # the defaults are those of the article


@keras.saving.register_keras_serializable("lab41_sce")
class FrontEnd(keras.layers.Layer):
    """Turn the magnitude of a mixture's spectrogram into the network's input, and signals into spectrograms.

    `FrontEndSettings` describes the arguments.

    Raises:
        UserError: `hop_length` does not divide `frame_length` at least twice, or another value is not possible.
    """

    def __init__(self, sample_rate_hz: int = ARTICLE.sample_rate_hz, frame_length: int = ARTICLE.frame_length,
                 hop_length: int = ARTICLE.hop_length, pre_emphasis: float = ARTICLE.pre_emphasis,
                 compression: str = ARTICLE.compression, scaling: str = ARTICLE.scaling,
                 range_db: float = ARTICLE.range_db, **kwargs: Any):
        super().__init__(**kwargs)
        # Checks the values.
        FrontEndSettings(sample_rate_hz, frame_length, hop_length, pre_emphasis, compression, scaling, range_db)
        self.sample_rate_hz, self.frame_length, self.hop_length = sample_rate_hz, frame_length, hop_length
        self.pre_emphasis, self.compression, self.scaling = pre_emphasis, compression, scaling
        self.range_db = range_db

    @property
    def n_bins(self) -> int:
        """The number of frequency bins, F."""
        return self.frame_length // 2 + 1

    def emphasis(self) -> np.ndarray:
        """Compute the factor by which pre-emphasis multiplies the magnitudes of each bin: float32 array `[F]`."""
        turns = np.arange(self.n_bins) / self.frame_length
        return np.abs(1.0 - self.pre_emphasis * np.exp(-2j * np.pi * turns)).astype(np.float32)

    def analyse(self, signals: Tensor) -> tuple[Tensor, Tensor]:
        """Compute the pre-emphasised STFT of signals.

        Args:
            signals: float32 `[..., N]`, tensor or array.

        Returns:
            Real and imaginary parts, two float32 tensors `[..., T, F]`.
        """
        signals = ops.convert_to_tensor(signals, "float32")
        # One zero before the first sample, so that the difference keeps the length and can be undone.
        lead = [(0, 0)] * (len(signals.shape) - 1)
        padded = ops.pad(signals, lead + [(1, 0)])
        signals = signals - self.pre_emphasis * padded[..., :-1]
        # Every sample lies in frame_length / hop_length frames, those at the edges included.
        signals = ops.pad(signals, lead + [(self.frame_length - self.hop_length, self.frame_length - 1)])
        return ops.stft(signals, self.frame_length, self.hop_length, self.frame_length, window="hann", center=False)

    def spectrogram(self, signals: Tensor) -> np.ndarray:
        """Compute the same as `analyse` in NumPy: complex64 `[..., T, F]`."""
        real, imaginary = self.analyse(signals)
        return ops.convert_to_numpy(real) + 1j * ops.convert_to_numpy(imaginary)

    def synthesise(self, spectrogram: np.ndarray, length: int) -> np.ndarray:
        """Turn spectrograms back into signals: the exact inverse of `analyse`.

        Args:
            spectrogram: complex array `[..., T, F]`.
            length: N, the samples of each signal.

        Returns:
            float32 array `[..., N]`.
        """
        frame, hop = self.frame_length, self.hop_length
        window = get_window("hann", frame)
        overlap = (window**2).reshape(-1, hop).sum(axis=0)  # the same at each hop
        frames = np.fft.irfft(spectrogram, frame) * (window / np.tile(overlap, frame // hop))
        n_frames = frames.shape[-2]
        signals = np.zeros((*frames.shape[:-2], n_frames + frame // hop - 1, hop))
        for part in range(frame // hop):  # the part-th hop of frame t lands in hop t + part of the signal
            signals[..., part : part + n_frames, :] += frames[..., part * hop : (part + 1) * hop]
        signals = signals.reshape(*frames.shape[:-2], -1)[..., frame - hop : frame - hop + length]
        return lfilter([1.0], [1.0, -self.pre_emphasis], signals).astype(np.float32)

    def to_signals(self, real: Tensor, imaginary: Tensor, length: int) -> Tensor:
        """Turn spectrograms into signals on any backend, with gradients.

        Pre-emphasis is undone in the frequency domain, where the response of a short filter is only nearly a factor.

        Args:
            real: real parts, float32 `[..., T, F]`.
            imaginary: imaginary parts.
            length: N, the samples of each signal.

        Returns:
            float32 `[..., N]`.
        """
        turns = np.arange(self.n_bins) / self.frame_length
        inverse = 1.0 / (1.0 - self.pre_emphasis * np.exp(-2j * np.pi * turns))
        inverse_real, inverse_imaginary = (ops.convert_to_tensor(part, "float32")
                                           for part in (inverse.real, inverse.imag))
        real, imaginary = (real * inverse_real - imaginary * inverse_imaginary,
                           real * inverse_imaginary + imaginary * inverse_real)
        frame, hop = self.frame_length, self.hop_length
        window = get_window("hann", frame)
        overlap = (window**2).reshape(-1, hop).sum(axis=0)  # the same at each hop
        dual = ops.convert_to_tensor(window / np.tile(overlap, frame // hop), "float32")
        frames = ops.irfft((real, imaginary), frame) * dual
        n_parts, lead = frame // hop, [(0, 0)] * (len(frames.shape) - 2)
        parts = [ops.pad(frames[..., part * hop : (part + 1) * hop], [*lead, (part, n_parts - 1 - part), (0, 0)])
                 for part in range(n_parts)]  # the part-th hop of frame t lands in hop t + part of the signal
        signals = ops.reshape(sum(parts), (*frames.shape[:-2], -1))
        return signals[..., frame - hop : frame - hop + length]

    def call(self, magnitude: Tensor) -> Tensor:
        """Compress and scale magnitudes `[B, T, F]` to the network's input, float32 `[B, T, F]`."""
        features = self.compress(magnitude, ops.max(magnitude, axis=(1, 2), keepdims=True))
        if self.scaling == "min_max":
            low = ops.min(features, axis=(1, 2), keepdims=True)
            return (features - low) / ops.maximum(ops.max(features, axis=(1, 2), keepdims=True) - low, 1e-6)
        mean = ops.mean(features, axis=(1, 2), keepdims=True)
        return (features - mean) / ops.maximum(ops.std(features, axis=(1, 2), keepdims=True), 1e-6)

    def compress(self, magnitude: Tensor, peak: Tensor) -> Tensor:
        """Compress magnitudes relative to the peak of their utterance.

        Args:
            magnitude: float32 `[..., T, F]`.
            peak: largest magnitude of the utterance, broadcast against `magnitude`.

        Returns:
            float32 `[..., T, F]`; silence stays zero with "sqrt" and is `-range_db` with "log".
        """
        relative = magnitude / ops.maximum(peak, 1e-12)
        if self.compression == "sqrt":
            return ops.sqrt(relative)
        return 20.0 * ops.log10(ops.maximum(relative, 10.0 ** (-self.range_db / 20.0)))

    def get_config(self) -> dict[str, Any]:
        """Return the arguments, for serialisation."""
        return super().get_config() | {item.name: getattr(self, item.name) for item in fields(FrontEndSettings)}


def magnitude(real: Tensor, imaginary: Tensor) -> Tensor:
    """Compute `|X|` from real and imaginary parts (tensors of one shape); its gradient is finite at zero."""
    return ops.sqrt(ops.square(real) + ops.square(imaginary) + 1e-16)


def refuse_onnx(format: str) -> None:
    """Raise UserError for an export to ONNX by Keras, which writes the transform as an operator of no runtime."""
    if format == "onnx":
        raise UserError("Keras 3.15 exports the Fourier transform to ONNX in a form that no runtime can load; use "
                        "lab41-sce export MODEL --format onnx.")

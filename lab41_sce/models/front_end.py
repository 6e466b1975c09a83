"""The front end as a Keras layer: signals become spectrograms and network input, inside every model.

A model contains the layer, so training and inference cannot differ, and the layer runs on any Keras backend.
`numpy_front_end.py` describes the transform and computes the same numbers in NumPy, and the way back to signals.

Conventions: signals `[..., N]`, spectrograms `[..., T, F]` as a (real, imaginary) pair of tensors.
"""

from dataclasses import fields
from typing import Any

import keras
from keras import ops

from lab41_sce.errors import UserError
from lab41_sce.models import Tensor
from lab41_sce.models.numpy_front_end import ARTICLE, MIN_MAGNITUDE, NumpyFrontEnd
from lab41_sce.models.settings import FrontEndSettings


@keras.saving.register_keras_serializable("lab41_sce")
class FrontEnd(keras.layers.Layer, NumpyFrontEnd):
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
        NumpyFrontEnd.__init__(self, sample_rate_hz, frame_length, hop_length, pre_emphasis, compression, scaling,
                               range_db)

    def analyse(self, signals: Tensor) -> tuple[Tensor, Tensor]:
        """Compute the pre-emphasised STFT of signals, as `spectrogram` does in NumPy.

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
        # Keras 3.15 on TensorFlow takes the symmetric window for "hann" if the length is odd.
        window = ops.convert_to_tensor(self._window(), "float32")
        return ops.stft(signals, self.frame_length, self.hop_length, self.frame_length, window=window, center=False)

    def call(self, magnitude: Tensor) -> Tensor:
        """Compress and scale magnitudes `[B, T, F]`, as `features` does in NumPy: float32 `[B, T, F]`."""
        features = magnitude / ops.maximum(ops.max(magnitude, axis=(1, 2), keepdims=True), 1e-12)
        if self.compression == "sqrt":
            features = ops.sqrt(features)
        else:
            features = 20.0 * ops.log10(ops.maximum(features, 10.0 ** (-self.range_db / 20.0)))
        if self.scaling == "min_max":
            low = ops.min(features, axis=(1, 2), keepdims=True)
            return (features - low) / ops.maximum(ops.max(features, axis=(1, 2), keepdims=True) - low, 1e-6)
        mean = ops.mean(features, axis=(1, 2), keepdims=True)
        return (features - mean) / ops.maximum(ops.std(features, axis=(1, 2), keepdims=True), 1e-6)

    def get_config(self) -> dict[str, Any]:
        """Return the arguments, for serialisation."""
        return super().get_config() | {item.name: getattr(self, item.name) for item in fields(FrontEndSettings)}


def magnitude(real: Tensor, imaginary: Tensor) -> Tensor:
    """Compute `|X|` from real and imaginary parts (tensors of one shape); its gradient is finite at zero."""
    return ops.sqrt(ops.square(real) + ops.square(imaginary) + MIN_MAGNITUDE**2)


def refuse_onnx(format: str) -> None:
    """Raise UserError for an export to ONNX by Keras, which writes the transform as an operator of no runtime."""
    if format == "onnx":
        raise UserError("Keras 3.15 exports the Fourier transform to ONNX in a form that no runtime can load; use "
                        "lab41-sce export MODEL --format onnx.")

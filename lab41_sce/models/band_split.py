"""Spectrograms `[B, T, F, C]` become features of frequency bands `[B, T', Q, D]`, and features become numbers for bins.

Bands are narrow at low frequencies, where the harmonics of voices lie, and wide at high frequencies (band-split RNN,
arXiv 2209.15174). A band of P neighbouring frames becomes D numbers, so that T' = ceil(T / P). Dual-path blocks
(arXiv 1910.06379) run an LSTM over time for each band, then an LSTM over the bands of each time step.
"""

from typing import Any

import keras
import numpy as np
from keras import layers, ops

from lab41_sce.models import Tensor
from lab41_sce.models.lstm import BidirectionalLSTM

# Upper end of a frequency range, and the width of the bands in it, in Hz
BAND_WIDTHS_HZ = ((1000.0, 125.0), (3000.0, 250.0), (6000.0, 500.0), (np.inf, 1000.0))


def band_starts(n_bins: int, bin_hz: float) -> list[int]:
    """Return the first bin of each band.

    Args:
        n_bins: F.
        bin_hz: distance between two bins, in Hz.
    """
    starts, start = [0], 0
    while True:
        width_hz = next(width for end, width in BAND_WIDTHS_HZ if start * bin_hz < end)
        start += max(1, round(width_hz / bin_hz))
        if start + width_hz / bin_hz / 2 > n_bins:  # less than half a band is left: the last band gets it
            return starts
        starts.append(start)


class _Bands(layers.Layer):
    """Hold the places of bins in bands that are padded to the same number of bins, W."""

    def __init__(self, starts: list[int], n_bins: int, frames_per_step: int, **options: Any):
        super().__init__(**options)
        self.starts, self.n_bins, self.frames_per_step = starts, n_bins, frames_per_step
        stops = [*starts[1:], n_bins]
        self._n_padded = max(stop - start for start, stop in zip(starts, stops, strict=True))
        places = np.array(starts)[:, None] + np.arange(self._n_padded)  # [Q, W]
        self._valid = (places < np.array(stops)[:, None]).astype(np.float32)
        self._gather = np.minimum(places, n_bins - 1).ravel()
        self._scatter = np.flatnonzero(self._valid)  # place of each bin in [Q W]

    def _matrix(self, name: str, n_inputs: int, n_outputs: int) -> tuple[Any, Any]:
        """Return a matrix `[Q, inputs, outputs]` and a bias `[Q, outputs]` for each band."""
        normal = keras.initializers.RandomNormal(stddev=n_inputs**-0.5)
        n_bands = len(self.starts)
        return (self.add_weight((n_bands, n_inputs, n_outputs), initializer=normal, name=f"{name}_kernel"),
                self.add_weight((n_bands, n_outputs), initializer="zeros", name=f"{name}_bias"))

    def get_config(self) -> dict[str, Any]:
        """Return the arguments, for serialisation."""
        names = ("starts", "n_bins", "frames_per_step")
        return super().get_config() | {name: getattr(self, name) for name in names}


@keras.saving.register_keras_serializable("lab41_sce")
class BandSplit(_Bands):
    """Map C numbers for each bin, float32 `[B, T, F, C]`, to features `[B, T', Q, D]`.

    Args:
        starts: first bin of each of the Q bands.
        n_bins: F.
        frames_per_step: P; T must be a multiple of P.
        width: D.
        **options: of `keras.layers.Layer`.
    """

    def __init__(self, starts: list[int], n_bins: int, frames_per_step: int, width: int, **options: Any):
        super().__init__(starts, n_bins, frames_per_step, **options)
        self.width = width

    def build(self, shape: tuple[int | None, ...]) -> None:
        """Create the weights for inputs of a shape `[B, T, F, C]`."""
        self.kernel, self.bias = self._matrix("split", self.frames_per_step * self._n_padded * shape[-1], self.width)

    def call(self, bins: Tensor) -> Tensor:
        """Map `[B, T, F, C]` to `[B, T', Q, D]`."""
        n_bands, n_numbers, steps = len(self.starts), bins.shape[-1], self.frames_per_step
        bins = ops.take(bins, self._gather, axis=2)  # [B, T, Q W, C]
        bins = bins * ops.reshape(ops.convert_to_tensor(self._valid), (1, 1, -1, 1))
        bins = ops.reshape(bins, (-1, ops.shape(bins)[1] // steps, steps, n_bands, self._n_padded * n_numbers))
        bins = ops.reshape(ops.swapaxes(bins, 2, 3), (-1, ops.shape(bins)[1], n_bands, self.kernel.shape[1]))
        return ops.einsum("btqw,qwd->btqd", bins, self.kernel) + self.bias

    def get_config(self) -> dict[str, Any]:
        """Return the arguments, for serialisation."""
        return super().get_config() | {"width": self.width}


@keras.saving.register_keras_serializable("lab41_sce")
class BandMerge(_Bands):
    """Map features `[B, T', Q, D]` to C numbers for each bin, float32 `[B, P T', F, C]`, by two layers for each band.

    Args:
        starts: first bin of each of the Q bands.
        n_bins: F.
        frames_per_step: P.
        hidden: numbers of the hidden layer.
        n_numbers: C.
        **options: of `keras.layers.Layer`.
    """

    def __init__(self, starts: list[int], n_bins: int, frames_per_step: int, hidden: int, n_numbers: int,
                 **options: Any):
        super().__init__(starts, n_bins, frames_per_step, **options)
        self.hidden, self.n_numbers = hidden, n_numbers
        self.norm = layers.RMSNormalization(name="norm")

    def build(self, shape: tuple[int | None, ...]) -> None:
        """Create the weights for inputs of a shape `[B, T', Q, D]`."""
        self.norm.build(shape)
        self.first, self.first_bias = self._matrix("first", shape[-1], self.hidden)
        self.second, self.second_bias = self._matrix(
            "second", self.hidden, self.frames_per_step * self._n_padded * self.n_numbers)

    def call(self, features: Tensor) -> Tensor:
        """Map `[B, T', Q, D]` to `[B, P T', F, C]`."""
        n_bands, steps, n_steps = len(self.starts), self.frames_per_step, ops.shape(features)[1]
        hidden = ops.tanh(ops.einsum("btqd,qdh->btqh", self.norm(features), self.first) + self.first_bias)
        bins = ops.einsum("btqh,qhw->btqw", hidden, self.second) + self.second_bias  # [B, T', Q, P W C]
        bins = ops.reshape(bins, (-1, n_steps, n_bands, steps, self._n_padded * self.n_numbers))
        bins = ops.reshape(ops.swapaxes(bins, 2, 3), (-1, n_steps * steps, n_bands * self._n_padded, self.n_numbers))
        return ops.take(bins, self._scatter, axis=2)

    def get_config(self) -> dict[str, Any]:
        """Return the arguments, for serialisation."""
        return super().get_config() | {"hidden": self.hidden, "n_numbers": self.n_numbers}


@keras.saving.register_keras_serializable("lab41_sce")
class DualPathBlock(layers.Layer):
    """Map features `[B, T', Q, D]` to the same shape: an LSTM over time for each band, then one over the bands.

    Args:
        units: LSTM units in each direction.
        training_dtype: see `lstm.BidirectionalLSTM`.
        **options: of `keras.layers.Layer`.
    """

    def __init__(self, units: int, *, training_dtype: str, **options: Any):
        super().__init__(**options)
        self.units, self.training_dtype = units, training_dtype
        self.time_norm, self.bands_norm = (layers.RMSNormalization(name=f"{path}_norm") for path in ("time", "bands"))
        self.time_lstm, self.bands_lstm = (
            BidirectionalLSTM(layers.LSTM(units, return_sequences=True), training_dtype=training_dtype,
                              name=f"{path}_lstm") for path in ("time", "bands"))

    def build(self, shape: tuple[int | None, ...]) -> None:
        """Create the weights for inputs of a shape `[B, T', Q, D]`."""
        sequence, hidden = (None, None, shape[-1]), (None, None, 2 * self.units)
        self.time_dense, self.bands_dense = (layers.Dense(shape[-1], name=f"{path}_dense") for path in ("time", "bands"))
        for layer in (self.time_norm, self.time_lstm, self.bands_norm, self.bands_lstm):
            layer.build(sequence)
        for dense in (self.time_dense, self.bands_dense):
            dense.build(hidden)

    def call(self, features: Tensor, training: bool | None = None) -> Tensor:
        """Map features `[B, T', Q, D]` to `[B, T', Q, D]`."""
        n_steps, n_bands, width = ops.shape(features)[1], features.shape[2], features.shape[3]
        by_band = ops.reshape(ops.swapaxes(features, 1, 2), (-1, n_steps, width))  # [B Q, T', D]
        by_band = by_band + self.time_dense(self.time_lstm(self.time_norm(by_band), training=training))
        features = ops.swapaxes(ops.reshape(by_band, (-1, n_bands, n_steps, width)), 1, 2)
        by_step = ops.reshape(features, (-1, n_bands, width))  # [B T', Q, D]
        by_step = by_step + self.bands_dense(self.bands_lstm(self.bands_norm(by_step), training=training))
        return ops.reshape(by_step, (-1, n_steps, n_bands, width))

    def get_config(self) -> dict[str, Any]:
        """Return the arguments, for serialisation."""
        return super().get_config() | {"units": self.units, "training_dtype": self.training_dtype}

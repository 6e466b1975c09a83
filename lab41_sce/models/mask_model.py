"""A waveform `[N]` becomes masks `[S, T, F]`, by a network with one output for each speaker.

This is the model that `methods/pit.py` and `methods/recurrent_mask.py` train and that a run saves. The error that both
minimise is here, too.

A network for any number of frames (BLSTM, CNN over time) processes the whole utterance. A network for a fixed number
of frames (the CNN of the article) processes segments: the features of the whole utterance are scaled and then cut, in
training and in separation (`segments.py`).
"""

from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import ops

import lab41_sce.models.networks  # noqa: F401, registers the layers of a saved network
from lab41_sce.errors import UserError
from lab41_sce.models import Tensor
from lab41_sce.models.front_end import FrontEnd, magnitude, refuse_onnx
from lab41_sce.models.mask_estimation import RATIO_FLOOR, SegmentMasks
from lab41_sce.models.segments import evenly_spaced_starts, segment_indices


def softmax_masks(outputs: Tensor) -> Tensor:
    """Compute masks `[B, S, T, F]` from a network's outputs `[B, T, F, S]` by the softmax over S."""
    return ops.moveaxis(ops.softmax(outputs, axis=-1), -1, 1)


def ratio_masks(outputs: Tensor, floor: float = RATIO_FLOOR) -> Tensor:
    """Compute masks as shares of the outputs, `|y_s| / sum_r |y_r|` (arXiv 1502.04149).

    Args:
        outputs: `[B, T, F, S]`.
        floor: added to the sum, and 1/S of it to each term. The shares are equal where all outputs vanish, and the
            slope near zero is at most 1 / floor.

    Returns:
        Masks, `[B, S, T, F]`, that sum to one over S.
    """
    sizes = ops.abs(ops.moveaxis(outputs, -1, 1))
    return (sizes + floor / sizes.shape[1]) / (ops.sum(sizes, axis=1, keepdims=True) + floor)


MASKS = {"softmax": softmax_masks, "ratio": ratio_masks}


def reconstruction_errors(masks: Tensor, mixture: Tensor, sources: Tensor) -> Tensor:
    """Compare every masked mixture with every source.

    Args:
        masks: float `[B, S, T, F]`.
        mixture: magnitudes `[B, T, F]`.
        sources: magnitudes `[B, S, T, F]`.

    Returns:
        `[B, S, S]`: the energy of (mask s times mixture) minus source r, divided by the mixture's energy, so that it
        does not depend on the level. In silence all errors are about 0.
    """
    estimates = masks * mixture[:, None]
    errors = ops.sum(ops.square(estimates[:, :, None] - sources[:, None]), axis=(3, 4))
    energies = ops.sum(ops.square(mixture), axis=(1, 2))
    return errors / ops.maximum(energies, 1e-8)[:, None, None]  # speech of unit variance has more than 1e5


def cut(spectrograms: Tensor, starts: np.ndarray, segment_frames: int) -> Tensor:
    """Cut spectrograms into segments.

    Args:
        spectrograms: `[B, T, F]` or `[B, S, T, F]`.
        starts: integers `[n]`, the first frame of each segment.
        segment_frames: frames of a segment; if there are fewer frames, the last one is repeated.

    Returns:
        `[B * n, segment_frames, F]` or `[B * n, S, segment_frames, F]`; the n segments of an item are consecutive.
    """
    frames = segment_indices(spectrograms.shape[-2], starts, segment_frames)
    segments = ops.moveaxis(ops.take(spectrograms, frames, axis=-2), -3, 1)  # [B, n, ...]
    return ops.reshape(segments, (-1, *segments.shape[2:]))


@keras.saving.register_keras_serializable("lab41_sce")
class MaskModel(keras.Model, SegmentMasks):
    """Map waveforms `[B, N]` to masks `[B, S, T, F]`, and one waveform of any length to masks.

    Args:
        front_end: a `FrontEnd` layer.
        network: Keras model from `[B, T, F]` to `[B, T, F, S]`.
        n_speakers: S.
        mask: function from the network's outputs to masks, "softmax" or "ratio".
        segment_frames: T of a network for a fixed number of frames; None for a network for any number.
    """

    front_end: FrontEnd

    def __init__(self, front_end: FrontEnd, network: keras.Model, n_speakers: int, mask: str = "softmax",
                 segment_frames: int | None = None, **kwargs: Any):
        super().__init__(**kwargs)
        if mask not in MASKS:
            raise ValueError(f"mask '{mask}' must be one of {', '.join(MASKS)}.")
        SegmentMasks.__init__(self, front_end, network, n_speakers, mask, segment_frames)
        self.built = True  # its parts are built

    def call(self, mixtures: Tensor, training: bool = False) -> Tensor:
        """Estimate the masks of waveforms, float32 `[B, N]`; the result is that of `estimate`."""
        return self.estimate(magnitude(*self.front_end.analyse(mixtures)), training)

    def estimate(self, mixture: Tensor, training: bool = False) -> Tensor:
        """Estimate the masks of magnitudes `[B, T, F]`: `[B, S, T, F]`, or those of the segments that `cut` gives."""
        outputs = self.network(self.cut(self.front_end(mixture)), training=training)
        return MASKS[self.mask](outputs)

    def cut(self, spectrograms: Tensor) -> Tensor:
        """Cut spectrograms into training segments (see the function `cut`); a network for any T receives them whole."""
        if self.segment_frames is None:
            return spectrograms
        starts = evenly_spaced_starts(spectrograms.shape[-2], self.segment_frames)
        return cut(spectrograms, starts, self.segment_frames)

    def masks_of_segments(self, features: np.ndarray) -> np.ndarray:
        """Run the network on segments: float32 `[B, T, F]` to masks `[B, S, T, F]`."""
        return ops.convert_to_numpy(MASKS[self.mask](self.network.predict_on_batch(features)))

    def export(self, filepath: str | Path, format: str = "tf_saved_model", **options: Any) -> None:
        """Export the model from waveforms on, as `keras.Model.export` does; `models/export.py` exports the network.

        Raises:
            UserError: the format is "onnx", or the network has a fixed number of frames.
        """
        refuse_onnx(format)
        if self.segment_frames is not None:
            raise UserError("a model that cuts waveforms into segments cannot be exported from waveforms on; use "
                            "lab41-sce export MODEL --format saved_model.")
        super().export(filepath, format, **options)

    def get_config(self) -> dict:
        """Return the arguments of the constructor, for serialisation."""
        parts = {name: keras.saving.serialize_keras_object(getattr(self, name)) for name in ("front_end", "network")}
        names = ("n_speakers", "mask", "segment_frames")
        return super().get_config() | parts | {name: getattr(self, name) for name in names}

    @classmethod
    def from_config(cls, config: dict) -> "MaskModel":
        """Make a model from the result of `get_config`."""
        parts = {name: keras.saving.deserialize_keras_object(config.pop(name)) for name in ("front_end", "network")}
        return cls(**parts, **config)

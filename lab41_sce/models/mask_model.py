"""A mixture `[N]` becomes masks `[S, T, F]`, from a network with one output for each speaker.

This is the model that `pit.py` and `recurrent_mask.py` train and that a run saves; the error that both of them
minimise is here, too. A network for any number of frames (BLSTM) is given the utterance whole. One that sees a fixed
number of frames (CNN) is given segments: its features are those of the whole utterance, scaled and then cut, in
training and in separation. It may name the speakers differently in each segment, so separation lets segments overlap
by half and gives each the order that agrees best with the one before.
"""

import math

import keras
import numpy as np
from keras import ops
from scipy.optimize import linear_sum_assignment

import lab41_sce.models.networks  # noqa: F401, registers the layers of a saved network
from lab41_sce.errors import UserError
from lab41_sce.models.front_end import magnitude


def softmax_masks(outputs):
    """Turn a network's outputs `[B, T, F, S]` into masks `[B, S, T, F]` by the softmax over S."""
    return ops.moveaxis(ops.softmax(outputs, axis=-1), -1, 1)


def ratio_masks(outputs, floor=1e-4):
    """Turn outputs into masks by their shares `|y_s| / sum_r |y_r|` (arXiv 1502.04149).

    Args:
        outputs: `[B, T, F, S]`.
        floor: added to the sum, and 1/S of it to each: equal shares where all outputs vanish, and a slope of at most
            1 / floor near there.

    Returns:
        Masks, `[B, S, T, F]`, that sum to one over S.
    """
    sizes = ops.abs(ops.moveaxis(outputs, -1, 1))
    return (sizes + floor / sizes.shape[1]) / (ops.sum(sizes, axis=1, keepdims=True) + floor)


MASKS = {"softmax": softmax_masks, "ratio": ratio_masks}


def reconstruction_errors(masks, mixture, sources):
    """Compare every masked mixture with every source.

    Args:
        masks: float `[B, S, T, F]`.
        mixture: magnitudes `[B, T, F]`.
        sources: magnitudes `[B, S, T, F]`.

    Returns:
        `[B, S, S]`: the energy of (mask s times mixture) minus source r, divided by the mixture's energy, so that the
        level does not matter. In silence all are about 0.
    """
    estimates = masks * mixture[:, None]
    errors = ops.sum(ops.square(estimates[:, :, None] - sources[:, None]), axis=(3, 4))
    energies = ops.sum(ops.square(mixture), axis=(1, 2))
    return errors / ops.maximum(energies, 1e-8)[:, None, None]  # speech of unit variance has more than 1e5


def evenly_spaced_starts(n_frames: int, segment_frames: int) -> np.ndarray:
    """Return where the fewest segments start that cover all frames, evenly spread: integers `[n]`."""
    n_segments = math.ceil(n_frames / segment_frames)
    return np.linspace(0, max(n_frames - segment_frames, 0), n_segments).round().astype(int)


def overlapping_starts(n_frames: int, segment_frames: int) -> np.ndarray:
    """Return where segments start that overlap by half, the last one by more: integers `[n]`."""
    last = max(n_frames - segment_frames, 0)
    return np.append(np.arange(0, last, max(segment_frames // 2, 1)), last)


def cut(spectrograms, starts, segment_frames: int):
    """Cut spectrograms into segments.

    Args:
        spectrograms: `[B, T, F]` or `[B, S, T, F]`.
        starts: integers `[n]`, the first frame of each segment.
        segment_frames: frames of a segment; if T is less, the last frame is repeated.

    Returns:
        `[B * n, segment_frames, F]` or `[B * n, S, segment_frames, F]`: the n segments of an item in a row.
    """
    frames = np.minimum(starts[:, None] + np.arange(segment_frames), spectrograms.shape[-2] - 1)
    segments = ops.moveaxis(ops.take(spectrograms, frames, axis=-2), -3, 1)  # [B, n, ...]
    return ops.reshape(segments, (-1, *segments.shape[2:]))


def join(masks: np.ndarray, starts: np.ndarray, mixture: np.ndarray) -> np.ndarray:
    """Put the masks of overlapping segments together: each in the order of the one before, then cross-faded.

    Args:
        masks: `[n, S, segment_frames, F]`; they sum to one over S.
        starts: integers `[n]`, see `overlapping_starts`.
        mixture: magnitudes `[T, F]`. Two orders agree as far as their masks correlate in the common frames, bins
            weighted by magnitude.

    Returns:
        Masks, float32 `[S, T, F]`, that sum to one over S.
    """
    segment_frames, n_frames = masks.shape[2], len(mixture)
    ordered = [masks[0]]
    for segment, start, start_before in zip(masks[1:], starts[1:], starts[:-1], strict=True):
        common = mixture[start : start_before + segment_frames]
        before = ordered[-1][:, start - start_before :]
        agreement = np.einsum("stf,rtf->sr", before * common, segment[:, : len(common)])
        ordered.append(segment[linear_sum_assignment(agreement, maximize=True)[1]])

    window = np.bartlett(segment_frames + 2)[1:-1, None]  # a triangle, nowhere zero
    total, weights = np.zeros((masks.shape[1], *mixture.shape)), np.zeros((n_frames, 1))
    for segment, start in zip(ordered, starts, strict=True):
        place = slice(start, start + segment_frames)
        total[:, place] += (window * segment)[:, : n_frames - start]
        weights[place] += window[: n_frames - start]
    return (total / weights).astype(np.float32)


@keras.saving.register_keras_serializable("lab41_sce")
class MaskModel(keras.Model):
    """Map waveforms `[B, N]` to masks `[B, S, T, F]`, and one waveform to masks.

    Args:
        front_end: a `FrontEnd` layer.
        network: Keras model from `[B, T, F]` to `[B, T, F, S]`.
        n_speakers: S.
        mask: what makes the network's outputs masks, "softmax" or "ratio".
        segment_frames: T of a network that takes no other; None for one that takes any.
    """

    def __init__(self, front_end, network, n_speakers, mask="softmax", segment_frames=None, **kwargs):
        super().__init__(**kwargs)
        if mask not in MASKS:
            raise ValueError(f"mask '{mask}' must be one of {', '.join(MASKS)}.")
        self.front_end = front_end
        self.network = network
        self.n_speakers = n_speakers
        self.mask = mask
        self.segment_frames = segment_frames
        self.built = True  # as its parts are

    def call(self, mixtures, training=False):
        """Estimate masks of waveforms: float32 `[B, N]` to those of `estimate`."""
        return self.estimate(magnitude(*self.front_end.analyse(mixtures)), training)

    def estimate(self, mixture, training=False):
        """Estimate masks of magnitudes: `[B, T, F]` to `[B, S, T, F]`, or to those of the segments of `cut`."""
        outputs = self.network(self.cut(self.front_end(mixture)), training=training)
        return MASKS[self.mask](outputs)

    def cut(self, spectrograms):
        """Cut spectrograms into the segments to train on (see `cut` above); a network for any T gets them whole."""
        if self.segment_frames is None:
            return spectrograms
        starts = evenly_spaced_starts(spectrograms.shape[-2], self.segment_frames)
        return cut(spectrograms, starts, self.segment_frames)

    def masks(self, mixture, n_speakers):
        """Estimate a mask for each speaker of a mixture.

        Args:
            mixture: float32 array `[N]` at the front end's rate.
            n_speakers: S, the model's own.

        Returns:
            Masks, float32 `[S, T, F]`, that sum to one over S.

        Raises:
            UserError: another number of speakers.
        """
        if n_speakers != self.n_speakers:
            raise UserError(f"this model separates {self.n_speakers} speakers and cannot separate {n_speakers}; "
                            f"ask for {self.n_speakers}, or train one with mixtures.n_speakers={n_speakers}.")
        levels = magnitude(*self.front_end.analyse(mixture[None]))  # [1, T, F]
        segment_frames = self.segment_frames or levels.shape[1]
        starts = overlapping_starts(levels.shape[1], segment_frames)
        segments = ops.convert_to_numpy(cut(self.front_end(levels), starts, segment_frames))
        batches = [segments[first : first + 32] for first in range(0, len(segments), 32)]  # (predict is slow to start)
        outputs = np.concatenate([self.network.predict_on_batch(batch) for batch in batches])
        masks = ops.convert_to_numpy(MASKS[self.mask](outputs))
        return join(masks, starts, ops.convert_to_numpy(levels)[0])

    def get_config(self):
        """Return the arguments, for serialisation."""
        parts = {name: keras.saving.serialize_keras_object(getattr(self, name)) for name in ("front_end", "network")}
        names = ("n_speakers", "mask", "segment_frames")
        return super().get_config() | parts | {name: getattr(self, name) for name in names}

    @classmethod
    def from_config(cls, config):
        """Make the model that `get_config` described."""
        parts = {name: keras.saving.deserialize_keras_object(config.pop(name)) for name in ("front_end", "network")}
        return cls(**parts, **config)

"""A waveform `[N]` and the centroid of a speaker's embeddings `[K]` become a complex mask `[T, F]` for this speaker.

Embeddings decide which speaker owns a bin, as in `embedding_model.py`: k-means gives centroids. The network then
estimates a complex mask for each centroid, as Wavesplit (arXiv 2002.08933) steers its separation by the speaker vectors
that k-means finds:

    X   spectrogram of the mixture, amplitudes compressed     [B, T, F]
    h   features of frequency bands, from dual-path blocks    [B, T', Q, D]
    v   embeddings of length one, from h or another model     [B, T, F, K]
    p   soft assignment, softmax of the similarities to c     [B, S, T, F]
    g   features of p X and p, added to h, further blocks     [B S, T', Q, D]
    m   complex masks: p plus a correction from g             [B, S, T, F]

The masks of a mixture sum to one in every bin: what is missing is divided among the speakers in proportion to p. No
order of the speakers has to be found in training, and any number of speakers can be separated.
"""

from typing import Any

import keras
import numpy as np
from keras import ops

from lab41_sce.models import Tensor
from lab41_sce.models.clustering import active_bins, fit_centroids
from lab41_sce.models.front_end import FrontEnd, magnitude

COMPRESSION = 0.3  # exponent of the magnitudes that the networks receive


class SteeredModel(keras.Model):
    """Map waveforms to embeddings, and embeddings and centroids to complex masks; subclasses define both networks.

    Args:
        front_end: a `FrontEnd` layer.
        range_db: range below the spectral peak within which bins are clustered, in dB.
        soft_scale: sharpness of the soft assignment.
    """

    def __init__(self, front_end: FrontEnd, range_db: float, soft_scale: float, **options: Any):
        super().__init__(**options)
        self.front_end, self.range_db, self.soft_scale = front_end, range_db, soft_scale

    def call(self, inputs: dict[str, Tensor], training: bool = False) -> dict[str, Tensor]:
        """Compute embeddings, or masks, in one compiled step of `predict_on_batch`.

        Args:
            inputs: `mixtures`, float32 `[B, N]`; for masks also `features` and `embeddings` of an earlier call, and
                `centroids`, float32 `[B, S, K]`.
            training: whether the network trains.

        Returns:
            `features` and `embeddings`, as `analyse` returns them; or `masks`, float32 `[B, S, T, F, 2]`.
        """
        real, imaginary = self.front_end.analyse(inputs["mixtures"])
        if "centroids" not in inputs:
            features, embeddings = self.analyse(real, imaginary, training=training)
            return {"features": features, "embeddings": embeddings}
        assignment = self.assign(inputs["embeddings"], inputs["centroids"])
        masks = self.steer(inputs["features"], real, imaginary, assignment, training=training)
        return {"masks": ops.stack(masks, axis=-1)}

    def analyse(self, real: Tensor, imaginary: Tensor, training: bool = False) -> tuple[Tensor, Tensor]:
        """Compute features and embeddings of spectrograms.

        Args:
            real: real part, float32 `[B, T, F]`.
            imaginary: imaginary part, float32 `[B, T, F]`.
            training: whether the network trains.

        Returns:
            Features for `change`, and embeddings `[B, T, F, K]`.
        """
        raise NotImplementedError

    def change(self, features: Tensor, seen: Tensor, training: bool) -> Tensor:
        """Estimate what complex masks add to the soft assignment.

        Args:
            features: from `analyse`; a row for each mixture.
            seen: real part, imaginary part and magnitude of the compressed spectrogram times the assignment, and the
                assignment, float32 `[B S, T, F, 4]`.
            training: whether the network trains.

        Returns:
            Real and imaginary parts, float32 `[B S, T, F, 2]`.
        """
        raise NotImplementedError

    def assign(self, vectors: Tensor, centroids: Tensor, present: Tensor | None = None) -> Tensor:
        """Compute the soft assignment of bins to centroids.

        Args:
            vectors: embeddings, float32 `[B, T, F, K]`.
            centroids: float32 `[B, S, K]`.
            present: 1 for a speaker of the mixture, 0 for none, float32 `[B, S]`; None for all.

        Returns:
            float32 `[B, S, T, F]`, sums to one over S.
        """
        if centroids.shape[1] == 1:
            return ops.ones_like(vectors[:, None, :, :, 0])
        scores = ops.einsum("btfk,bsk->bstf", vectors, centroids)
        scores = self.soft_scale * (scores - 0.5 * ops.sum(ops.square(centroids), axis=-1)[..., None, None])
        if present is not None:
            scores = scores + 1e9 * (present - 1.0)[..., None, None]
        return ops.softmax(scores, axis=1)

    def steer(self, features: Tensor, real: Tensor, imaginary: Tensor, assignment: Tensor,
              training: bool = False) -> tuple[Tensor, Tensor]:
        """Estimate the complex mask of each speaker.

        Args:
            features: of the mixture, from `analyse`.
            real: real part of the mixture's spectrogram, `[B, T, F]`.
            imaginary: imaginary part.
            assignment: from `assign`, `[B, S, T, F]`; 0 in all bins for an absent speaker.
            training: whether the network trains.

        Returns:
            Real and imaginary parts of the masks, float32 `[B, S, T, F]` each. The real parts sum to one over S, the
            imaginary parts to zero.
        """
        n_speakers, n_frames, n_bins = assignment.shape[1], ops.shape(real)[1], real.shape[2]
        shares = assignment[..., None]
        seen = ops.concatenate([compressed(real, imaginary)[:, None] * shares, shares], axis=-1)
        change = self.change(features, ops.reshape(seen, (-1, n_frames, n_bins, 4)), training)
        change = ops.reshape(change, (-1, n_speakers, n_frames, n_bins, 2))
        present = ops.cast(ops.max(assignment, axis=(2, 3)) > 0, "float32")  # [B, S], 0 for absent speakers
        change = change * present[..., None, None, None]
        change = change - shares * ops.sum(change, axis=1, keepdims=True)
        return assignment + change[..., 0], change[..., 1]

    def masks(self, mixture: np.ndarray, n_speakers: int) -> np.ndarray:
        """Estimate a complex mask for each speaker of a mixture.

        Args:
            mixture: float32 `[N]`, at the front end's rate.
            n_speakers: S.

        Returns:
            complex64 `[S, T, F]`; they sum to one over S.
        """
        inputs = {"mixtures": mixture[None]}
        found = self.predict_on_batch(inputs)
        embeddings, magnitudes = found["embeddings"][0], np.abs(self.front_end.spectrogram(mixture))
        active = active_bins(magnitudes, self.range_db)
        centroids = fit_centroids(embeddings[active], magnitudes[active], n_speakers)
        masks = self.predict_on_batch(inputs | found | {"centroids": centroids[None]})["masks"][0]
        return masks[..., 0] + 1j * masks[..., 1]


def group_frames(bins: Tensor, frames_per_step: int) -> Tensor:
    """Append frames of zeros to `[B, T, F, C]` until T is a multiple of `frames_per_step`."""
    n_frames = -(-ops.shape(bins)[1] // frames_per_step) * frames_per_step
    return ops.pad(bins, [(0, 0), (0, frames_per_step - 1), (0, 0), (0, 0)])[:, :n_frames]


def compressed(real: Tensor, imaginary: Tensor) -> Tensor:
    """Compress the magnitudes of spectrograms and scale them to unit mean square.

    Args:
        real: real part, float32 `[B, T, F]`.
        imaginary: imaginary part.

    Returns:
        float32 `[B, T, F, 3]`: real part, imaginary part, magnitude. Silence stays zero.
    """
    size = magnitude(real, imaginary)
    power = ops.power(size, COMPRESSION)
    scale = ops.rsqrt(ops.mean(ops.square(power), axis=(1, 2), keepdims=True) + 1e-12)
    factor = power / size * scale
    return ops.stack([real * factor, imaginary * factor, power * scale], axis=-1)

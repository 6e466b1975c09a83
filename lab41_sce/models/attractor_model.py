"""Attractors, one point for each source among the vectors, become masks `[S, T, F]` (`methods/attractor.py`)."""

import itertools

import keras
import numpy as np
from keras import ops

from lab41_sce.errors import UserError
from lab41_sce.models.all_reduce import all_reduce_mean
from lab41_sce.models.embedding_model import EmbeddingModel

MASKS = ("softmax", "sigmoid")
ATTRACTORS = ("kmeans", "fixed")


def attractor_masks(embeddings, attractors, mask):
    """Turn vectors and attractors into masks.

    Args:
        embeddings: float32 `[B, T, F, K]`.
        attractors: float32 `[B, S, K]`.
        mask: "softmax" over the sources of `<a_s, v>`, or "sigmoid" of each.

    Returns:
        float32 `[B, S, T, F]`. Softmax masks sum to one over S; sigmoid masks need not.
    """
    scores = ops.einsum("btfk,bsk->bstf", embeddings, attractors)
    return ops.softmax(scores, axis=1) if mask == "softmax" else ops.sigmoid(scores)


def match(attractors, fixed):
    """Reorder the attractors of each mixture so that together they are nearest to the fixed ones.

    Args:
        attractors: float32 `[B, S, K]`, in any order.
        fixed: float32 `[S, K]`.

    Returns:
        float32 `[B, S, K]`, in the order of the fixed ones: the best of all S! permutations.
    """
    permutations = np.array(list(itertools.permutations(range(fixed.shape[0]))))  # [S!, S]
    # The sum of |a_s - f_s|^2 is least where that of <a_s, f_s> is largest: lengths do not depend on the order.
    products = ops.einsum("bpsk,sk->bp", ops.take(attractors, permutations, axis=1), fixed)
    best = ops.take(permutations, ops.argmax(products, axis=1), axis=0)  # [B, S]
    return ops.take_along_axis(attractors, best[..., None], axis=1)


@keras.saving.register_keras_serializable("lab41_sce")
class AttractorModel(EmbeddingModel):
    """Map waveforms `[B, N]` to vectors `[B, T, F, K]`, and one waveform to masks.

    Args:
        front_end: a `FrontEnd` layer.
        network: Keras model from `[B, T, F]` to `[B, T, F, K]`.
        n_speakers: S, of the fixed attractors.
        unit_norm: scale every vector to length one.
        scale: factor of every inner product; of use with unit norms.
        mask: "softmax" or "sigmoid", see `attractor_masks`.
        attractors: where those of a new mixture come from: "kmeans" or "fixed".
        range_db: bins at most this far below the peak make the attractors, in training (where all count alike, as in
            the article) as in k-means (where they count by magnitude, as for the other systems).

    Raises:
        UserError: there is no such mask, or there are no such attractors.
    """

    def __init__(self, front_end, network, n_speakers, unit_norm=False, scale=1.0, mask="softmax", attractors="kmeans",
                 range_db=25.0, **kwargs):
        for name, value, choices in (("mask", mask, MASKS), ("attractors", attractors, ATTRACTORS)):
            if value not in choices:
                raise UserError(f"{name}={value} is unknown; choose from {', '.join(choices)}.")
        super().__init__(front_end, network, unit_norm, range_db, soft_scale=scale, **kwargs)
        self.n_speakers = n_speakers
        self.scale = scale
        self.mask = mask
        self.attractors = attractors
        # Equal ones would leave the first matches to rounding. Random directions settle them, and so small a length
        # drowns in the first means.
        self.fixed_attractors = self.add_weight(
            shape=(n_speakers, network.output_shape[-1]), initializer=keras.initializers.RandomNormal(stddev=1e-3),
            trainable=False, aggregation="mean", name="fixed_attractors",
        )

    @property
    def clusters(self):
        """Whether masks come from clustering, so that true centres are their ceiling."""
        return self.attractors == "kmeans" and self.mask == "softmax"

    def follow(self, attractors, momentum):
        """Move the fixed attractors towards the mean of those of a batch, `[B, S, K]`, matched one by one."""
        mean = all_reduce_mean(ops.mean(match(attractors, self.fixed_attractors), axis=0))
        self.fixed_attractors.assign(momentum * self.fixed_attractors + (1.0 - momentum) * mean)

    def centroids(self, vectors, magnitudes, n_speakers):
        """Find the attractors of the voices, `[S, K]`; fixed ones do not depend on the vectors.

        Raises:
            UserError: the attractors are fixed, and not S of them.
        """
        if self.attractors == "kmeans":
            return super().centroids(vectors, magnitudes, n_speakers)
        if n_speakers != self.n_speakers:
            raise UserError(f"{n_speakers} speakers cannot be separated by the fixed attractors of "
                            f"{self.n_speakers}; ask for {self.n_speakers}, or use a model built with "
                            "attractors=kmeans.")
        return self.fixed_attractors.numpy()

    def masks_from(self, vectors, centroids):
        """Turn vectors `[T, F, K]` and attractors `[S, K]` into masks `[S, T, F]`.

        Softmax masks sum to one over S; sigmoid masks need not, so that the voices may add up to more or less than the
        mixture.
        """
        return ops.convert_to_numpy(attractor_masks(vectors[None], self.scale * centroids[None], self.mask))[0]

    def get_config(self):
        """Return the arguments, for serialisation."""
        config = super().get_config() | {name: getattr(self, name) for name in
                                         ("n_speakers", "scale", "mask", "attractors")}
        del config["soft_scale"]  # is scale
        return config

"""Attractors, one point for each source in the embedding space, give masks `[S, T, F]` (`methods/attractor.py`)."""

import itertools
from typing import Any

import keras
import numpy as np
from keras import ops

from lab41_sce.errors import UserError
from lab41_sce.models import Tensor
from lab41_sce.models.all_reduce import all_reduce_mean
from lab41_sce.models.embedding_model import EmbeddingModel
from lab41_sce.models.front_end import FrontEnd
from lab41_sce.models.mask_estimation import AttractorMasks

MASKS = ("softmax", "sigmoid")
ATTRACTORS = ("kmeans", "fixed")


def attractor_masks(embeddings: Tensor, attractors: Tensor, mask: str) -> Tensor:
    """Compute masks from embeddings and attractors.

    Args:
        embeddings: float32 `[B, T, F, K]`.
        attractors: float32 `[B, S, K]`.
        mask: "softmax" over the sources of `<a_s, v>`, or "sigmoid" of each.

    Returns:
        float32 `[B, S, T, F]`. Softmax masks sum to one over S; sigmoid masks need not.
    """
    scores = ops.einsum("btfk,bsk->bstf", embeddings, attractors)
    return ops.softmax(scores, axis=1) if mask == "softmax" else ops.sigmoid(scores)


def match(attractors: Tensor, fixed: Tensor) -> Tensor:
    """Reorder the attractors of each mixture to minimise their total squared distance to the fixed attractors.

    Args:
        attractors: float32 `[B, S, K]`, in any order.
        fixed: float32 `[S, K]`.

    Returns:
        float32 `[B, S, K]`, in the best of all S! orders.
    """
    permutations = np.array(list(itertools.permutations(range(fixed.shape[0]))))  # [S!, S]
    # The sum of |a_s - f_s|^2 is smallest where the sum of <a_s, f_s> is largest, because the order changes no length.
    products = ops.einsum("bpsk,sk->bp", ops.take(attractors, permutations, axis=1), fixed)
    best = ops.take(permutations, ops.argmax(products, axis=1), axis=0)  # [B, S]
    return ops.take_along_axis(attractors, best[..., None], axis=1)


@keras.saving.register_keras_serializable("lab41_sce")
class AttractorModel(AttractorMasks, EmbeddingModel):
    """Map waveforms `[B, N]` to embeddings `[B, T, F, K]`, and embeddings to masks by attractors.

    Args:
        front_end: a `FrontEnd` layer.
        network: Keras model from `[B, T, F]` to `[B, T, F, K]`.
        n_speakers: S, the number of fixed attractors.
        unit_norm: scale every embedding to length one.
        scale: factor of every inner product; of use with unit norms.
        mask: "softmax" or "sigmoid", see `attractor_masks`.
        attractors: source of the attractors of a new mixture: "kmeans" or "fixed".
        range_db: range below the spectral peak within which bins define the attractors, in dB. In training these bins
            have equal weights, as in the article; in k-means they are weighted by magnitude, as in the other systems.

    Raises:
        UserError: `mask` or `attractors` is unknown.
    """

    def __init__(self, front_end: FrontEnd, network: keras.Model, n_speakers: int, unit_norm: bool = False,
                 scale: float = 1.0, mask: str = "softmax", attractors: str = "kmeans", range_db: float = 25.0,
                 **kwargs: Any):
        for name, value, choices in (("mask", mask, MASKS), ("attractors", attractors, ATTRACTORS)):
            if value not in choices:
                raise UserError(f"{name}={value} is unknown; choose from {', '.join(choices)}.")
        EmbeddingModel.__init__(self, front_end, network, unit_norm, range_db, soft_scale=scale, **kwargs)
        self.n_speakers = n_speakers
        self.scale = scale
        self.mask = mask
        self.attractors = attractors
        # Equal attractors would leave the first matches to rounding, so their directions are random. They are so short
        # that the first means outweigh them.
        self.fixed_attractors = self.add_weight(
            shape=(n_speakers, network.output_shape[-1]), initializer=keras.initializers.RandomNormal(stddev=1e-3),
            trainable=False, aggregation="mean", name="fixed_attractors",
        )

    @property
    def clusters(self) -> bool:
        """Return whether masks come from clustering, so that oracle centroids are an upper bound for the model."""
        return self.attractors == "kmeans" and self.mask == "softmax"

    def follow(self, attractors: Tensor, momentum: float) -> None:
        """Move the fixed attractors towards the mean attractors of a batch.

        Args:
            attractors: float32 `[B, S, K]`, in any order; each mixture's are matched to the fixed attractors.
            momentum: share of the fixed attractors that is kept, 0 to 1.
        """
        mean = all_reduce_mean(ops.mean(match(attractors, self.fixed_attractors), axis=0))
        self.fixed_attractors.assign(momentum * self.fixed_attractors + (1.0 - momentum) * mean)

    def get_config(self) -> dict:
        """Return the arguments of the constructor, for serialisation."""
        names = ("n_speakers", "scale", "mask", "attractors")
        config = super().get_config() | {name: getattr(self, name) for name in names}
        del config["soft_scale"]  # equals scale
        return config

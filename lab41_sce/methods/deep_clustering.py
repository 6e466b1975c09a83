"""Deep clustering: embeddings are parallel within a source and orthogonal between sources.

Let V `[N, K]` hold the unit embeddings of the N = T F bins of a mixture, and Y `[N, S]` a 1 where a source is the
loudest. `V V^T` is the similarity of any two bins, `Y Y^T` whether they belong to the same source. The loss is

    |V V^T - Y Y^T|^2

(Hershey, Chen, Le Roux and Watanabe, arXiv 1508.04306). It needs no speaker identities, and the order of
the sources does not matter. A new mixture is separated by k-means over its embeddings.
"""

from typing import Any

import keras
from keras import ops

from lab41_sce.methods.base import Batch, Method, Setup, bin_weights, ideal_assignment, magnitudes
from lab41_sce.methods.loss_frames import check_stride, embed_loss_frames
from lab41_sce.models import Tensor
from lab41_sce.models.embedding_model import EmbeddingModel


def build(setup: Setup, *, embedding_size: int, range_db: float, soft_scale: float | None,
          **options: Any) -> "DeepClustering":
    """Build the embedding model and its loss; `experiments/method/deep_clustering.yaml` has the defaults.

    Args:
        setup: front end and network.
        embedding_size: K.
        **options: see `DeepClustering`; the arguments between are those of `EmbeddingModel`.
    """
    network = setup.network(n_bins=setup.front_end.n_bins, n_outputs=embedding_size)
    model = EmbeddingModel(setup.front_end, network, True, range_db, soft_scale, name="separation_model")
    return DeepClustering(model, **options)


def affinity_loss(embeddings: Tensor, assignment: Tensor, weights: Tensor) -> Tensor:
    """Compute the deep clustering loss.

    Args:
        embeddings: float32 `[B, T, F, K]`.
        assignment: float32 `[B, S, T, F]`: 1 for the source that owns a bin, else 0.
        weights: weight of each bin, float32 `[B, T, F]`, at least 0.

    Returns:
        Scalar: `(<v_i, v_j> - <y_i, y_j>)^2` of each pair of bins of a mixture, averaged over all pairs with the
        weights w_i w_j, then averaged over the batch. The pairs are not listed: with W = diag(w / sum w), the loss is
        `|V^T W V|^2 - 2 |V^T W Y|^2 + |Y^T W Y|^2`, of matrices K x K, K x S and S x S. The weights are divided by
        their sum before the products, so that no sum grows with the number of bins. The rounding error is then about
        1e-7, so a perfect fit may give a value that is negative by as much.
    """
    shares = weights / ops.maximum(ops.sum(weights, axis=(1, 2), keepdims=True), 1e-12)  # [B, T, F]
    weighted = shares[..., None] * embeddings  # [B, T, F, K]
    affinity = ops.einsum("btfk,btfl->bkl", weighted, embeddings)  # V^T W V, [B, K, K]
    cross = ops.einsum("btfk,bstf->bks", weighted, assignment)  # V^T W Y, [B, K, S]
    ideal = ops.einsum("brtf,bstf->brs", shares[:, None] * assignment, assignment)  # Y^T W Y, [B, S, S]
    energies = [ops.sum(ops.square(products), axis=(1, 2)) for products in (affinity, cross, ideal)]  # [B] each
    return ops.mean(energies[0] - 2.0 * energies[1] + energies[2])


class DeepClustering(Method):
    """Map a batch of sources to the deep clustering loss.

    Args:
        model: the `EmbeddingModel` to train, with embeddings of length one.
        loss_range_db: bins further than this below the speech's peak, in dB, weigh 0; None includes all bins.
        weight_power: exponent of a bin's magnitude in its weight (`base.bin_weights`); the article has 0.
        loss_frame_stride: the loss of an update uses every n-th frame (`loss_frames.py`), from a frame on that Keras's
            seed draws.
        **kwargs: of `keras.Model`.

    Raises:
        ValueError: `loss_frame_stride` is outside its range.
    """

    def __init__(self, model: EmbeddingModel, *, loss_range_db: float | None, weight_power: float,
                 loss_frame_stride: int, **kwargs: Any):
        super().__init__(model, **kwargs)
        check_stride(loss_frame_stride)
        self.loss_range_db = loss_range_db
        self.weight_power = weight_power
        self.loss_frame_stride = loss_frame_stride
        self.seed_generator = keras.random.SeedGenerator() if loss_frame_stride > 1 else None

    def call(self, batch: Batch, training: bool = False) -> Tensor:
        """Compute the loss of a batch (see `base.Method`), a scalar."""
        mixture, sources, speech = magnitudes(self.model.front_end, batch)
        weights = bin_weights(speech, self.loss_range_db, self.weight_power)  # [B, T, F]
        embeddings, sources, weights = embed_loss_frames(self.model, mixture, sources, weights, self.loss_frame_stride,
                                                         self.seed_generator, training)
        return affinity_loss(embeddings, ideal_assignment(sources), weights)

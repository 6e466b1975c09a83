"""Deep clustering: vectors of bins of one source shall be alike, and those of different sources at right angles.

With the N bins of a mixture as rows, V `[N, K]` holds their vectors of length one and Y `[N, S]` ones where a source
is the loudest. `V V^T` says how alike any two bins are, `Y Y^T` which of them belong together, and the loss is
`|V V^T - Y Y^T|^2` (arXiv 1508.04306). No speaker needs to be known, nor does the order of the sources matter.
"""

from keras import ops

from lab41_sce.methods.base import Method, bin_weights, ideal_assignment, magnitudes
from lab41_sce.models.embedding_model import EmbeddingModel


def build(setup, embedding_size, range_db=25.0, soft_scale=None, **options):
    """Build the embedding model of a setup and what trains it.

    Args:
        setup: a `Setup`.
        embedding_size: K.
        range_db: see `EmbeddingModel`.
        soft_scale: see `EmbeddingModel`.
        **options: see `DeepClustering`.

    Returns:
        A `DeepClustering`; its `model` is the `EmbeddingModel`, whose vectors have length one.
    """
    network = setup.network(n_bins=setup.front_end.n_bins, n_outputs=embedding_size)
    model = EmbeddingModel(setup.front_end, network, True, range_db, soft_scale, name="separation_model")
    return DeepClustering(model, **options)


def affinity_loss(embeddings, assignment, weights):
    """Compute the deep clustering loss.

    Args:
        embeddings: float32 `[B, T, F, K]`.
        assignment: float32 `[B, S, T, F]`: 1 for the source that owns a bin, else 0.
        weights: float32 `[B, T, F]`, at least 0, how much each bin counts.

    Returns:
        Scalar: for each pair of bins of a mixture `(<v_i, v_j> - <y_i, y_j>)^2`, its weighted mean over all pairs (a
        pair weighs w_i w_j), then the mean over the batch. Pairs are never listed: with W = diag(w / sum w) it is
        `|V^T W V|^2 - 2 |V^T W Y|^2 + |Y^T W Y|^2`, of matrices K x K, K x S and S x S. The weights add up to one
        before the products, so no sum grows with the number of bins, and rounding leaves an error of about 1e-7 (a
        perfect fit may come out that much below zero, which no gradient notices).
    """
    shares = weights / ops.maximum(ops.sum(weights, axis=(1, 2), keepdims=True), 1e-12)
    shared_embeddings = shares[..., None] * embeddings
    affinity = ops.einsum("btfk,btfl->bkl", shared_embeddings, embeddings)
    cross = ops.einsum("btfk,bstf->bks", shared_embeddings, assignment)
    ideal = ops.einsum("brtf,bstf->brs", shares[:, None] * assignment, assignment)
    energies = [ops.sum(ops.square(products), axis=(1, 2)) for products in (affinity, cross, ideal)]
    return ops.mean(energies[0] - 2.0 * energies[1] + energies[2])


class DeepClustering(Method):
    """Map batches of sources to the deep clustering loss.

    Args:
        model: the `EmbeddingModel` to train, with vectors of length one.
        loss_range_db: bins further than this below the speech's peak do not count; None counts all.
        weight_power: of a bin's magnitude in its weight, see `base.bin_weights`; 0 is the article.
    """

    def __init__(self, model, loss_range_db=40.0, weight_power=0.0, **kwargs):
        super().__init__(model, **kwargs)
        self.loss_range_db = loss_range_db
        self.weight_power = weight_power

    def call(self, batch, training=False):
        """Compute the loss of a batch (`base.Method`): a scalar."""
        mixture, sources, speech = magnitudes(self.model.front_end, batch)
        embeddings = self.model.embeddings(mixture, training)
        weights = bin_weights(speech, self.loss_range_db, self.weight_power)
        return affinity_loss(embeddings, ideal_assignment(sources), weights)

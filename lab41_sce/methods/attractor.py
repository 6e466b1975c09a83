"""Deep attractor network (DANet): each source has a point in the embedding space that attracts the source's bins.

The attractor of source s is the mean embedding of the active bins in which s is the loudest, and the masks are a
softmax over the sources, or a sigmoid of each score:

    a_s = sum w y_s v / sum w y_s        m_s = softmax_s(<a_s, v>)  or  sigmoid(<a_s, v>)

The network is trained until mask times mixture equals the source: `sum |m_s |X| - |S_s||^2` (Chen, Luo and Mesgarani,
arXiv 1611.08930). The loudest sources are known in training only. For a new mixture the attractors
come from k-means, or they are *fixed*: over all mixtures, the attractors settle near the same S points.
"""

from typing import Any

from keras import ops

from lab41_sce.methods.base import Batch, Method, Setup, bin_weights, ideal_assignment, magnitudes, mean_vectors
from lab41_sce.models import Tensor
from lab41_sce.models.attractor_model import AttractorModel, attractor_masks


def build(setup: Setup, *, embedding_size: int, unit_norm: bool, scale: float, mask: str, attractors: str,
          range_db: float, **options: Any) -> "DeepAttractorNetwork":
    """Build the attractor model and its loss; `experiments/method/attractor.yaml` has the defaults.

    Args:
        setup: front end, network and number of speakers.
        embedding_size: K.
        **options: see `DeepAttractorNetwork`; the arguments between are those of `AttractorModel`.

    Raises:
        UserError: `mask` or `attractors` is unknown.
    """
    network = setup.network(n_bins=setup.front_end.n_bins, n_outputs=embedding_size)
    model = AttractorModel(setup.front_end, network, setup.n_speakers, unit_norm, scale, mask, attractors, range_db,
                           name="separation_model")
    return DeepAttractorNetwork(model, **options)


def mask_approximation_loss(masks: Tensor, mixture: Tensor, sources: Tensor, weights: Tensor) -> Tensor:
    """Compute the error of the masked mixture.

    Args:
        masks: float32 `[B, S, T, F]`, from 0 to 1.
        mixture: magnitudes, float32 `[B, T, F]`.
        sources: magnitudes, float32 `[B, S, T, F]`.
        weights: weight of each bin, float32 `[B, T, F]`, at least 0.

    Returns:
        Scalar: the sum of `w (m_s |X| - |S_s|)^2` over the bins and sources of a mixture, divided by the sum of
        `w |S_s|^2`, then averaged over the batch. Because of the division, neither the level nor the length of a
        mixture matters. Since |X| is at most the sum of |S_s|, the loss is bounded, even where the sources cancel each
        other or one of them is silent.
    """
    errors = ops.square(masks * mixture[:, None] - sources)  # [B, S, T, F]
    error = ops.sum(weights[:, None] * errors, axis=(1, 2, 3))  # [B]
    energy = ops.sum(weights[:, None] * ops.square(sources), axis=(1, 2, 3))  # [B]
    return ops.mean(error / ops.maximum(energy, 1e-12))


class DeepAttractorNetwork(Method):
    """Map a batch of sources to the mask approximation loss; training also moves the fixed attractors.

    The fixed attractors are a running k-means over the attractors of all mixtures, in which each mixture gives one
    attractor to each cluster. They are updated whatever `attractors` is, and no loss depends on them.

    Args:
        model: the `AttractorModel` to train.
        loss_range_db: bins further than this below the speech's peak, in dB, weigh 0; None includes all (the paper).
        momentum: share of the fixed attractors that an update keeps; they average about 1 / (1 - momentum) batches.
        **kwargs: of `keras.Model`.
    """

    def __init__(self, model: AttractorModel, *, loss_range_db: float | None, momentum: float, **kwargs: Any):
        super().__init__(model, **kwargs)
        self.loss_range_db = loss_range_db
        self.momentum = momentum

    def call(self, batch: Batch, training: bool = False) -> Tensor:
        """Compute the loss of a batch (see `base.Method`), a scalar."""
        mixture, sources, speech = magnitudes(self.model.front_end, batch)
        embeddings = self.model.embeddings(mixture, training)  # [B, T, F, K]
        active_bins = bin_weights(speech, self.model.range_db)  # [B, T, F]
        attractors = mean_vectors(embeddings, ideal_assignment(sources), active_bins)  # [B, S, K]
        if training:
            self.model.follow(attractors, self.momentum)
        masks = attractor_masks(embeddings, self.model.scale * attractors, self.model.mask)  # [B, S, T, F]
        return mask_approximation_loss(masks, mixture, sources, bin_weights(speech, self.loss_range_db))

"""Deep attractor network (DANet): each source of a mixture has a point in the vectors' space that attracts its bins.

The attractor of a source is the mean vector of the audible bins that it dominates, `a_s = sum w y_s v / sum w y_s`, and
the masks are the softmax over the sources of `<a_s, v>`, or each its sigmoid. The network is trained until masks times
mixture equal the sources' magnitudes (arXiv 1611.08930). Who dominates a bin is known in training only; a new mixture
gets its attractors from k-means, or *fixed* ones, since those of all mixtures settle in about the same S places.
"""

from keras import ops

from lab41_sce.methods.base import Method, bin_weights, ideal_assignment, magnitudes, mean_vectors
from lab41_sce.models.attractor_model import AttractorModel, attractor_masks


def build(setup, embedding_size, unit_norm=False, scale=1.0, mask="softmax", attractors="kmeans", range_db=25.0,
          **options):
    """Build the attractor model of a setup and what trains it.

    Args:
        setup: a `Setup`.
        embedding_size: K.
        unit_norm: see `AttractorModel`.
        scale: see `AttractorModel`.
        mask: see `AttractorModel`.
        attractors: see `AttractorModel`.
        range_db: see `AttractorModel`.
        **options: see `DeepAttractorNetwork`.

    Returns:
        A `DeepAttractorNetwork`; its `model` is the `AttractorModel`.

    Raises:
        UserError: there is no such mask, or there are no such attractors.
    """
    network = setup.network(n_bins=setup.front_end.n_bins, n_outputs=embedding_size)
    model = AttractorModel(setup.front_end, network, setup.n_speakers, unit_norm, scale, mask, attractors, range_db,
                           name="separation_model")
    return DeepAttractorNetwork(model, **options)


def mask_approximation_loss(masks, mixture, sources, weights):
    """Compute how far masks times mixture are from the sources.

    Args:
        masks: float32 `[B, S, T, F]`, between 0 and 1.
        mixture: magnitudes, float32 `[B, T, F]`.
        sources: magnitudes, float32 `[B, S, T, F]`.
        weights: float32 `[B, T, F]`, at least 0, how much each bin counts.

    Returns:
        Scalar: the sum of `w (m_s |X| - |S_s|)^2` over a mixture's bins and sources, divided by that of `w |S_s|^2`,
        then the mean over the batch. So neither the level nor the length of a mixture matters, and since |X| is at
        most the sum of |S_s| it is bounded, even where the sources cancel or one is silent.
    """
    errors = ops.square(masks * mixture[:, None] - sources)
    error = ops.sum(weights[:, None] * errors, axis=(1, 2, 3))
    energy = ops.sum(weights[:, None] * ops.square(sources), axis=(1, 2, 3))
    return ops.mean(error / ops.maximum(energy, 1e-12))


class DeepAttractorNetwork(Method):
    """Map batches of sources to the mask approximation loss; in training, the fixed attractors follow.

    The fixed attractors are a running k-means over the attractors of all mixtures, in which those of one mixture never
    share a centre. They are kept whatever `attractors` says, and no loss depends on them.

    Args:
        model: the `AttractorModel` to train.
        loss_range_db: bins further than this below the speech's peak do not count; None counts all (the paper).
        momentum: share of the fixed attractors that a batch leaves; they remember about 1 / (1 - momentum) batches.
    """

    def __init__(self, model, loss_range_db=40.0, momentum=0.99, **kwargs):
        super().__init__(model, **kwargs)
        self.loss_range_db = loss_range_db
        self.momentum = momentum

    def call(self, batch, training=False):
        """Compute the loss of a batch (`base.Method`): a scalar."""
        mixture, sources, speech = magnitudes(self.model.front_end, batch)
        embeddings = self.model.embeddings(mixture, training)
        active_bins = bin_weights(speech, self.model.range_db)
        attractors = mean_vectors(embeddings, ideal_assignment(sources), active_bins)
        if training:
            self.model.follow(attractors, self.momentum)
        masks = attractor_masks(embeddings, self.model.scale * attractors, self.model.mask)
        return mask_approximation_loss(masks, mixture, sources, bin_weights(speech, self.loss_range_db))

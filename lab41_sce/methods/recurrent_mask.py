"""The recurrent mask network of Huang et al. (arXiv 1502.04149): each output belongs to one speaker of the mixture.

A recurrent network with the mask as its last layer, `|y_s| / sum_r |y_r|`, is trained for all sources jointly: every
masked mixture should come close to its own source and stay away from the others ("discriminative training" there).
That article knows in advance who speaks. Here the outputs follow the numbers of the speakers, lowest first, and women
come before men: of a woman and a man, output 1 is the woman. Of two women or two men who were not trained on, the
order is arbitrary, and nothing in the mixture tells it: this is the weakness that permutation-invariant training and
the systems that cluster embeddings remove.

The network is that of the configuration, as for the other systems; that article had one-directional recurrent layers.
"""

from keras import ops

from lab41_sce.methods.base import Method, magnitudes
from lab41_sce.models.mask_model import MaskModel, reconstruction_errors


def build(setup, gamma=0.05):
    """Build the mask model of a setup and what trains it.

    Args:
        setup: a `Setup`.
        gamma: see `discriminative_loss`.

    Returns:
        A `RecurrentMasks`; its `model` is the `MaskModel`.
    """
    network = setup.network(n_bins=setup.front_end.n_bins, n_outputs=setup.n_speakers)
    model = MaskModel(setup.front_end, network, setup.n_speakers, "ratio", name="separation_model")
    return RecurrentMasks(model, gamma)


def discriminative_loss(masks, mixture, sources, gamma):
    """Compute the joint reconstruction loss.

    Args:
        masks: float32 `[B, S, T, F]`.
        mixture: magnitudes, float32 `[B, T, F]`.
        sources: magnitudes, float32 `[B, S, T, F]`, in the order of the masks.
        gamma: weight of the distance from the other sources; 0 ignores them. Masks lie between 0 and 1, so this term
            is bounded, and so is the loss; it may be negative.

    Returns:
        Scalar: `sum_s |m_s X - S_s|^2 - gamma sum_{s != r} |m_s X - S_r|^2`, divided by the mixture's energy; then
        the mean over items.
    """
    errors = reconstruction_errors(masks, mixture, sources)  # [B, S, S]
    own = ops.trace(errors, axis1=1, axis2=2)
    others = ops.sum(errors, axis=(1, 2)) - own
    return ops.mean(own - gamma * others)


def in_speaker_order(sources, speaker_ids):
    """Sort sources `[B, S, T, F]` by the numbers of their speakers, int32 `[B, S]`, lowest first."""
    order = ops.argsort(speaker_ids, axis=1)
    return ops.take_along_axis(sources, order[:, :, None, None], axis=1)


class RecurrentMasks(Method):
    """Map batches of sources and speaker ids to the joint reconstruction loss.

    Args:
        model: the `MaskModel` to train.
        gamma: see `discriminative_loss`.
    """

    def __init__(self, model, gamma=0.05, **kwargs):
        super().__init__(model, **kwargs)
        self.gamma = gamma

    def call(self, batch, training=False):
        """Compute the loss of a batch (`base.Method`): a scalar."""
        mixture, sources, _ = magnitudes(self.model.front_end, batch)
        masks = self.model.estimate(mixture, training)
        return discriminative_loss(masks, mixture, in_speaker_order(sources, batch["speaker_ids"]), self.gamma)

"""The recurrent mask network of Huang, Kim, Hasegawa-Johnson and Smaragdis (arXiv 1502.04149).

The masks are the last layer of the network, `m_s = |y_s| / sum_r |y_r|`, and all sources are trained jointly. Each
masked mixture should come close to its own source and stay away from the others ("discriminative training"):

    sum_s |m_s |X| - |S_s||^2  -  gamma sum_{s != r} |m_s |X| - |S_r||^2

In that article the speakers are known in advance. Here the outputs follow the indices of the speakers, lowest first,
and women have lower indices than men: of a woman and a man, output 1 is the woman. Two women or two men who were not
among the training speakers have no defined order, and the mixture does not determine one. Permutation-invariant
training and the systems that cluster embeddings do not have this weakness.

The network is that of the configuration, as for the other systems; that article has one-directional recurrent layers.
"""

from typing import Any

from keras import ops

from lab41_sce.methods.base import Batch, Method, Setup, magnitudes
from lab41_sce.models import Tensor
from lab41_sce.models.mask_model import MaskModel, reconstruction_errors


def build(setup: Setup, *, gamma: float) -> "RecurrentMasks":
    """Build the mask model and its loss; `experiments/method/recurrent_mask.yaml` has the defaults.

    Args:
        setup: front end, network and number of speakers.
        gamma: see `discriminative_loss`.
    """
    network = setup.network(n_bins=setup.front_end.n_bins, n_outputs=setup.n_speakers)
    model = MaskModel(setup.front_end, network, setup.n_speakers, "ratio", name="separation_model")
    return RecurrentMasks(model, gamma=gamma)


def discriminative_loss(masks: Tensor, mixture: Tensor, sources: Tensor, gamma: float) -> Tensor:
    """Compute the joint reconstruction loss.

    Args:
        masks: float32 `[B, S, T, F]`.
        mixture: magnitudes, float32 `[B, T, F]`.
        sources: magnitudes, float32 `[B, S, T, F]`, in the order of the masks.
        gamma: weight of the distance from the other sources; 0 ignores them. Masks are from 0 to 1, so this term is
            bounded, and so is the loss. The loss may be negative.

    Returns:
        Scalar: the sum above, divided by the mixture's energy, averaged over the batch.
    """
    errors = reconstruction_errors(masks, mixture, sources)  # [B, S, S]
    own = ops.trace(errors, axis1=1, axis2=2)  # [B]
    others = ops.sum(errors, axis=(1, 2)) - own  # [B]
    return ops.mean(own - gamma * others)


def in_speaker_order(sources: Tensor, speaker_ids: Tensor) -> Tensor:
    """Sort the sources by their speakers.

    Args:
        sources: `[B, S, T, F]`.
        speaker_ids: int32 `[B, S]`.

    Returns:
        `[B, S, T, F]`, the speaker with the lowest id first.
    """
    order = ops.argsort(speaker_ids, axis=1)  # [B, S]
    return ops.take_along_axis(sources, order[:, :, None, None], axis=1)


class RecurrentMasks(Method):
    """Map a batch of sources and speaker ids to the joint reconstruction loss.

    Args:
        model: the `MaskModel` to train.
        gamma: see `discriminative_loss`.
        **kwargs: of `keras.Model`.
    """

    def __init__(self, model: MaskModel, *, gamma: float, **kwargs: Any):
        super().__init__(model, **kwargs)
        self.gamma = gamma

    def call(self, batch: Batch, training: bool = False) -> Tensor:
        """Compute the loss of a batch (see `base.Method`), a scalar."""
        mixture, sources, _ = magnitudes(self.model.front_end, batch)
        masks = self.model.estimate(mixture, training)  # [B, S, T, F]
        return discriminative_loss(masks, mixture, in_speaker_order(sources, batch["speaker_ids"]), self.gamma)

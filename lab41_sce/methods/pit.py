"""Permutation-invariant training (PIT): masks may come in any order, the best one counts.

Masks, multiplied by the mixture's magnitude, are compared with the magnitudes of the sources in every order, and the
order with the least squared error is trained (Yu et al., arXiv 1607.00325). Given whole excerpts, as with a BLSTM, the
order is one for the excerpt, so that an output follows one speaker ("utterance-level" PIT, Kolbaek et al., arXiv
1703.06284). Given segments, as with the CNN, each has an order of its own, and separation has to line them up
(`masking.py`). No speaker is known by name, neither in training nor after.
"""

import itertools

from keras import ops

from lab41_sce.methods.base import Method, magnitudes
from lab41_sce.models.mask_model import MaskModel, reconstruction_errors


def build(setup, network=None, segment_frames=None):
    """Build the mask model of a setup and what trains it.

    Args:
        setup: a `Setup`.
        network: a network of its own, a function of `n_bins` and `n_outputs` like `setup.network`; None takes that.
        segment_frames: see `MaskModel`.

    Returns:
        A `PermutationInvariantTraining`; its `model` is the `MaskModel`.
    """
    network = (network or setup.network)(n_bins=setup.front_end.n_bins, n_outputs=setup.n_speakers)
    model = MaskModel(setup.front_end, network, setup.n_speakers, "softmax", segment_frames, name="separation_model")
    return PermutationInvariantTraining(model)


def permutation_invariant_loss(masks, mixture, sources):
    """Compute the PIT loss.

    Args:
        masks: float32 `[B, S, T, F]`.
        mixture: magnitudes, float32 `[B, T, F]`.
        sources: magnitudes, float32 `[B, S, T, F]`.

    Returns:
        Scalar: for each item the least of the errors of all S! orders, divided by the mixture's energy; then the mean.
    """
    errors = reconstruction_errors(masks, mixture, sources)  # [B, S, S]
    orders = itertools.permutations(range(masks.shape[1]))
    totals = [sum(errors[:, mask, source] for mask, source in enumerate(order)) for order in orders]
    return ops.mean(ops.min(ops.stack(totals), axis=0))


class PermutationInvariantTraining(Method):
    """Map batches of sources to the PIT loss of a `MaskModel`; one order for each excerpt or segment."""

    def call(self, batch, training=False):
        """Compute the loss of a batch (`base.Method`): a scalar."""
        mixture, sources, _ = magnitudes(self.model.front_end, batch)
        masks = self.model.estimate(mixture, training)
        return permutation_invariant_loss(masks, self.model.cut(mixture), self.model.cut(sources))

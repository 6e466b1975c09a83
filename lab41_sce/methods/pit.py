"""Permutation-invariant training (PIT) of masks: the order of the sources with the least error is trained.

Each mask times the mixture is compared with each source, and of all S! orders pi of the sources the best is trained:

    min over pi of  sum_s |m_s |X| - |S_pi(s)||^2  /  |X|^2

(Yu, Kolbaek, Tan and Jensen, arXiv 1607.00325). A BLSTM or a CNN over time receives whole excerpts,
with one order for the excerpt, so that each output follows one speaker (utterance-level PIT, Kolbaek, Yu, Tan and
Jensen, arXiv 1703.06284). The article's CNN receives segments, each with a separate order, and separation aligns the
segments (`models/mask_model.py`). No speaker identities are needed.
"""

import itertools
from collections.abc import Callable

import keras
from keras import ops

from lab41_sce.methods.base import Batch, Method, Setup, magnitudes
from lab41_sce.models import Tensor
from lab41_sce.models.mask_model import MaskModel, reconstruction_errors


def build(setup: Setup, *, network: Callable[..., keras.Model] | None,
          segment_frames: int | None) -> "PermutationInvariantTraining":
    """Build the mask model and its loss; the files `experiments/method/pit_*.yaml` have the defaults.

    Args:
        setup: front end, network and number of speakers.
        network: a function like `Setup.network`, which replaces `setup.network`; None keeps `setup.network`.
        segment_frames: see `MaskModel`.
    """
    built = (network or setup.network)(n_bins=setup.front_end.n_bins, n_outputs=setup.n_speakers)
    model = MaskModel(setup.front_end, built, setup.n_speakers, "softmax", segment_frames, name="separation_model")
    return PermutationInvariantTraining(model)


def permutation_invariant_loss(masks: Tensor, mixture: Tensor, sources: Tensor) -> Tensor:
    """Compute the PIT loss.

    Args:
        masks: float32 `[B, S, T, F]`.
        mixture: magnitudes, float32 `[B, T, F]`.
        sources: magnitudes, float32 `[B, S, T, F]`.

    Returns:
        Scalar: the least of the errors of all S! orders, divided by the mixture's energy, averaged over the batch.
    """
    errors = reconstruction_errors(masks, mixture, sources)  # [B, S, S]
    orders = itertools.permutations(range(masks.shape[1]))
    totals = [sum(errors[:, mask, source] for mask, source in enumerate(order)) for order in orders]  # S! times [B]
    return ops.mean(ops.min(ops.stack(totals), axis=0))


class PermutationInvariantTraining(Method):
    """Map a batch of sources to the PIT loss of a `MaskModel`, with one order for each excerpt or segment."""

    def call(self, batch: Batch, training: bool = False) -> Tensor:
        """Compute the loss of a batch (see `base.Method`), a scalar."""
        mixture, sources, _ = magnitudes(self.model.front_end, batch)
        masks = self.model.estimate(mixture, training)  # [B, S, T, F], or those of the segments
        return permutation_invariant_loss(masks, self.model.cut(mixture), self.model.cut(sources))

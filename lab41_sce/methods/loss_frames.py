"""The loss of an update may use every n-th frame only.

Neighbouring frames are similar, and the last layer and the loss take a large part of an update's time
(`results/trials/README.md`): the last layer then skips the other frames, too.
"""

from functools import partial

import keras
from keras import ops

from lab41_sce.errors import UserError
from lab41_sce.models import Tensor
from lab41_sce.models.embedding_model import EmbeddingModel

MAX_STRIDE = 8


def check_stride(stride: int) -> None:
    """Raise ValueError unless a distance of frames is possible."""
    if not isinstance(stride, int) or not 1 <= stride <= MAX_STRIDE:
        raise ValueError(f"loss_frame_stride={stride} is not possible; give a whole number from 1 to {MAX_STRIDE}.")


def embed_loss_frames(model: EmbeddingModel, mixture: Tensor, sources: Tensor, weights: Tensor, stride: int,
                      seed: keras.random.SeedGenerator | None, training: bool) -> tuple[Tensor, Tensor, Tensor]:
    """Embed the frames of a loss: every n-th, from a random first frame on.

    Args:
        model: makes the embeddings.
        mixture: magnitudes, float32 `[B, T, F]`.
        sources: magnitudes, float32 `[B, S, T, F]`.
        weights: weight of each bin, float32 `[B, T, F]`.
        stride: n; 1 for all frames.
        seed: draws the first frame; None only with stride 1.
        training: see `EmbeddingModel`.

    Returns:
        The embeddings `[B, T', F, K]` of T' = T // n frames, the sources `[B, S, T', F]`, and the weights `[B, T', F]`.

    Raises:
        UserError: the excerpts have less than n frames.
    """
    if stride == 1:
        return model.embeddings(mixture, training), sources, weights
    n_frames = mixture.shape[1]  # None in graphs for excerpts of any length
    if n_frames is not None and n_frames < stride:
        raise UserError(f"loss_frame_stride={stride} leaves none of the {n_frames} frames of an excerpt; give less, or "
                        "longer excerpts (mixtures.seconds).")
    select_frames = partial(strided_slice, stride, keras.random.randint((), 0, stride, seed=seed))
    embeddings = model.embed_frames(mixture, select_frames, training)
    return embeddings, select_frames(sources, axis=2), select_frames(weights)


def strided_slice(step: int, first: Tensor, values: Tensor, axis: int = 1) -> Tensor:
    """Take every `step`-th element along an axis, from `first` on.

    Args:
        step: distance between the elements.
        first: scalar, at least 0 and less than `step`.
        values: tensor with n elements along the axis.
        axis: axis to slice.

    Returns:
        Tensor with n // step elements along the axis, whatever `first` is.
    """
    return ops.take(values, ops.arange(ops.shape(values)[axis] // step) * step + first, axis=axis)

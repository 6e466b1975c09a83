"""The steps that `timing.py` measures, at the article's sizes: updates of the training, and losses alone.

    update  = front end, the article's network, loss, gradients and Adam, as in training
    loss    = forward and backward, from embeddings [B, T, F, K] to their gradients

Deep clustering has two forms here: a low-rank form, and a naive form with all pairs of the N = TF bins of a mixture.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from lab41_sce.article import sizes
from lab41_sce.methods import deep_clustering, sce
from lab41_sce.methods.base import Batch, Setup, ideal_assignment, magnitudes
from lab41_sce.models.front_end import FrontEnd
from lab41_sce.yaml_defaults import with_yaml_defaults

Step = Callable[[], Any]


def naive_affinity_loss(embeddings: Any, assignment: Any) -> Any:
    """Compute the deep clustering loss from all pairs of bins: `|V V^T - Y Y^T|^2 / N^2`.

    Args:
        embeddings: float32 `[B, T, F, K]`.
        assignment: float32 `[B, S, T, F]`.

    Returns:
        The mean loss, a scalar.
    """
    vectors = ops.reshape(embeddings, (embeddings.shape[0], -1, embeddings.shape[-1]))  # [B, N, K]
    owners = ops.reshape(assignment, (*assignment.shape[:2], -1))  # [B, S, N]
    affinity = ops.matmul(vectors, ops.swapaxes(vectors, 1, 2))
    return ops.mean(ops.square(affinity - ops.matmul(ops.swapaxes(owners, 1, 2), owners)))


class NaiveDeepClustering(deep_clustering.DeepClustering):
    """Deep clustering with the naive form of its loss."""

    def call(self, batch: Batch, training: bool = False) -> Any:
        """Compute the loss of a batch."""
        mixture, sources, _ = magnitudes(self.model.front_end, batch)
        return naive_affinity_loss(self.model.embeddings(mixture, training), ideal_assignment(sources))


def _naive(setup: Setup) -> NaiveDeepClustering:
    """Build deep clustering with the naive loss."""
    return NaiveDeepClustering(BUILDERS["deep_clustering"](setup).model, loss_range_db=None, weight_power=0.0,
                                loss_frame_stride=1)


BUILDERS: dict[str, Callable] = {
    "sce": with_yaml_defaults("method/sce_article", embedding_size=sizes.EMBEDDING_SIZE, unit_norm=True, seed=0),
    "deep_clustering": with_yaml_defaults("method/deep_clustering", embedding_size=sizes.EMBEDDING_SIZE,
                                          weight_power=0.0),
    "naive_deep_clustering": _naive}


def update_steps(batch: int, frames: int, speakers: int, systems: Sequence[str]) -> dict[str, Step]:
    """Build one training update of each system.

    Args:
        batch: number of mixtures.
        frames: number of frames of each mixture.
        speakers: number of speakers known in training.
        systems: keys of `BUILDERS`.

    Returns:
        Functions without arguments by name of the system.
    """
    rng = np.random.default_rng(0)
    sources = rng.standard_normal((batch, sizes.SOURCES, 256 * (frames - 1))).astype(np.float32)
    speaker_ids = np.array([rng.choice(speakers, sizes.SOURCES, replace=False) for _ in range(batch)], np.int32)
    steps: dict[str, Step] = {}
    for name in systems:
        network = with_yaml_defaults("network/blstm", units=sizes.UNITS)
        setup = Setup(FrontEnd(), network, sizes.SOURCES, tuple(map(str, range(speakers))))
        method = BUILDERS[name](setup)
        method.compile(keras.optimizers.Adam())
        steps[name] = partial(method.train_on_batch, {"sources": sources, "speaker_ids": speaker_ids})
    return steps


def loss_steps(batch: int, frames: int, speakers: int, systems: Sequence[str], negatives: int = 0) -> dict[str, Step]:
    """Build forward and backward computation of each loss alone, on random embeddings of unit length.

    Args:
        batch: number of mixtures.
        frames: number of frames of each mixture.
        speakers: number of speakers known in training.
        systems: keys of `BUILDERS`.
        negatives: number of extra negatives in the SCE loss.

    Returns:
        Functions by name of the system; each returns the loss and the sums of its gradients.
    """
    rng = np.random.default_rng(0)
    vectors = rng.standard_normal((batch, frames, sizes.BINS, sizes.EMBEDDING_SIZE), np.float32)
    embeddings = tf.Variable(vectors / np.linalg.norm(vectors, axis=-1, keepdims=True))
    owners = tf.constant(rng.integers(sizes.SOURCES, size=(batch, frames, sizes.BINS)))
    assignment = tf.one_hot(owners, sizes.SOURCES, axis=1)
    weights = tf.ones((batch, frames, sizes.BINS))
    drawn = np.stack([rng.choice(speakers, sizes.SOURCES, replace=False) for _ in range(batch)])
    speaker_ids = tf.constant(drawn, tf.int32)
    table = sce.SpeakerVectors(speakers, sizes.EMBEDDING_SIZE, unit_norm=True, speaker_lr_multiplier=1.0)
    seeds = keras.random.SeedGenerator(0)

    def sce_loss() -> Any:
        labels, ids = 2.0 * assignment - 1.0, speaker_ids
        if negatives:
            ids = tf.concat([ids, sce.draw_negatives(ids, speakers, negatives, seeds)], axis=1)
            labels = tf.pad(labels, [(0, 0), (0, negatives), (0, 0), (0, 0)], constant_values=-1.0)
        return sce.source_contrastive_loss(embeddings, table(ids), labels, weights)

    losses = {"sce": sce_loss,
              "deep_clustering": lambda: deep_clustering.affinity_loss(embeddings, assignment, weights),
              "naive_deep_clustering": lambda: naive_affinity_loss(embeddings, assignment)}

    def step(loss: Step) -> Step:
        @tf.function
        def gradients() -> list:
            with tf.GradientTape() as tape:
                value = loss()
            found = tape.gradient(value, [embeddings, *table.trainable_variables])
            # Sums, so that nothing large leaves the graph; the gradient of the speaker vectors stays sparse. The loss
            # is returned too, because TensorFlow would skip the operations that only its value needs.
            return [value, *(tf.reduce_sum(getattr(part, "values", part)) for part in found if part is not None)]

        return lambda: [float(part) for part in gradients()]

    return {system: step(losses[system]) for system in systems}

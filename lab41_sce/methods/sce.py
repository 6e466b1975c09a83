"""Source-contrastive estimation (SCE): learned speaker vectors pull the vectors of the bins that they dominate.

For a bin with vector v and a speaker with vector u the loss is `-log sigmoid(y <v, u>)`, where y = +1 if that speaker
is the loudest in the bin and -1 otherwise: negative sampling as in word2vec (arXiv 1705.04662, section 2). The other
speakers of the mixture are the negatives; more may be drawn from the rest of the population. The speaker vectors are
needed in training only.
"""

from functools import partial

import keras
from keras import ops

from lab41_sce.errors import UserError
from lab41_sce.models.all_reduce import all_reduce_mean
from lab41_sce.methods.base import Method, bin_weights, ideal_assignment, magnitudes, mean_vectors
from lab41_sce.models.embedding_model import EmbeddingModel, unit_length


def build(setup, embedding_size, unit_norm=True, range_db=25.0, soft_scale=None, **options):
    """Build the embedding model of a setup and what trains it.

    Args:
        setup: a `Setup`.
        embedding_size: K.
        unit_norm: scale the bins' and the speakers' vectors to length one.
        range_db: see `EmbeddingModel`.
        soft_scale: see `EmbeddingModel`.
        **options: see `SourceContrastiveEstimation`.

    Returns:
        A `SourceContrastiveEstimation`; its `model` is the `EmbeddingModel`.
    """
    network = setup.network(n_bins=setup.front_end.n_bins, n_outputs=embedding_size)
    model = EmbeddingModel(setup.front_end, network, unit_norm, range_db, soft_scale, name="separation_model")
    return SourceContrastiveEstimation(model, len(setup.speakers), **options)


def source_contrastive_loss(embeddings, speaker_vectors, labels, weights):
    """Compute the SCE loss.

    Args:
        embeddings: float32 `[B, T, F, K]`.
        speaker_vectors: float32 `[B, J, K]`, of the J speakers that each mixture is contrasted with.
        labels: float32 `[B, J, T, F]`: +1 where that speaker is the loudest, else -1.
        weights: float32 `[B, T, F]`, how much each bin counts; not all zero.

    Returns:
        Scalar: the mean of `softplus(-y <v, u>)` over speakers, then its weighted mean over bins. softplus(-x) is
        -log sigmoid(x) without overflow, whatever the margin. Of workers, the mean of these is the loss of all rows.
    """
    scores = ops.einsum("btfk,bjk->bjtf", embeddings, speaker_vectors)
    losses = ops.mean(ops.softplus(-labels * scores), axis=1)
    return ops.sum(weights * losses) / ops.maximum(all_reduce_mean(ops.sum(weights)), 1e-12)


def strided_slice(step: int, first, values, axis: int = 1):
    """Take every so-many-th place along an axis of a tensor, from `first` < `step` on, as often as that is possible."""
    return ops.take(values, ops.arange(ops.shape(values)[axis] // step) * step + first, axis=axis)


def draw_negatives(speaker_ids, n_known_speakers, num_negatives, seed):
    """Draw speakers that are not in the mixture, uniformly with replacement.

    Args:
        speaker_ids: int32 `[B, S]`, different within a row.
        n_known_speakers: P > S.
        num_negatives: how many for each mixture.
        seed: integer or `keras.random.SeedGenerator`.

    Returns:
        int32 `[B, num_negatives]`.

    Raises:
        UserError: nobody else is known.
    """
    n_present = speaker_ids.shape[1]
    if n_known_speakers <= n_present:
        raise UserError(f"{n_known_speakers} speakers leave none to draw negatives from; set num_negatives to 0.")
    drawn = keras.random.randint((ops.shape(speaker_ids)[0], num_negatives), 0, n_known_speakers - n_present, seed=seed)
    present = ops.sort(speaker_ids, axis=1)
    for place in range(n_present):  # close the gaps: number r of the absent ones, counted from the lowest id
        drawn = drawn + ops.cast(drawn >= present[:, place : place + 1], "int32")
    return drawn


def rows_of(table, rows):
    """Look rows of a variable up, `[P, K]` by int32 `[...]` to `[..., K]`; the gradient has these rows only."""
    if keras.backend.backend() != "tensorflow":
        return ops.take(table, rows, axis=0)
    import tensorflow as tf

    return tf.gather(table.value, rows)  # `ops.take` would read the whole table


@keras.saving.register_keras_serializable("lab41_sce")
class SpeakerVectors(keras.layers.Layer):
    """Own one trained vector for each known speaker.

    Args:
        n_known_speakers: P.
        size: K.
        unit_norm: scale every vector to length one.
        speaker_lr_multiplier: how much larger their optimiser steps are than the network's: each vector is touched rarely. The
            weight is stored divided by it, so any optimiser with normalised steps (Adam) moves the vectors that much
            faster.
    """

    def __init__(self, n_known_speakers, size, unit_norm=False, speaker_lr_multiplier=1.0, **kwargs):
        super().__init__(**kwargs)
        if not isinstance(speaker_lr_multiplier, (int, float)) or not speaker_lr_multiplier > 0:
            raise ValueError(f"speaker_lr_multiplier={speaker_lr_multiplier} is not possible; give a number above 0.")
        self.n_known_speakers = n_known_speakers
        self.size = size
        self.unit_norm = unit_norm
        self.speaker_lr_multiplier = speaker_lr_multiplier
        initializer = keras.initializers.TruncatedNormal(stddev=(2.0 / size) ** 0.5 / speaker_lr_multiplier)
        self.stored = self.add_weight(shape=(n_known_speakers, size), initializer=initializer, name="speaker_vectors")

    def call(self, speaker_ids):
        """Look up vectors: int32 `[...]` to float32 `[..., K]`."""
        vectors = self.speaker_lr_multiplier * rows_of(self.stored, speaker_ids)
        return unit_length(vectors) if self.unit_norm else vectors

    def get_config(self):
        """Return the arguments, for serialisation."""
        names = ("n_known_speakers", "size", "unit_norm", "speaker_lr_multiplier")
        return super().get_config() | {name: getattr(self, name) for name in names}


class SourceContrastiveEstimation(Method):
    """Map batches of sources and speaker ids to the SCE loss.

    Args:
        model: the `EmbeddingModel` to train; where its vectors have length one, so have the speakers'.
        n_known_speakers: P.
        num_negatives: speakers drawn from outside each mixture, besides those in it.
        loss_range_db: bins further than this below the speech's peak do not count; None counts all (the article).
        weight_power: of a bin's magnitude in its weight, see `base.bin_weights`.
        weight_without_pre_emphasis: whether that magnitude is the one without pre-emphasis.
        centroid_loss_weight: how much of the loss contrasts bins with the centres of the sources in their own mixture, as
            k-means will find them, instead of with the learned speaker vectors; 0 is the article.
        scale: factor of every inner product; of use with unit norms.
        speaker_lr_multiplier: see `SpeakerVectors`.
        loss_frame_stride: the loss looks at every so-many-th frame of a batch only, at others in the next: neighbours say
            almost the same, and the last layer and the loss are a large part of the time.
        seed: of the negatives and of the frames that the loss looks at.
    """

    def __init__(self, model, n_known_speakers, num_negatives=0, loss_range_db=None, weight_power=0.0,
                 weight_without_pre_emphasis=False, centroid_loss_weight=0.0, scale=1.0, speaker_lr_multiplier=1.0, loss_frame_stride=1, seed=0, **kwargs):
        super().__init__(model, **kwargs)
        if not isinstance(loss_frame_stride, int) or not 1 <= loss_frame_stride <= 8:
            raise ValueError(f"loss_frame_stride={loss_frame_stride} is not possible; give a whole number from 1 to 8.")
        if not isinstance(num_negatives, int) or num_negatives < 0:
            raise ValueError(f"num_negatives={num_negatives} is not possible; give a whole number, 0 for none.")
        if not isinstance(scale, (int, float)) or not 0 <= centroid_loss_weight <= 1:
            raise ValueError(f"scale={scale}, centroid_loss_weight={centroid_loss_weight} is not possible; give a number, and a share "
                             "from 0 to 1.")
        self.num_negatives = num_negatives
        self.loss_range_db = loss_range_db
        self.weight_power = weight_power
        self.emphasis = model.front_end.emphasis() if weight_without_pre_emphasis else 1.0
        self.centroid_loss_weight = centroid_loss_weight
        self.scale = scale
        self.loss_frame_stride = loss_frame_stride
        size = model.network.output_shape[-1]
        self.speaker_vectors = SpeakerVectors(n_known_speakers, size, model.unit_norm, speaker_lr_multiplier)
        self.seed_generator = keras.random.SeedGenerator(seed)

    def call(self, batch, training=False):
        """Compute the loss of a batch (`base.Method`): a scalar."""
        speaker_ids = batch["speaker_ids"]
        mixture, sources, speech = magnitudes(self.model.front_end, batch)
        weights = bin_weights(speech, self.loss_range_db, self.weight_power, self.emphasis)
        embed = self.model.embeddings
        if self.loss_frame_stride > 1:
            n_frames = speech.shape[1]  # None: not known while TensorFlow traces this for excerpts of any length
            if n_frames is not None and n_frames < self.loss_frame_stride:
                raise UserError(f"loss_frame_stride={self.loss_frame_stride} leaves none of the {n_frames} frames of an "
                                "excerpt; give less, or longer excerpts (mixtures.seconds).")
            first = keras.random.randint((), 0, self.loss_frame_stride, seed=self.seed_generator)
            select_frames = partial(strided_slice, self.loss_frame_stride, first)
            sources, weights = select_frames(sources, axis=2), select_frames(weights)
            embed = partial(self.model.embed_frames, select_frames=select_frames)
        assignment = ideal_assignment(sources)
        labels = in_mixture = 2.0 * assignment - 1.0  # [B, S, T, F]
        if self.num_negatives:
            negatives = draw_negatives(
                speaker_ids, self.speaker_vectors.n_known_speakers, self.num_negatives, self.seed_generator
            )
            speaker_ids = ops.concatenate([speaker_ids, negatives], axis=1)
            labels = ops.pad(labels, [(0, 0), (0, self.num_negatives), (0, 0), (0, 0)], constant_values=-1.0)
        vectors = self.scale * self.speaker_vectors(speaker_ids)
        embeddings = embed(mixture, training=training)
        loss = source_contrastive_loss(embeddings, vectors, labels, weights)
        if not self.centroid_loss_weight:
            return loss
        centroids = mean_vectors(embeddings, assignment, weights)
        centroids = self.scale * (unit_length(centroids) if self.model.unit_norm else centroids)
        by_centroids = source_contrastive_loss(embeddings, centroids, in_mixture, weights)
        return (1.0 - self.centroid_loss_weight) * loss + self.centroid_loss_weight * by_centroids

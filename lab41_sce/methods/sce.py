"""Source-contrastive estimation (SCE): each speaker has a vector that attracts the embeddings of the speaker's bins.

For a bin with embedding v and a speaker with vector u the loss is

    -log sigmoid(y <v, u>),   y = +1 if the speaker is the loudest in the bin, else -1

which is negative sampling as in word2vec (Stephenson, Callier, Ganesh and Ni, arXiv 1705.04662, section 2). The other
speakers of the mixture are the negatives; more negatives may be drawn from the rest of the population. The speaker
vectors are needed in training only: a new mixture is separated by k-means over its embeddings.
"""

from typing import Any

import keras
from keras import ops

from lab41_sce.errors import UserError
from lab41_sce.methods.base import Batch, Method, Setup, bin_weights, ideal_assignment, magnitudes, mean_vectors
from lab41_sce.methods.loss_frames import check_stride, embed_loss_frames
from lab41_sce.models import Tensor
from lab41_sce.models.all_reduce import all_reduce_mean
from lab41_sce.models.embedding_model import EmbeddingModel, unit_length


def build(setup: Setup, *, embedding_size: int, unit_norm: bool, range_db: float, soft_scale: float | None,
          **options: Any) -> "SourceContrastiveEstimation":
    """Build the embedding model and its loss; `experiments/method/sce.yaml` has the defaults.

    Args:
        setup: front end, network and known speakers.
        embedding_size: K.
        unit_norm: whether the embeddings and the speaker vectors are scaled to length one.
        **options: see `SourceContrastiveEstimation`; the arguments between are those of `EmbeddingModel`.
    """
    network = setup.network(n_bins=setup.front_end.n_bins, n_outputs=embedding_size)
    model = EmbeddingModel(setup.front_end, network, unit_norm, range_db, soft_scale, name="separation_model")
    return SourceContrastiveEstimation(model, len(setup.speakers), **options)


def source_contrastive_loss(embeddings: Tensor, speaker_vectors: Tensor, labels: Tensor, weights: Tensor) -> Tensor:
    """Compute the SCE loss.

    Args:
        embeddings: float32 `[B, T, F, K]`.
        speaker_vectors: float32 `[B, J, K]`, of the J speakers that each mixture is contrasted with.
        labels: y, float32 `[B, J, T, F]`: +1 where the speaker is the loudest, else -1.
        weights: weight of each bin, float32 `[B, T, F]`, at least 0 and not all 0.

    Returns:
        Scalar: the mean of `softplus(-y <v, u>)` over speakers, then the weighted mean over bins. softplus(-x) is
        -log sigmoid(x) without overflow. With several workers, the mean of their results is the loss of all rows.
    """
    scores = ops.einsum("btfk,bjk->bjtf", embeddings, speaker_vectors)  # <v, u>, [B, J, T, F]
    losses = ops.mean(ops.softplus(-labels * scores), axis=1)  # [B, T, F]
    return ops.sum(weights * losses) / ops.maximum(all_reduce_mean(ops.sum(weights)), 1e-12)


def draw_negatives(speaker_ids: Tensor, n_known_speakers: int, num_negatives: int,
                   seed: int | keras.random.SeedGenerator) -> Tensor:
    """Draw speakers that are not in the mixture, uniformly with replacement.

    Args:
        speaker_ids: int32 `[B, S]`, different within a row.
        n_known_speakers: P > S.
        num_negatives: speakers to draw for each mixture.
        seed: integer, or a generator whose state advances.

    Returns:
        int32 `[B, num_negatives]`.

    Raises:
        UserError: P is not more than S.
    """
    n_present = speaker_ids.shape[1]
    if n_known_speakers <= n_present:
        raise UserError(f"{n_known_speakers} speakers leave none to draw negatives from; set num_negatives to 0.")
    drawn = keras.random.randint((ops.shape(speaker_ids)[0], num_negatives), 0, n_known_speakers - n_present, seed=seed)
    present = ops.sort(speaker_ids, axis=1)
    for column in range(n_present):  # skip the present speakers: `drawn` counts the absent ones from the lowest id
        drawn = drawn + ops.cast(drawn >= present[:, column : column + 1], "int32")
    return drawn


def look_up_rows(table: keras.Variable, rows: Tensor) -> Tensor:
    """Look up rows of a variable.

    Args:
        table: `[P, K]`.
        rows: int32 `[...]`.

    Returns:
        `[..., K]`. In TensorFlow, the gradient is sparse: it has these rows only.
    """
    if keras.backend.backend() != "tensorflow":
        return ops.take(table, rows, axis=0)
    import tensorflow as tf

    return tf.gather(table.value, rows)  # `ops.take` would read the whole table


@keras.saving.register_keras_serializable("lab41_sce")
class SpeakerVectors(keras.layers.Layer):
    """Hold one trained vector for each known speaker.

    Args:
        n_known_speakers: P.
        size: K.
        unit_norm: whether every vector is scaled to length one.
        speaker_lr_multiplier: factor of the optimiser's steps, compared with those of the network, because an update
            changes few of the vectors. The weight is stored divided by the factor, so that any optimiser with
            normalised steps (Adam) moves the vectors by that much more.
        **kwargs: of `keras.layers.Layer`.

    Raises:
        ValueError: the factor is not a number above 0.
    """

    def __init__(self, n_known_speakers: int, size: int, *, unit_norm: bool, speaker_lr_multiplier: float,
                 **kwargs: Any):
        super().__init__(**kwargs)
        if not isinstance(speaker_lr_multiplier, (int, float)) or not speaker_lr_multiplier > 0:
            raise ValueError(f"speaker_lr_multiplier={speaker_lr_multiplier} is not possible; give a number above 0.")
        self.n_known_speakers = n_known_speakers
        self.size = size
        self.unit_norm = unit_norm
        self.speaker_lr_multiplier = speaker_lr_multiplier
        initializer = keras.initializers.TruncatedNormal(stddev=(2.0 / size) ** 0.5 / speaker_lr_multiplier)
        self.stored = self.add_weight(shape=(n_known_speakers, size), initializer=initializer, name="speaker_vectors")

    def call(self, speaker_ids: Tensor) -> Tensor:
        """Look up vectors: int32 `[...]` to float32 `[..., K]`."""
        vectors = self.speaker_lr_multiplier * look_up_rows(self.stored, speaker_ids)
        return unit_length(vectors) if self.unit_norm else vectors

    def get_config(self) -> dict[str, Any]:
        """Return the arguments, for serialisation."""
        names = ("n_known_speakers", "size", "unit_norm", "speaker_lr_multiplier")
        return super().get_config() | {name: getattr(self, name) for name in names}


class SourceContrastiveEstimation(Method):
    """Map a batch of sources and speaker ids to the SCE loss.

    Args:
        model: the `EmbeddingModel` to train. If its embeddings have length one, so have the speaker vectors.
        n_known_speakers: P.
        num_negatives: speakers drawn from outside each mixture, in addition to the speakers in it.
        loss_range_db: bins further than this below the speech's peak, in dB, weigh 0; None includes all (the article).
        weight_power: exponent of a bin's magnitude in its weight (`base.bin_weights`).
        weight_without_pre_emphasis: whether this magnitude is that of the signal without pre-emphasis.
        centroid_loss_weight: share of the loss that contrasts the bins with the centroids of the sources of their own
            mixture, which k-means has to find, instead of with the speaker vectors; 0 is the article.
        scale: factor of every inner product; 1 is the article, unit norms need more.
        speaker_lr_multiplier: see `SpeakerVectors`.
        loss_frame_stride: the loss of an update uses every n-th frame (`loss_frames.py`).
        seed: of the negatives and of the first frames.
        **kwargs: of `keras.Model`.

    Raises:
        ValueError: a setting is outside its range.
    """

    def __init__(self, model: EmbeddingModel, n_known_speakers: int, *, num_negatives: int,
                 loss_range_db: float | None, weight_power: float, weight_without_pre_emphasis: bool,
                 centroid_loss_weight: float, scale: float, speaker_lr_multiplier: float, loss_frame_stride: int,
                 seed: int, **kwargs: Any):
        super().__init__(model, **kwargs)
        check_stride(loss_frame_stride)
        if not isinstance(num_negatives, int) or num_negatives < 0:
            raise ValueError(f"num_negatives={num_negatives} is not possible; give a whole number, 0 for none.")
        if not isinstance(scale, (int, float)):
            raise ValueError(f"scale={scale} is not possible; give a number.")
        if not 0 <= centroid_loss_weight <= 1:
            raise ValueError(f"centroid_loss_weight={centroid_loss_weight} is not possible; give a share from 0 to 1.")
        self.num_negatives = num_negatives
        self.loss_range_db = loss_range_db
        self.weight_power = weight_power
        self.emphasis = model.front_end.emphasis() if weight_without_pre_emphasis else 1.0
        self.centroid_loss_weight = centroid_loss_weight
        self.scale = scale
        self.loss_frame_stride = loss_frame_stride
        self.speaker_vectors = SpeakerVectors(n_known_speakers, model.network.output_shape[-1],
                                              unit_norm=model.unit_norm, speaker_lr_multiplier=speaker_lr_multiplier)
        self.seed_generator = keras.random.SeedGenerator(seed)

    def call(self, batch: Batch, training: bool = False) -> Tensor:
        """Compute the loss of a batch (see `base.Method`), a scalar."""
        speaker_ids = batch["speaker_ids"]  # [B, S]
        mixture, sources, speech = magnitudes(self.model.front_end, batch)
        weights = bin_weights(speech, self.loss_range_db, self.weight_power, self.emphasis)  # [B, T, F]
        embeddings, sources, weights = embed_loss_frames(self.model, mixture, sources, weights, self.loss_frame_stride,
                                                         self.seed_generator, training)
        assignment = ideal_assignment(sources)  # [B, S, T, F]
        labels = source_labels = 2.0 * assignment - 1.0  # [B, S, T, F]
        if self.num_negatives:
            negatives = draw_negatives(speaker_ids, self.speaker_vectors.n_known_speakers, self.num_negatives,
                                       self.seed_generator)
            speaker_ids = ops.concatenate([speaker_ids, negatives], axis=1)  # [B, J], J = S + num_negatives
            labels = ops.pad(labels, [(0, 0), (0, self.num_negatives), (0, 0), (0, 0)], constant_values=-1.0)
        vectors = self.scale * self.speaker_vectors(speaker_ids)  # [B, J, K]
        loss = source_contrastive_loss(embeddings, vectors, labels, weights)
        if not self.centroid_loss_weight:
            return loss
        centroids = mean_vectors(embeddings, assignment, weights)  # [B, S, K]
        centroids = self.scale * (unit_length(centroids) if self.model.unit_norm else centroids)
        centroid_loss = source_contrastive_loss(embeddings, centroids, source_labels, weights)
        return (1.0 - self.centroid_loss_weight) * loss + self.centroid_loss_weight * centroid_loss

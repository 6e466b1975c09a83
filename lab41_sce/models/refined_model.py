"""The embeddings of a trained model become complex masks: a second stage of recurrent layers, trained on 2 cores.

The input of a step are P frames of the mixture's compressed spectrogram, of the same times the soft assignment of a
speaker, and the assignment; the output is what the complex mask adds to the assignment (`steered_model.py`).
"""

from typing import Any

import keras
from keras import layers, ops

from lab41_sce.models import Tensor
from lab41_sce.models.embedding_model import EmbeddingModel
from lab41_sce.models.front_end import magnitude
from lab41_sce.models.networks import ResidualBLSTM
from lab41_sce.models.steered_model import SteeredModel, compressed, group_frames

SIZES = ("width", "units", "n_layers", "frames_per_step", "bottleneck_rank", "training_dtype", "dropout")


@keras.saving.register_keras_serializable("lab41_sce")
class RefinedModel(SteeredModel):
    """Steer complex masks by the embeddings of a trained model, which stays as it is.

    Args:
        embedder: the trained model, with its front end and its settings for clustering.
        width: numbers for each step between the layers.
        units: LSTM units in each direction.
        n_layers: `ResidualBLSTM` layers.
        frames_per_step: P.
        bottleneck_rank: rank of the last layer's matrix.
        training_dtype: see `lstm.BidirectionalLSTM`.
        dropout: share of the numbers that a layer adds that are zero in training.
    """

    def __init__(self, embedder: EmbeddingModel, *, width: int, units: int, n_layers: int, frames_per_step: int,
                 bottleneck_rank: int, training_dtype: str, dropout: float, **options: Any):
        super().__init__(embedder.front_end, embedder.range_db, embedder.soft_scale or 1.0, **options)
        embedder.trainable = False
        self.embedder = embedder
        self.width, self.units, self.n_layers, self.frames_per_step = width, units, n_layers, frames_per_step
        self.bottleneck_rank, self.training_dtype, self.dropout = bottleneck_rank, training_dtype, dropout
        n_numbers = frames_per_step * self.front_end.n_bins
        features = keras.Input((None, 7 * n_numbers), name="steps")
        hidden = layers.Dense(width, name="frames")(features)
        for number in range(1, n_layers + 1):
            layer = ResidualBLSTM(units, training_dtype=training_dtype, dropout=dropout, name=f"blstm_{number}")
            hidden = layer(hidden)
        hidden = layers.RMSNormalization(name="norm")(hidden)
        hidden = layers.Dense(bottleneck_rank, use_bias=False, name="bottleneck")(hidden)
        outputs = layers.Dense(2 * n_numbers, kernel_initializer=keras.initializers.RandomNormal(stddev=0.01),
                               name="dense")(hidden)
        self.network = keras.Model(features, outputs, name="refiner")
        self.built = True

    def analyse(self, real: Tensor, imaginary: Tensor, training: bool = False) -> tuple[Tensor, Tensor]:
        """Return the compressed spectrogram, `[B, T, F, 3]`, and the embeddings of the trained model."""
        return compressed(real, imaginary), self.embedder.embeddings(magnitude(real, imaginary))

    def change(self, features: Tensor, seen: Tensor, training: bool) -> Tensor:
        """Estimate what the masks add to the assignment, see `SteeredModel.change`."""
        n_frames, n_bins = ops.shape(seen)[1], seen.shape[2]
        features = ops.repeat(features, ops.shape(seen)[0] // ops.shape(features)[0], axis=0)
        steps = group_frames(ops.concatenate([features, seen], axis=-1), self.frames_per_step)  # [B S, T, F, 7]
        steps = ops.reshape(steps, (-1, ops.shape(steps)[1] // self.frames_per_step,
                                    7 * self.frames_per_step * n_bins))
        outputs = self.network(steps, training=training)
        return ops.reshape(outputs, (-1, ops.shape(outputs)[1] * self.frames_per_step, n_bins, 2))[:, :n_frames]

    def get_config(self) -> dict[str, Any]:
        """Return the arguments of the constructor, for serialisation."""
        return super().get_config() | {"embedder": keras.saving.serialize_keras_object(self.embedder)} | {
            name: getattr(self, name) for name in SIZES}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "RefinedModel":
        """Make a model from the result of `get_config`."""
        return cls(keras.saving.deserialize_keras_object(config.pop("embedder")), **config)

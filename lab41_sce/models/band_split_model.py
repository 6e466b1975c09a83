"""A band-split network becomes embeddings and complex masks (`steered_model.py`).

    spectrogram, compressed   [B, T, F, 3]  -> BandSplit, dual-path blocks -> features h   [B, T', Q, D]
    h                                       -> BandMerge, length one       -> embeddings   [B, T, F, K]
    p X and p, of a speaker   [B S, T, F, 4] -> BandSplit, + h, blocks, BandMerge -> change of the mask [B S, T, F, 2]
"""

from typing import Any

import keras
from keras import ops

from lab41_sce.models import Tensor
from lab41_sce.models.band_split import BandMerge, BandSplit, DualPathBlock, band_starts
from lab41_sce.models.embedding_model import unit_length
from lab41_sce.models.front_end import FrontEnd
from lab41_sce.models.steered_model import SteeredModel, compressed, group_frames

SIZES = ("width", "units", "n_blocks", "n_steered_blocks", "frames_per_step", "embedding_size", "hidden",
         "training_dtype", "range_db", "soft_scale")


@keras.saving.register_keras_serializable("lab41_sce")
class BandSplitModel(SteeredModel):
    """Compute embeddings and complex masks by dual-path blocks.

    Args:
        front_end: a `FrontEnd` layer.
        width: D, features of a band.
        units: LSTM units in each direction.
        n_blocks: dual-path blocks before the embeddings.
        n_steered_blocks: dual-path blocks for each speaker.
        frames_per_step: P, frames that share their features.
        embedding_size: K.
        hidden: hidden units of the last layers, for each band.
        training_dtype: see `lstm.BidirectionalLSTM`.
        range_db: see `SteeredModel`.
        soft_scale: see `SteeredModel`.
    """

    def __init__(self, front_end: FrontEnd, *, width: int, units: int, n_blocks: int, n_steered_blocks: int,
                 frames_per_step: int, embedding_size: int, hidden: int, training_dtype: str, range_db: float,
                 soft_scale: float, **options: Any):
        super().__init__(front_end, range_db, soft_scale, **options)
        self.width, self.units, self.n_blocks, self.n_steered_blocks = width, units, n_blocks, n_steered_blocks
        self.frames_per_step, self.embedding_size, self.hidden = frames_per_step, embedding_size, hidden
        self.training_dtype = training_dtype
        n_bins = front_end.n_bins
        bands = band_starts(n_bins, front_end.sample_rate_hz / front_end.frame_length), n_bins, frames_per_step
        shape = (None, None, len(bands[0]), width)
        self.split = BandSplit(*bands, width, name="split")
        self.split_steered = BandSplit(*bands, width, name="split_steered")
        self.blocks = [DualPathBlock(units, training_dtype=training_dtype, name=f"block_{number}")
                       for number in range(n_blocks)]
        self.steered_blocks = [DualPathBlock(units, training_dtype=training_dtype, name=f"steered_block_{number}")
                               for number in range(n_steered_blocks)]
        self.to_embeddings = BandMerge(*bands, hidden, embedding_size, name="to_embeddings")
        self.to_masks = BandMerge(*bands, hidden, 2, name="to_masks")
        self.split.build((None, None, n_bins, 3))
        self.split_steered.build((None, None, n_bins, 4))
        for layer in (*self.blocks, *self.steered_blocks, self.to_embeddings, self.to_masks):
            layer.build(shape)
        self.built = True

    def analyse(self, real: Tensor, imaginary: Tensor, training: bool = False) -> tuple[Tensor, Tensor]:
        """Return features `[B, T', Q, D]` and embeddings `[B, T, F, K]` of length one."""
        features = self.split(group_frames(compressed(real, imaginary), self.frames_per_step))
        for block in self.blocks:
            features = block(features, training=training)
        return features, unit_length(self.to_embeddings(features)[:, : ops.shape(real)[1]])

    def change(self, features: Tensor, seen: Tensor, training: bool) -> Tensor:
        """Estimate what the masks add to the assignment, see `SteeredModel.change`."""
        steered = self.split_steered(group_frames(seen, self.frames_per_step))  # [B S, T', Q, D]
        steered = steered + ops.repeat(features, ops.shape(seen)[0] // ops.shape(features)[0], axis=0)
        for block in self.steered_blocks:
            steered = block(steered, training=training)
        return self.to_masks(steered)[:, : ops.shape(seen)[1]]

    def get_config(self) -> dict[str, Any]:
        """Return the arguments of the constructor, for serialisation."""
        return super().get_config() | {"front_end": keras.saving.serialize_keras_object(self.front_end)} | {
            name: getattr(self, name) for name in SIZES}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "BandSplitModel":
        """Make a model from the result of `get_config`."""
        return cls(keras.saving.deserialize_keras_object(config.pop("front_end")), **config)

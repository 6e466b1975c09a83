"""The networks: input features `[B, T, F]` become C numbers for each time-frequency bin, `[B, T, F, C]`.

The method decides what the C numbers are: an embedding (C = K), or a mask for each speaker (C = S). The settings have
their defaults in `experiments/network/NAME.yaml` (those of the CNNs in `experiments/method/`), not here.
"""

from collections.abc import Sequence
from typing import Any

import keras
from keras import layers

from lab41_sce.models import Tensor
from lab41_sce.models.lstm import BidirectionalLSTM


def blstm(n_bins: int, n_outputs: int, *, n_layers: int, units: int, dropout: float, bottleneck_rank: int | None,
          training_dtype: str) -> keras.Model:
    """Build the article's network (Figure 4): bidirectional LSTM layers, then one dense layer.

    Args:
        n_bins: F, frequency bins of the input and the output.
        n_outputs: C, numbers for each bin.
        n_layers: bidirectional LSTM layers.
        units: LSTM units in each direction (the "600 units" of the article are 300 in each).
        dropout: share of a layer's outputs that are zero in training, the same in all frames of an excerpt (drawing
            them for each frame would take a quarter of the time).
        bottleneck_rank: rank of the dense layer's matrix, which is then the product of two smaller matrices; None does
            not limit the rank.
        training_dtype: see `lstm.BidirectionalLSTM`.

    Returns:
        A Keras model, `[B, T, F]` to `[B, T, F, C]`, for any B and T.
    """
    features = keras.Input((None, n_bins), name="features")
    hidden = features
    for number in range(1, n_layers + 1):
        lstm = layers.LSTM(units, return_sequences=True)
        hidden = BidirectionalLSTM(lstm, training_dtype=training_dtype, name=f"blstm_{number}")(hidden)
        if dropout:
            hidden = layers.SpatialDropout1D(dropout, name=f"dropout_{number}")(hidden)
    return keras.Model(features, dense_to_bins(hidden, n_bins, n_outputs, bottleneck_rank), name="blstm")


def residual_blstm(n_bins: int, n_outputs: int, *, n_layers: int, units: int, width: int, bottleneck_rank: int | None,
                   training_dtype: str, dropout: float) -> keras.Model:
    """Build bidirectional LSTM layers with residual connections, then one dense layer.

    In the same training time this network learns more than `blstm` (results/trials).

    Args:
        n_bins: F, frequency bins of the input and the output.
        n_outputs: C, numbers for each bin.
        n_layers: `ResidualBLSTM` layers.
        units: LSTM units in each direction.
        width: numbers for each frame between the layers.
        bottleneck_rank: see `blstm`.
        training_dtype: see `lstm.BidirectionalLSTM`.
        dropout: share of the numbers that a layer adds that are zero in training.

    Returns:
        A Keras model, `[B, T, F]` to `[B, T, F, C]`, for any B and T.
    """
    features = keras.Input((None, n_bins), name="features")
    hidden = layers.Dense(width, name="frames")(features)
    for number in range(1, n_layers + 1):
        layer = ResidualBLSTM(units, training_dtype=training_dtype, dropout=dropout, name=f"blstm_{number}")
        hidden = layer(hidden)
    hidden = layers.RMSNormalization(name="norm")(hidden)
    return keras.Model(features, dense_to_bins(hidden, n_bins, n_outputs, bottleneck_rank), name="residual_blstm")


@keras.saving.register_keras_serializable("lab41_sce")
class ResidualBLSTM(layers.Layer):
    """Map frames x, float32 `[B, T, D]`, to x + dense(blstm(norm(x))), as in dual-path networks (arXiv 1910.06379).

    Args:
        units: LSTM units in each direction.
        training_dtype: see `lstm.BidirectionalLSTM`.
        dropout: share of the added numbers that are zero in training.
        **options: of `keras.layers.Layer`.
    """

    def __init__(self, units: int, *, training_dtype: str, dropout: float, **options: Any):
        super().__init__(**options)
        self.units, self.training_dtype, self.dropout = units, training_dtype, dropout
        self.norm = layers.RMSNormalization(name="norm")
        lstm = layers.LSTM(units, return_sequences=True)
        self.lstm = BidirectionalLSTM(lstm, training_dtype=training_dtype, name="lstm")
        self.drop = layers.Dropout(dropout, name="drop")

    def build(self, shape: tuple[int | None, ...]) -> None:
        """Create the weights for inputs of a shape `[B, T, D]`."""
        self.dense = layers.Dense(shape[-1], name="dense")
        self.norm.build(shape)
        self.lstm.build(shape)
        self.dense.build((*shape[:-1], 2 * self.units))

    def call(self, frames: Tensor, training: bool | None = None) -> Tensor:
        """Map frames `[B, T, D]` to `[B, T, D]`."""
        return frames + self.drop(self.dense(self.lstm(self.norm(frames), training=training)), training=training)

    def get_config(self) -> dict[str, Any]:
        """Return the arguments, for serialisation."""
        names = ("units", "training_dtype", "dropout")
        return super().get_config() | {name: getattr(self, name) for name in names}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "ResidualBLSTM":
        """Create the layer from `get_config`; files from before version 0.2 may lack the newer arguments."""
        return super().from_config({"training_dtype": "float32", "dropout": 0.0} | config)


def dense_to_bins(hidden: Tensor, n_bins: int, n_outputs: int, bottleneck_rank: int | None) -> Tensor:
    """Map the hidden numbers of each frame to those of its bins, by a dense layer.

    Args:
        hidden: float32 `[B, T, D]`.
        n_bins: F.
        n_outputs: C.
        bottleneck_rank: rank of the layer's matrix; None leaves it unlimited.

    Returns:
        float32 `[B, T, F, C]`.
    """
    if bottleneck_rank is not None:
        hidden = layers.Dense(bottleneck_rank, use_bias=False, name="bottleneck")(hidden)
    hidden = layers.Dense(n_bins * n_outputs, name="dense")(hidden)
    return layers.Reshape((-1, n_bins, n_outputs), name="bins")(hidden)


def segment_cnn(n_bins: int, n_outputs: int, *, segment_frames: int, convolutions: Sequence[int],
                filters: Sequence[int], dense_units: int) -> keras.Model:
    """Build a CNN for permutation-invariant training; its input is a segment of the spectrogram, as one image.

    Three stages of 3 x 3 convolutions, the first of each stage with stride 2, are followed by pooling, a linear
    bottleneck, and one dense layer for the numbers of all bins. With 5, 3 and 3 convolutions it is the larger network
    of the SCE authors' release; the default of 2, 1 and 1 is their smaller network, which trains on a laptop.

    Args:
        n_bins: F, frequency bins of the input and the output, at least 17 (fewer leave nothing to pool).
        n_outputs: C, numbers for each bin.
        segment_frames: T, frames of the input and the output, at least 17.
        convolutions: number of convolutions in each stage.
        filters: number of filters of each stage's convolutions.
        dense_units: units of the bottleneck.

    Returns:
        A Keras model, `[B, T, F]` to `[B, T, F, C]`, for this T only.

    Raises:
        ValueError: F or T is too small.
    """
    features = keras.Input((segment_frames, n_bins), name="features")
    hidden = layers.Reshape((segment_frames, n_bins, 1), name="image")(features)
    for stage, (count, width) in enumerate(zip(convolutions, filters, strict=True), start=1):
        for number in range(1, count + 1):
            convolution = layers.Conv2D(width, 3, strides=2 if number == 1 else 1, padding="same", activation="relu",
                                        kernel_initializer="glorot_uniform", name=f"convolution_{stage}_{number}")
            hidden = convolution(hidden)
    if min(hidden.shape[1:3]) < 3:
        raise ValueError(f"segments have {segment_frames} frames and {n_bins} frequency bins; the CNN needs at least "
                         "17 of each, or nothing is left to pool.")
    hidden = layers.MaxPooling2D(3, strides=3, name="pooling")(hidden)
    hidden = layers.Dense(dense_units, name="bottleneck")(layers.Flatten(name="flat")(hidden))
    hidden = layers.Dense(segment_frames * n_bins * n_outputs, name="dense")(hidden)
    outputs = layers.Reshape((segment_frames, n_bins, n_outputs), name="bins")(hidden)
    return keras.Model(features, outputs, name="segment_cnn")


def temporal_cnn(n_bins: int, n_outputs: int, *, width: int, dilations: Sequence[int],
                 bottleneck_rank: int | None) -> keras.Model:
    """Build a CNN over time: the frequency bins of a frame are channels, and one dense layer maps each frame to bins.

    Each residual layer adds dense(relu(convolution(norm(x)))) to its input x; the convolution covers three frames.
    No frame is skipped and no frame is pooled, as in temporal convolutional networks (arXiv 1809.07454). An output
    frame depends on `1 + 2 * sum(dilations)` input frames.

    Args:
        n_bins: F, frequency bins of the input and the output.
        n_outputs: C, numbers for each bin.
        width: numbers for each frame between the layers.
        dilations: distance in frames between the three frames that a layer covers, for each residual layer.
        bottleneck_rank: see `blstm`.

    Returns:
        A Keras model, `[B, T, F]` to `[B, T, F, C]`, for any B and T.
    """
    features = keras.Input((None, n_bins), name="features")
    hidden = layers.Dense(width, name="frames")(features)
    for number, dilation in enumerate(dilations, start=1):
        added = layers.RMSNormalization(name=f"norm_{number}")(hidden)
        added = layers.Conv1D(width, 3, dilation_rate=dilation, padding="same", activation="relu",
                              name=f"convolution_{number}")(added)
        hidden = layers.Add(name=f"sum_{number}")([hidden, layers.Dense(width, name=f"dense_{number}")(added)])
    hidden = layers.RMSNormalization(name="norm")(hidden)
    return keras.Model(features, dense_to_bins(hidden, n_bins, n_outputs, bottleneck_rank), name="temporal_cnn")

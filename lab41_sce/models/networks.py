"""Network input `[B, T, F]` becomes C numbers for every time-frequency bin, `[B, T, F, C]`.

What the C numbers are is the affair of a method: a vector (C = K), or a mask for each speaker (C = S).
"""

from collections.abc import Sequence

import keras
from keras import layers

from lab41_sce.models.lstm import BidirectionalLSTM


def blstm(n_bins: int, n_outputs: int, n_layers: int = 2, units: int = 300, dropout: float = 0.0,
          bottleneck_rank: int | None = None, training_dtype: str = "float32") -> keras.Model:
    """Build the article's network (Figure 4): bidirectional LSTM layers, then one dense layer.

    Args:
        n_bins: F, frequency bins in and out.
        n_outputs: C, numbers for each bin.
        n_layers: bidirectional LSTM layers.
        units: LSTM units in each direction (the article's "600 units" are 300 in each).
        dropout: share of a layer's outputs that training silences, each in all frames of an excerpt (a random number
            for every frame would cost a quarter of the time).
        bottleneck_rank: of the dense layer's matrix, which is then the product of two: fewer operations. None: as it comes.
        training_dtype: of the numbers that LSTM layers multiply in training (see `lstm.BidirectionalLSTM`).

    Returns:
        A Keras model, `[B, T, F]` to `[B, T, F, C]`, for any B and T.
    """
    features = keras.Input((None, n_bins), name="features")
    hidden = features
    for number in range(1, n_layers + 1):
        lstm = layers.LSTM(units, return_sequences=True)
        hidden = BidirectionalLSTM(lstm, training_dtype, name=f"blstm_{number}")(hidden)
        if dropout:
            hidden = layers.SpatialDropout1D(dropout, name=f"dropout_{number}")(hidden)
    return keras.Model(features, _bin_outputs(hidden, n_bins, n_outputs, bottleneck_rank), name="blstm")


def residual_blstm(n_bins: int, n_outputs: int, n_layers: int = 3, units: int = 300, width: int = 256,
                   bottleneck_rank: int | None = None, training_dtype: str = "float32", dropout: float = 0.0) -> keras.Model:
    """Build bidirectional LSTM layers each of which adds to what the ones before it said, then one dense layer.

    So every layer is soon of use, however many there are: in little time this learns far more than `blstm`
    (results/trials).

    Args:
        n_bins: F, frequency bins in and out.
        n_outputs: C, numbers for each bin.
        n_layers: `ResidualBLSTM` layers.
        units: LSTM units in each direction.
        width: numbers for each frame between the layers.
        bottleneck_rank, training_dtype: as in `blstm`.
        dropout: share of the numbers that a layer would add that training silences.

    Returns:
        A Keras model, `[B, T, F]` to `[B, T, F, C]`, for any B and T.
    """
    features = keras.Input((None, n_bins), name="features")
    hidden = layers.Dense(width, name="frames")(features)
    for number in range(1, n_layers + 1):
        hidden = ResidualBLSTM(units, training_dtype, dropout, name=f"blstm_{number}")(hidden)
    hidden = layers.RMSNormalization(name="norm")(hidden)
    return keras.Model(features, _bin_outputs(hidden, n_bins, n_outputs, bottleneck_rank), name="residual_blstm")


@keras.saving.register_keras_serializable("lab41_sce")
class ResidualBLSTM(layers.Layer):
    """Map frames x, float32 `[B, T, D]`, to x + dense(blstm(norm(x))), as in dual-path networks (arXiv 1910.06379).

    Args:
        units: LSTM units in each direction.
        training_dtype: as of `lstm.BidirectionalLSTM`.
        dropout: share of what is added that training silences.
    """

    def __init__(self, units, training_dtype="float32", dropout=0.0, **options):
        super().__init__(**options)
        self.units, self.training_dtype, self.dropout = units, training_dtype, dropout
        self.norm = layers.RMSNormalization(name="norm")
        self.lstm = BidirectionalLSTM(layers.LSTM(units, return_sequences=True), training_dtype, name="lstm")
        self.drop = layers.Dropout(dropout, name="drop")

    def build(self, shape):
        """Make the weights."""
        self.dense = layers.Dense(shape[-1], name="dense")
        self.norm.build(shape)
        self.lstm.build(shape)
        self.dense.build((*shape[:-1], 2 * self.units))

    def call(self, frames, training=None):
        """Add to the frames what this layer makes of them."""
        return frames + self.drop(self.dense(self.lstm(self.norm(frames), training=training)), training=training)

    def get_config(self):
        """Return the arguments, for serialisation."""
        names = ("units", "training_dtype", "dropout")
        return super().get_config() | {name: getattr(self, name) for name in names}


def _bin_outputs(hidden, n_bins, n_outputs, bottleneck_rank):
    """Make the numbers of all bins, `[B, T, F, C]`, of those of a frame, `[B, T, D]`."""
    if bottleneck_rank is not None:
        hidden = layers.Dense(bottleneck_rank, use_bias=False, name="bottleneck")(hidden)
    hidden = layers.Dense(n_bins * n_outputs, name="dense")(hidden)
    return layers.Reshape((-1, n_bins, n_outputs), name="bins")(hidden)


def segment_cnn(n_bins: int, n_outputs: int, segment_frames: int = 51, convolutions: Sequence[int] = (2, 1, 1),
                filters: Sequence[int] = (64, 128, 256), dense_units: int = 1024) -> keras.Model:
    """Build a CNN that sees a segment of the spectrogram as one image, for permutation-invariant training.

    Three stages of 3 x 3 convolutions, the first of each with stride 2, then pooling, a linear bottleneck, and all
    numbers of all bins at once. With 5, 3 and 3 convolutions it is the larger network of the SCE authors' release; the
    default is the smaller one, which trains on a laptop.

    Args:
        n_bins: F, frequency bins in and out, at least 17 (or nothing is left to pool).
        n_outputs: C, numbers for each bin.
        segment_frames: T, frames in and out, at least 17.
        convolutions: convolutions of each stage.
        filters: filters of each stage's convolutions.
        dense_units: width of the bottleneck.

    Returns:
        A Keras model, `[B, T, F]` to `[B, T, F, C]`, for this T only.
    """
    features = keras.Input((segment_frames, n_bins), name="features")
    hidden = layers.Reshape((segment_frames, n_bins, 1), name="image")(features)
    for stage, (count, width) in enumerate(zip(convolutions, filters, strict=True), start=1):
        for number in range(1, count + 1):
            convolution = layers.Conv2D(width, 3, strides=2 if number == 1 else 1, padding="same", activation="relu",
                                        kernel_initializer="glorot_uniform", name=f"convolution_{stage}_{number}")
            hidden = convolution(hidden)
    hidden = layers.MaxPooling2D(3, strides=3, name="pooling")(hidden)
    hidden = layers.Dense(dense_units, name="bottleneck")(layers.Flatten(name="flat")(hidden))
    hidden = layers.Dense(segment_frames * n_bins * n_outputs, name="dense")(hidden)
    outputs = layers.Reshape((segment_frames, n_bins, n_outputs), name="bins")(hidden)
    return keras.Model(features, outputs, name="segment_cnn")

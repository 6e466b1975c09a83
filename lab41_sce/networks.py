"""Network input `[B, T, F]` becomes C numbers for every time-frequency bin, `[B, T, F, C]`.

What the C numbers are is the affair of a method: a vector (C = K), or a mask for each speaker (C = S).
"""

from collections.abc import Sequence

import keras
from keras import layers, ops

from lab41_sce.lstm import BidirectionalLSTM


def blstm(n_bins: int, n_outputs: int, n_layers: int = 2, units: int = 300, dropout: float = 0.0,
          rank: int | None = None) -> keras.Model:
    """Build the article's network (Figure 4): bidirectional LSTM layers, then one dense layer.

    Args:
        n_bins: F, frequency bins in and out.
        n_outputs: C, numbers for each bin.
        n_layers: bidirectional LSTM layers.
        units: LSTM units in each direction (the article's "600 units" are 300 in each).
        dropout: share of a layer's outputs that training silences, each in all frames of an excerpt (a random number
            for every frame would cost a quarter of the time).
        rank: of the dense layer's matrix, which is then the product of two: fewer operations. None: as it comes.

    Returns:
        A Keras model, `[B, T, F]` to `[B, T, F, C]`, for any B and T.
    """
    features = keras.Input((None, n_bins), name="features")
    hidden = features
    for number in range(1, n_layers + 1):
        lstm = layers.LSTM(units, return_sequences=True)
        hidden = BidirectionalLSTM(lstm, name=f"blstm_{number}")(hidden)
        if dropout:
            hidden = layers.SpatialDropout1D(dropout, name=f"dropout_{number}")(hidden)
    return keras.Model(features, _of_bins(hidden, n_bins, n_outputs, rank), name="blstm")


def tcn(n_bins: int, n_outputs: int, n_layers: int = 12, units: int = 256,
        dilations: Sequence[int] = (1, 2, 4, 8, 16, 32), rank: int | None = None) -> keras.Model:
    """Build a temporal convolutional network: its blocks look at three frames each, further and further apart.

    All frames go through a block in one large product, which suits CPUs: it makes twice as many updates an hour as
    `blstm`. Such networks separate speech in Conv-TasNet (arXiv 1809.07454), there with narrower blocks.

    Args:
        n_bins: F, frequency bins in and out.
        n_outputs: C, numbers for each bin.
        n_layers: blocks.
        units: width of every block.
        dilations: of the blocks, in turns.
        rank: of the dense layer's matrix, as in `blstm`.

    Returns:
        A Keras model, `[B, T, F]` to `[B, T, F, C]`, for any B and T.
    """
    features = keras.Input((None, n_bins), name="features")
    hidden = layers.Dense(units, name="frames")(features)
    for number in range(n_layers):
        hidden = ConvolutionBlock(dilations[number % len(dilations)], name=f"block_{number + 1}")(hidden)
    hidden = layers.RMSNormalization(name="norm")(hidden)
    return keras.Model(features, _of_bins(hidden, n_bins, n_outputs, rank), name="tcn")


@keras.saving.register_keras_serializable("lab41_sce")
class ConvolutionBlock(layers.Layer):
    """Add to frames what they and those around them say: x + relu(conv(norm(x))), `[B, T, U]` to `[B, T, U]`.

    Args:
        dilation_rate: d; what frames t - d, t and t + d say is added to frame t. Before and after all there are zeros.
    """

    def __init__(self, dilation_rate, **kwargs):
        super().__init__(**kwargs)
        self.dilation_rate = dilation_rate
        self.norm = layers.RMSNormalization(name="norm")

    def build(self, shape):
        """Make the weights."""
        self.norm.build(shape)
        self.kernel = self.add_weight(shape=(3, shape[-1], shape[-1]), initializer="he_uniform", name="kernel")
        self.bias = self.add_weight(shape=(shape[-1],), initializer="zeros", name="bias")

    def call(self, frames):
        """Convolve and add."""
        changes = self._convolve(self.norm(frames)) + self.bias
        return frames + ops.relu(changes)

    def _convolve(self, frames):
        """Convolve; with TensorFlow in three quarters of the time of Keras's `conv`, which moves frames about."""
        if keras.backend.backend() == "tensorflow":
            import tensorflow as tf

            return tf.nn.conv1d(frames, tf.convert_to_tensor(self.kernel), 1, "SAME", dilations=self.dilation_rate)
        return ops.conv(frames, self.kernel, padding="same", dilation_rate=self.dilation_rate)

    def get_config(self):
        """Return the arguments, for serialisation."""
        return super().get_config() | {"dilation_rate": self.dilation_rate}


def _of_bins(hidden, n_bins, n_outputs, rank):
    """Make numbers of all bins, `[B, T, F, C]`, of those of a frame, `[B, T, D]`."""
    if rank is not None:
        hidden = layers.Dense(rank, use_bias=False, name="bottleneck")(hidden)
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

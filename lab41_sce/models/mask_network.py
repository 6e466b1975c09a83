"""A spectrogram and the soft mask of a voice become a complex mask: a CNN over time and frequency.

    input   [B, T, F, 4]        see `complex_masks.network_input`
    encoder [B, T, F / 2^n, C]  convolutions that halve the number of frequency bins
    frames  [B, T, W]           all bins of a frame, and convolutions over many frames
    decoder [B, T, F, 2]        convolutions that double the number of bins, beside those of the encoder

The same convolutions serve all bins and frames, so the network learns from little speech (results/trials). It is a
U-Net (arXiv 1505.04597) with a temporal convolutional network (arXiv 1809.07454) in the middle.
"""

from collections.abc import Sequence

import keras
from keras import layers

from lab41_sce.models import Tensor

INPUTS, OUTPUTS = 4, 2  # numbers for each bin
NORM_MOMENTUM = 0.98


def mask_network(n_bins: int, *, filters: Sequence[int], width: int, hidden_width: int,
                 dilations: Sequence[int]) -> keras.Model:
    """Build the network.

    Args:
        n_bins: F, frequency bins; odd at every stage, as 2^k + 1 is.
        filters: filters of the convolutions of each stage; each stage halves the number of bins.
        width: W, numbers for each frame between the layers in the middle.
        hidden_width: filters of the convolutions over time.
        dilations: distance in frames between the three frames that a convolution over time covers, for each layer.

    Returns:
        A Keras model, float32 `[B, T, 4 F]` to `[B, T, F, 2]`, for any B and T. It returns zeros until it is trained.
    """
    features = keras.Input((None, INPUTS * n_bins), name="features")
    image = hidden = layers.Reshape((-1, n_bins, INPUTS), name="image")(features)
    stages = [image]
    for number, width_of_stage in enumerate(filters, start=1):
        hidden = _convolution(hidden, width_of_stage, (3, 5), f"encoder_{number}", strides=(1, 2))
        stages.append(hidden)
    n_rows, n_filters = hidden.shape[2:]
    frames = layers.Reshape((-1, n_rows * n_filters), name="frames")(hidden)
    frames = layers.Dense(width, name="narrow")(frames)
    for number, dilation in enumerate(dilations, start=1):
        frames = _over_time(frames, hidden_width, dilation, f"time_{number}")
    frames = layers.Dense(n_rows * n_filters, name="wide")(layers.RMSNormalization(name="norm")(frames))
    rows = layers.Reshape((-1, n_rows, n_filters), name="rows")(frames)
    hidden = layers.Add(name="middle")([hidden, rows])
    for number in reversed(range(len(filters))):
        both = layers.Concatenate(name=f"both_{number + 1}")([hidden, stages[number + 1]])
        hidden = _convolution(both, filters[max(number - 1, 0)], (3, 3), f"decoder_{number + 1}")
        hidden = layers.UpSampling2D((1, 2), name=f"double_{number + 1}")(hidden)
        hidden = layers.Cropping2D(((0, 0), (0, 1)), name=f"crop_{number + 1}")(hidden)
    both = layers.Concatenate(name="both")([hidden, image])
    outputs = layers.Conv2D(OUTPUTS, 3, padding="same", kernel_initializer="zeros", name="correction")(both)
    return keras.Model(features, outputs, name="mask_network")


def _convolution(image: Tensor, filters: int, kernel: tuple[int, int], name: str,
                 strides: tuple[int, int] = (1, 1)) -> Tensor:
    """Add a convolution, a norm and an activation: `[B, T, F, C]` to `[B, T, F, filters]`."""
    image = layers.Conv2D(filters, kernel, strides, padding="same", use_bias=False, name=name)(image)
    image = layers.BatchNormalization(momentum=NORM_MOMENTUM, name=f"{name}_norm")(image)
    return layers.Activation("silu", name=f"{name}_silu")(image)


def _over_time(frames: Tensor, width: int, dilation: int, name: str) -> Tensor:
    """Add a residual layer: a convolution over three frames for each of `width` filters."""
    hidden = layers.RMSNormalization(name=f"{name}_norm")(frames)
    hidden = layers.Dense(width, activation="silu", name=f"{name}_in")(hidden)
    hidden = layers.DepthwiseConv1D(3, padding="same", dilation_rate=dilation, activation="silu",
                                    name=f"{name}_convolution")(hidden)
    hidden = layers.RMSNormalization(name=f"{name}_norm_2")(hidden)
    hidden = layers.Dense(frames.shape[-1], name=f"{name}_out")(hidden)
    return layers.Add(name=name)([frames, hidden])

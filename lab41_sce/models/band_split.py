"""Frames of a spectrogram become numbers for each bin by a network over bands: `[B, T, F, C]` to `[B, T, F, C']`.

    split   [B, T, G, W]   neighbouring bins become a band; bands overlap by half
    layers  [B, T, G, W]   in turns over time, for each band alone, and over the bands, for each frame alone
    bins    [B, T, F, C']  each band becomes its bins again

The numbers of each band pass through all layers, so no layer has to describe a whole frame by a few numbers. The
bands are those of band-split RNNs (Luo and Yu, arXiv 2209.15174), with equal widths; the layers in turns are those of
dual-path networks (arXiv 1910.06379), with convolutions over time in place of recurrent layers, so that an output
depends on a known number of frames, and a mixing of bands by dense layers (arXiv 2105.01601).

Two networks have these layers: `band_split` for embeddings, and `band_split_masks` for complex masks.
"""

from collections.abc import Sequence

import keras
from keras import layers

from lab41_sce.models import Tensor
from lab41_sce.models.mask_network import INPUTS, OUTPUTS
from lab41_sce.models.networks import dense_to_bins

BIN_FILTERS = 8  # numbers for each bin before the last convolution of `band_split_masks`


def band_split(n_bins: int, n_outputs: int, *, band_bins: int, width: int, hidden_width: int,
               dilations: Sequence[int], bottleneck_rank: int | None) -> keras.Model:
    """Build a network over bands for embeddings.

    Args:
        n_bins: F, frequency bins of the input and the output.
        n_outputs: C', numbers for each bin.
        band_bins: bins from one band to the next.
        width: W, numbers for each band between the layers.
        hidden_width: filters of the convolutions over time.
        dilations: distance in frames between the three frames that a convolution over time covers, for each layer.
        bottleneck_rank: rank of the dense layer at the end; None leaves it unlimited.

    Returns:
        A Keras model, float32 `[B, T, F]` to `[B, T, F, C']`, for any B and T.
    """
    features = keras.Input((None, n_bins), name="features")
    image = layers.Reshape((-1, n_bins, 1), name="image")(features)
    bands = _layers_over_bands(image, band_bins, width, hidden_width, dilations)
    frames = layers.Reshape((-1, bands.shape[2] * width), name="frames")(bands)
    return keras.Model(features, dense_to_bins(frames, n_bins, n_outputs, bottleneck_rank), name="band_split")


def band_split_masks(n_bins: int, *, band_bins: int, width: int, hidden_width: int,
                     dilations: Sequence[int]) -> keras.Model:
    """Build a network over bands for complex masks, in place of `mask_network.mask_network`.

    Args:
        n_bins: F, frequency bins.
        band_bins: as the arguments that follow, see `band_split`.
        width: see `band_split`.
        hidden_width: see `band_split`.
        dilations: see `band_split`.

    Returns:
        A Keras model, float32 `[B, T, 4 F]` to `[B, T, F, 2]`, for any B and T. It returns zeros until it is trained.
    """
    features = keras.Input((None, INPUTS * n_bins), name="features")
    image = layers.Reshape((-1, n_bins, INPUTS), name="image")(features)
    bands = _layers_over_bands(image, band_bins, width, hidden_width, dilations)
    n_bands = bands.shape[2]
    bins = layers.Dense(band_bins * BIN_FILTERS, activation="silu", name="bins_of_bands")(bands)
    bins = layers.Reshape((-1, n_bands * band_bins, BIN_FILTERS), name="bins")(bins)
    bins = layers.Cropping2D(((0, 0), (0, n_bands * band_bins - n_bins)), name="crop")(bins)
    both = layers.Concatenate(name="both")([bins, image])
    outputs = layers.Conv2D(OUTPUTS, 3, padding="same", kernel_initializer="zeros", name="correction")(both)
    return keras.Model(features, outputs, name="band_split_masks")


def _layers_over_bands(image: Tensor, band_bins: int, width: int, hidden_width: int,
                       dilations: Sequence[int]) -> Tensor:
    """Split the bins `[B, T, F, C]` into bands, and add the layers: `[B, T, G, W]`."""
    missing = -image.shape[2] % band_bins
    image = layers.ZeroPadding2D(((0, 0), (0, missing)), name="pad")(image)
    bands = layers.Conv2D(width, (3, 2 * band_bins), (1, band_bins), padding="same", name="split")(image)
    for number, dilation in enumerate(dilations, start=1):
        bands = _over_time(bands, hidden_width, dilation, f"time_{number}")
        bands = _over_bands(bands, f"bands_{number}")
    return layers.RMSNormalization(name="norm")(bands)


def _over_time(bands: Tensor, hidden_width: int, dilation: int, name: str) -> Tensor:
    """Add a residual layer: a convolution over three frames of each band, with the same weights for all bands."""
    hidden = layers.RMSNormalization(name=f"{name}_norm")(bands)
    hidden = layers.Conv2D(hidden_width, (3, 1), padding="same", dilation_rate=(dilation, 1), activation="silu",
                           name=f"{name}_convolution")(hidden)
    return layers.Add(name=name)([bands, layers.Dense(bands.shape[-1], name=f"{name}_out")(hidden)])


def _over_bands(bands: Tensor, name: str) -> Tensor:
    """Add a residual layer over the bands of each frame, with the same weights for each of the W numbers of a band."""
    n_bands = bands.shape[2]
    hidden = layers.Permute((1, 3, 2), name=f"{name}_last")(layers.RMSNormalization(name=f"{name}_norm")(bands))
    hidden = layers.Dense(2 * n_bands, activation="silu", name=f"{name}_in")(hidden)
    hidden = layers.Dense(n_bands, name=f"{name}_out")(hidden)
    return layers.Add(name=name)([bands, layers.Permute((1, 3, 2), name=f"{name}_back")(hidden)])

"""The possible values of the arguments of networks and systems.

The defaults are in `experiments/network/*.yaml` and `experiments/method/*.yaml`. The values here stand in for the
arguments that a function does not have, also in runs of an earlier version: they change nothing.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lab41_sce.setting import check_fields, defaults, setting

TINY = 1e-12  # the lowest value of a setting that must be above 0


@dataclass
class Arguments:
    """What the settings of networks and systems may be."""

    n_layers: int = setting(1, "Recurrent layers", at_least=1)
    units: int = setting(1, "LSTM units in each direction", at_least=1)
    width: int = setting(1, "Numbers for each frame, or each band, between the layers", at_least=1)
    band_bins: int = setting(1, "Bins from one band to the next", at_least=1)
    dropout: float = setting(0.0, "Share of outputs that are zero in training", at_least=0.0, below=1.0)
    bottleneck_rank: int | None = setting(None, "Rank of the dense layer's matrix", at_least=1)
    training_dtype: str = setting("float32", "Type of the products in training",
                                  choices=("float32", "bfloat16", "fastest"))
    convolutions: list[int] = setting([1], "Convolutions in each stage", at_least=1)
    filters: list[int] = setting([1], "Filters in each stage", at_least=1)
    dense_units: int = setting(1, "Units of the layer before the last", at_least=1)
    dilations: list[int] = setting([1], "Frames between the taps of each layer", at_least=1)
    hidden_width: int = setting(1, "Filters of the convolutions over time", at_least=1)
    kmeans_iterations: int = setting(0, "Iterations of k-means in the loss", at_least=0)
    max_snr_db: float = setting(30.0, "Largest signal-to-noise ratio in the loss", unit="dB", at_least=0.0)
    leaves_rest: bool = setting(False, "Whether the masks need not sum to one")
    segment_frames: int | None = setting(None, "Frames in an input of the network", at_least=1)
    embedding_size: int = setting(1, "Numbers in the embedding of a bin", at_least=1)
    num_negatives: int = setting(0, "Speakers drawn from outside a mixture", at_least=0)
    loss_range_db: float | None = setting(None, "Range of the bins in the loss", unit="dB", at_least=0.0)
    weight_power: float = setting(0.0, "Exponent of a bin's magnitude in its weight", at_least=0.0)
    weight_without_pre_emphasis: bool = setting(False, "Whether this magnitude is that without pre-emphasis")
    centroid_loss_weight: float = setting(0.0, "Share of the loss with the centroids", at_least=0.0, at_most=1.0)
    unit_norm: bool = setting(True, "Whether embeddings have length one")
    scale: float = setting(1.0, "Factor of the inner products", at_least=TINY)
    speaker_lr_multiplier: float = setting(1.0, "Factor of the steps for speaker vectors", at_least=TINY)
    loss_frame_stride: int = setting(1, "Distance of the frames in the loss", at_least=1, at_most=8)
    range_db: float = setting(25.0, "Range of the bins that are clustered", unit="dB", at_least=0.0)
    soft_scale: float | None = setting(None, "Sharpness of soft masks", at_least=TINY)
    mask: str = setting("softmax", "Function from scores to masks", choices=("softmax", "sigmoid"))
    attractors: str = setting("kmeans", "Attractors in separation", choices=("kmeans", "fixed"))
    momentum: float = setting(0.0, "Share of the fixed attractors that an update keeps", at_least=0.0, at_most=1.0)
    gamma: float = setting(0.0, "Weight of the distance from other speakers", at_least=0.0)
    n_components: int = setting(1, "Spectra", at_least=1)
    max_iter: int = setting(1, "Updates of a factorisation", at_least=1)
    power: float = setting(1.0, "Exponent of the magnitudes in ratio masks", at_least=TINY)
    beta_loss: str = setting("frobenius", "Divergence to minimise", choices=("kullback-leibler", "frobenius"))
    seed: int = setting(0, "Seed", at_least=0)
    function: str = setting("", "Function that separates, as package.module:name")


def check_arguments(call: Mapping[str, Any], name: str) -> None:
    """Raise UserError if an argument of a network or a system of this package is outside its range.

    Args:
        call: arguments by name; those that `Arguments` does not declare are not checked.
        name: dotted name of the group, for messages.
    """
    check_fields(Arguments, defaults(Arguments) | dict(call), name)

"""Losses alone, forward and backward, of every method that learns, on mixtures of two people.

Each method is built as `+exp=compare` has it, but on a network that costs next to nothing: one number for each frame,
from which all numbers of all bins follow. What is measured is a whole update, so the spectrograms (alike for all
methods), the loss, and both gradients. PIT-CNN is left out, whose loss is that of PIT-BLSTM.
"""

from functools import partial

import keras
import numpy as np
from bench import part_main
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from keras import layers

from lab41_sce import experiment
from lab41_sce.article.timing import measure_seconds
from lab41_sce.methods.base import Setup
from lab41_sce.runs.config_schema import CONFIG_PATH

FRAMES, SPEAKERS, SOURCES = 40, 251, 2
SYSTEMS = ("sce", "deep_clustering", "attractor", "pit_blstm", "recurrent_mask")


def rank_one(n_bins: int, n_outputs: int) -> keras.Model:
    """Build the network: `[B, T, F]` to `[B, T, F, C]`."""
    features = keras.Input((None, n_bins))
    bins = layers.Dense(n_bins * n_outputs)(layers.Dense(1)(features))
    return keras.Model(features, layers.Reshape((-1, n_bins, n_outputs))(bins))


def measure(rows, quick: bool) -> None:
    """Time the update of each method, in turns."""
    batch = 2 if quick else 32
    with initialize_config_dir(str(CONFIG_PATH.resolve()), version_base="1.3"):
        config = compose("config", ["+exp=compare"])
    front_end = instantiate(config.front_end)
    setup = Setup(front_end, rank_one, SOURCES, tuple(map(str, range(SPEAKERS))))
    rng = np.random.default_rng(0)
    n_samples = front_end.hop_length * (FRAMES - 1)
    mixtures = {"sources": rng.standard_normal((batch, SOURCES, n_samples)).astype(np.float32),
                "speaker_ids": np.stack([rng.choice(SPEAKERS, SOURCES, replace=False) for _ in range(batch)])}
    steps = {}
    for name in SYSTEMS:
        method = instantiate(experiment.described_systems(config)[name].build, _partial_=True)(setup)
        method.compile(keras.optimizers.Adam())
        steps[name] = partial(method.train_on_batch, mixtures)
        steps[name]()
    for name, taken in measure_seconds(steps, 1 if quick else 20).items():
        rows.add(f"loss of {name.replace('_', ' ')}, {batch} x {FRAMES} frames", 1e3 * np.median(taken), "ms")


if __name__ == "__main__":
    part_main(measure)

"""Cost of losses: an update of every method on a minimal network, and SCE with up to 100,000 speakers.

The minimal network gives one number for each frame, from which all outputs of all bins follow, so that an update
costs little besides spectrograms, loss and gradients. PIT-CNN has the loss of PIT-BLSTM and is left out.

251 speakers are those of LibriSpeech's train-clean-100, 2,338 those of all its training speech. Each mixture of two is
contrasted with eight more speakers. Measured are the table of speaker vectors alone (lookup, gradient, optimiser; peak
memory of a process that does nothing else), updates of the minimal network, and updates of the network of
`+exp=two_speaker`. Keras's Adam, for comparison, changes every row of the table in every update.
"""

from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context

import keras
import numpy as np
import tensorflow as tf
from hydra.utils import instantiate
from keras import layers

from benchmarks.timing import part_main, peak_megabytes
from lab41_sce.article.timing import measure_seconds
from lab41_sce.methods.base import Setup
from lab41_sce.methods.sce import SpeakerVectors
from lab41_sce.runs.config_schema import compose_config
from lab41_sce.runs.systems import configured_systems
from lab41_sce.training.optimizer import RowAdam

SYSTEMS = ("sce", "deep_clustering", "attractor", "pit_blstm", "recurrent_mask")
SPEAKERS, NEGATIVES, SOURCES = (251, 2338, 100_000), 8, 2
LOSS_FRAMES, TABLE_FRAMES = 40, 100
OPTIMIZERS = {"": RowAdam, " with Keras's Adam": lambda rate, beta_2, clip_norm: keras.optimizers.Adam(
    rate, beta_2=beta_2, global_clipnorm=clip_norm)}


def minimal_network(n_bins: int, n_outputs: int) -> keras.Model:
    """Build the minimal network: `[B, T, F]` to `[B, T, F, C]`."""
    features = keras.Input((None, n_bins))
    bins = layers.Dense(n_bins * n_outputs)(layers.Dense(1)(features))
    return keras.Model(features, layers.Reshape((-1, n_bins, n_outputs))(bins))


def update(config, build, network, n_speakers: int, optimizer, batch: int, frames: int) -> Callable[[], None]:
    """Return a function that makes one update of a method on noise; the first update is made here."""
    front_end, rng = instantiate(config.front_end), np.random.default_rng(0)
    keras.utils.set_random_seed(0)
    method = instantiate(build, _partial_=True)(Setup(front_end, network, SOURCES, tuple(map(str, range(n_speakers)))))
    method.compile(optimizer)
    sources = rng.standard_normal((batch, SOURCES, front_end.hop_length * (frames - 1))).astype(np.float32)
    speaker_ids = np.stack([rng.choice(n_speakers, SOURCES, replace=False) for _ in range(batch)]).astype(np.int32)
    step = partial(method.train_on_batch, {"sources": sources, "speaker_ids": speaker_ids})
    step()
    return step


def sce_update(n_speakers: int, optimizer: str, batch: int, whole: bool = False) -> Callable[[], None]:
    """Return a function that makes one update of SCE, with the network of the experiment if `whole`."""
    config = compose_config(["+exp=two_speaker", f"method.build.num_negatives={NEGATIVES}"])
    network = instantiate(config.network) if whole else minimal_network
    return update(config, config.method.build, network, n_speakers, OPTIMIZERS[optimizer](1e-3, 0.999, 5.0), batch,
                  TABLE_FRAMES + 1)


def table_update(n_speakers: int, optimizer: str, batch: int) -> Callable[[], None]:
    """Return a function that makes one update of the table of speaker vectors; the first update is made here."""
    table, rng = SpeakerVectors(n_speakers, 20, unit_norm=True, speaker_lr_multiplier=10.0), np.random.default_rng(0)
    adam = OPTIMIZERS[optimizer](1e-3, 0.999, 5.0)
    adam.build([table.stored])

    @tf.function
    def step(speaker_ids):
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(table(speaker_ids)[..., 0])
        adam.apply(tape.gradient(loss, [table.stored]), [table.stored])
        return loss

    def draw():
        float(step(tf.constant(rng.integers(0, n_speakers, (batch, SOURCES + NEGATIVES)), tf.int32)))

    draw()
    return draw


def table_peak_megabytes(n_speakers: int, optimizer: str, batch: int) -> float:
    """Return the peak memory of this process after some updates of the table."""
    step = table_update(n_speakers, optimizer, batch)
    for _ in range(5):
        step()
    return peak_megabytes()


def measure(rows, quick: bool) -> None:
    """Time updates in turns; measure memory in processes of their own."""
    batch, rounds, speakers = (2, 1, SPEAKERS[:1]) if quick else (32, 20, SPEAKERS)
    config = compose_config(["+exp=compare"])
    builds = {name: configured_systems(config)[name].build for name in SYSTEMS}
    steps = {name: update(config, build, minimal_network, SPEAKERS[0], keras.optimizers.Adam(), batch, LOSS_FRAMES)
             for name, build in builds.items()}
    for name, taken in measure_seconds(steps, rounds).items():
        rows.add(f"loss of {name.replace('_', ' ')}, {batch} x {LOSS_FRAMES} frames", 1e3 * np.median(taken), "ms")

    cases = {f"{count} speakers{optimizer}, {batch} x {TABLE_FRAMES} frames": (count, optimizer, batch)
             for count in speakers for optimizer in OPTIMIZERS}
    steps = {name: table_update(*case) for name, case in cases.items()}
    for name, taken in measure_seconds(steps, 10 * rounds).items():
        rows.add(f"speaker vectors alone, {name}", 1e3 * np.median(taken), "ms")
        rows.add(f"speaker vectors alone, {name}: fastest", 1e3 * min(taken), "ms")
    for name, case in cases.items():
        with ProcessPoolExecutor(1, get_context("spawn")) as pool:  # the peak of a process never falls
            peak = pool.submit(table_peak_megabytes, *case).result()
        rows.add(f"speaker vectors alone, {name}: peak memory of the process", peak, "MB")
    for what, whole, n_rounds in (("loss and optimiser", False, rounds), ("whole update", True, max(1, rounds // 4))):
        steps = {name: sce_update(*case, whole=whole) for name, case in cases.items()}
        for name, taken in measure_seconds(steps, n_rounds).items():
            rows.add(f"{what}, {name}", 1e3 * np.median(taken), "ms")


if __name__ == "__main__":
    part_main(measure)

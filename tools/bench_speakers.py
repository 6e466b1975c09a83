"""An update of source-contrastive estimation with 251, 2,338 and 100,000 speakers to learn: time and memory.

251 speakers are those of LibriSpeech's train-clean-100, 2,338 all of its training speech. Each mixture of two is
contrasted with eight more speakers. First the table of speakers' vectors alone: looked up, gradient, optimiser, and the
most memory that a process which does nothing else ever has. Then whole updates: with a network that costs next to
nothing (`bench_losses.py`), and with that of `+exp=two_speaker`. "Keras's Adam" moves every row in every update.
"""

from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context

import keras
import numpy as np
import tensorflow as tf
from bench import part_main, peak_megabytes
from bench_losses import rank_one
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate

from lab41_sce.article.timing import measure_seconds
from lab41_sce.methods.base import Setup
from lab41_sce.methods.sce import SpeakerVectors
from lab41_sce.runs.config_schema import CONFIG_PATH
from lab41_sce.training.optimizer import RowAdam

SPEAKERS, NEGATIVES, FRAMES, SOURCES = (251, 2338, 100_000), 8, 100, 2
OPTIMIZERS = {"": RowAdam, " with Keras's Adam": lambda rate, beta_2, clip_norm: keras.optimizers.Adam(
    rate, beta_2=beta_2, global_clipnorm=clip_norm)}


def table_update(n_speakers: int, optimizer: str, batch: int):
    """Return a function that makes one update of the speakers' vectors alone, after the first."""
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


def update(n_speakers: int, optimizer: str, batch: int, whole: bool = False):
    """Return a function that makes one update, after the first; `whole` is with the network of the experiment."""
    with initialize_config_dir(str(CONFIG_PATH.resolve()), version_base="1.3"):
        config = compose("config", ["+exp=two_speaker", f"method.build.num_negatives={NEGATIVES}"])
    front_end, rng = instantiate(config.front_end), np.random.default_rng(0)
    network = instantiate(config.network) if whole else rank_one
    setup = Setup(front_end, network, SOURCES, tuple(map(str, range(n_speakers))))
    keras.utils.set_random_seed(0)
    method = instantiate(config.method.build, _partial_=True)(setup)
    method.compile(OPTIMIZERS[optimizer](1e-3, 0.999, 5.0))
    sources = rng.standard_normal((batch, SOURCES, front_end.hop_length * FRAMES)).astype(np.float32)
    speaker_ids = np.stack([rng.choice(n_speakers, SOURCES, replace=False) for _ in range(batch)]).astype(np.int32)
    mixtures = {"sources": sources, "speaker_ids": speaker_ids}
    step = partial(method.train_on_batch, mixtures)
    step()
    return step


def peak_after_updates(n_speakers: int, optimizer: str, batch: int) -> float:
    """Return the most memory that this process ever had, after some updates, in MB."""
    step = table_update(n_speakers, optimizer, batch)
    for _ in range(5):
        step()
    return peak_megabytes()


def measure(rows, quick: bool) -> None:
    """Time updates in turns; measure memory in processes of their own."""
    batch, rounds, speakers = (2, 1, SPEAKERS[:1]) if quick else (32, 20, SPEAKERS)
    cases = [(count, optimizer) for count in speakers for optimizer in OPTIMIZERS]

    def name(count, optimizer):
        return f"{count} speakers{optimizer}, {batch} x {FRAMES} frames"

    steps = {case: table_update(*case, batch) for case in cases}
    for case, taken in measure_seconds(steps, 10 * rounds).items():
        rows.add(f"speaker vectors alone, {name(*case)}", 1e3 * np.median(taken), "ms")
        rows.add(f"speaker vectors alone, {name(*case)}: fastest", 1e3 * min(taken), "ms")
    for case in cases:
        with ProcessPoolExecutor(1, get_context("spawn")) as pool:  # each alone, since a peak never goes down
            peak = pool.submit(peak_after_updates, *case, batch).result()
        rows.add(f"speaker vectors alone, {name(*case)}: peak memory of the process", peak, "MB")
    for case, taken in measure_seconds({case: update(*case, batch) for case in cases}, rounds).items():
        rows.add(f"loss and optimiser, {name(*case)}", 1e3 * np.median(taken), "ms")
    whole = {case: update(*case, batch, whole=True) for case in cases}
    for case, taken in measure_seconds(whole, 1 if quick else rounds // 4).items():
        rows.add(f"whole update, {name(*case)}", 1e3 * np.median(taken), "ms")


if __name__ == "__main__":
    part_main(measure)

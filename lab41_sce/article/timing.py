"""What an update costs: SCE beside deep clustering, at the article's sizes, and how the losses grow.

    python -m lab41_sce.article.timing --out timing.csv [--batch 256] [--rounds 5]

Whole updates are those of training: front end, the article's network, loss, gradients, Adam. A loss alone is forward
and backward, from embeddings `[B, T, F, K]` to their gradients (and those of the speaker vectors). Deep clustering
stands there in its low-rank form and in the naive one, which lists all pairs of the N = TF bins of a mixture, N^2
numbers, and is left out where these do not fit into memory. What is compared takes turns; every figure is a median over
rounds. Memory is measured apart, in a process that gives back at once what it no longer needs.
"""

import argparse
import gc
import itertools
import json
import os
import shlex
import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pandas as pd
from tqdm import tqdm

from lab41_sce.atomic_write import write_text, write_whole
from lab41_sce.errors import UserError
from lab41_sce.runs.versions import versions

# The article's sizes, and how far from them the losses are followed
FRAMES, BINS, SIZE, UNITS, SPEAKERS, SOURCES = 40, 257, 40, 300, 251, 2
MORE_FRAMES, MORE_SPEAKERS, MORE_NEGATIVES = (100, 400), (2338, 100_000), (4, 16)
COLUMNS = ("what", "system", "batch", "frames", "speakers", "negatives", "seconds", "fastest", "slowest", "megabytes",
           "rounds")
NAIVE = ("sce", "deep_clustering", "naive_deep_clustering")
# Without these TensorFlow and the C library keep what was freed, and one more call of a step takes no more memory.
FRUGAL = {"TF_ENABLE_ONEDNN_OPTS": "0", "MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "65536"}


def naive_affinity_loss(embeddings, assignment):
    """Compute the deep clustering loss from all pairs of bins, as its equation has it: `|V V^T - Y Y^T|^2 / N^2`.

    Args:
        embeddings: float32 `[B, T, F, K]`.
        assignment: float32 `[B, S, T, F]`.
    """
    from keras import ops

    vectors = ops.reshape(embeddings, (embeddings.shape[0], -1, embeddings.shape[-1]))  # [B, N, K]
    owners = ops.reshape(assignment, (*assignment.shape[:2], -1))  # [B, S, N]
    affinity = ops.matmul(vectors, ops.swapaxes(vectors, 1, 2))
    return ops.mean(ops.square(affinity - ops.matmul(ops.swapaxes(owners, 1, 2), owners)))


def update_steps(batch: int, frames: int, speakers: int, systems=NAIVE[:2]) -> dict[str, Callable[[], None]]:
    """Return a whole training update of each system, at the article's sizes."""
    import keras

    from lab41_sce.methods import deep_clustering, sce
    from lab41_sce.methods.base import Setup, ideal_assignment, magnitudes
    from lab41_sce.models.front_end import FrontEnd
    from lab41_sce.models.networks import blstm

    class NaiveDeepClustering(deep_clustering.DeepClustering):
        def call(self, batch, training=False):
            mixture, sources, _ = magnitudes(self.model.front_end, batch)
            return naive_affinity_loss(self.model.embeddings(mixture, training), ideal_assignment(sources))

    def naive(setup, size):
        return NaiveDeepClustering(deep_clustering.build(setup, size).model)

    builders: dict[str, Callable] = dict(zip(NAIVE, (sce.build, deep_clustering.build, naive), strict=True))
    rng = np.random.default_rng(0)
    sources = rng.standard_normal((batch, SOURCES, 256 * (frames - 1))).astype(np.float32)
    speaker_ids = np.array([rng.choice(speakers, SOURCES, replace=False) for _ in range(batch)], np.int32)
    steps: dict[str, Callable[[], None]] = {}
    for name in systems:
        setup = Setup(FrontEnd(), partial(blstm, units=UNITS), SOURCES, tuple(map(str, range(speakers))))
        method = builders[name](setup, SIZE)
        method.compile(keras.optimizers.Adam())
        steps[name] = partial(method.train_on_batch, {"sources": sources, "speaker_ids": speaker_ids})
    return steps


def loss_steps(batch: int, frames: int, speakers: int, negatives: int = 0,
               systems=NAIVE[:2]) -> dict[str, Callable[[], None]]:
    """Return forward and backward of each loss alone, on random embeddings of length one."""
    import keras
    import tensorflow as tf

    from lab41_sce.methods.deep_clustering import affinity_loss
    from lab41_sce.methods.sce import SpeakerVectors, draw_negatives, source_contrastive_loss

    rng = np.random.default_rng(0)
    vectors = rng.standard_normal((batch, frames, BINS, SIZE), np.float32)
    embeddings = tf.Variable(vectors / np.linalg.norm(vectors, axis=-1, keepdims=True))
    owners = tf.constant(rng.integers(SOURCES, size=(batch, frames, BINS)))
    assignment = tf.one_hot(owners, SOURCES, axis=1)
    weights = tf.ones((batch, frames, BINS))
    speaker_ids = tf.constant(np.stack([rng.choice(speakers, SOURCES, replace=False) for _ in range(batch)]), tf.int32)
    table = SpeakerVectors(speakers, SIZE, unit_norm=True)
    seeds = keras.random.SeedGenerator(0)

    def sce():
        labels, ids = 2.0 * assignment - 1.0, speaker_ids
        if negatives:
            ids = tf.concat([ids, draw_negatives(ids, speakers, negatives, seeds)], axis=1)
            labels = tf.pad(labels, [(0, 0), (0, negatives), (0, 0), (0, 0)], constant_values=-1.0)
        return source_contrastive_loss(embeddings, table(ids), labels, weights)

    losses = {"sce": sce, "deep_clustering": lambda: affinity_loss(embeddings, assignment, weights),
              "naive_deep_clustering": lambda: naive_affinity_loss(embeddings, assignment)}

    def step(loss):
        @tf.function
        def gradients():
            with tf.GradientTape() as tape:
                value = loss()
            found = tape.gradient(value, [embeddings, *table.trainable_variables])
            # Reduced to numbers, so that nothing large leaves the graph; the gradient of the vectors stays sparse.
            # The loss is among them: what only its value needs would not be computed otherwise.
            return [value, *(tf.reduce_sum(getattr(part, "values", part)) for part in found if part is not None)]

        return lambda: [float(part) for part in gradients()]

    return {system: step(losses[system]) for system in systems}


def cases(batch: int) -> list[tuple[str, dict]]:
    """List what is measured: a word for it, and the arguments of `update_steps` or `loss_steps`; `batch` at most."""
    listed: list[tuple[str, dict]] = [("update", {"batch": batch})]
    listed += [("loss by batch", {"batch": batch // ratio}) for ratio in (16, 8, 4, 2, 1) if batch >= ratio]
    listed += [("loss by frames", {"batch": max(batch // 8, 1), "frames": frames}) for frames in (FRAMES, *MORE_FRAMES)]
    listed += [("loss by speakers and negatives", {"batch": max(batch // 4, 1), "speakers": speakers,
                                                   "negatives": negatives, "systems": ("sce",)})
               for speakers, negatives in itertools.product((SPEAKERS, *MORE_SPEAKERS), (0, *MORE_NEGATIVES))]
    pairs_bytes = 4 * (FRAMES * BINS) ** 2
    # Forward and backward need several such matrices at once, and what is freed is kept for later.
    fitting = [size for size in (1, 2, 4, 8) if size <= batch and 12 * size * pairs_bytes < _free_bytes()]
    listed += [("loss, with the naive form", {"batch": size, "systems": NAIVE}) for size in fitting]
    listed += [("update, with the naive form", {"batch": size, "systems": NAIVE}) for size in fitting[-1:]]
    return [(what, {"frames": FRAMES, "speakers": SPEAKERS} | options) for what, options in listed]


def steps_of(what: str, options: dict) -> dict[str, Callable[[], None]]:
    """Return the steps of a case, by system, each called once: the first call builds the graph."""
    steps = update_steps(**options) if what.startswith("update") else loss_steps(**options)
    for step in steps.values():
        step()
    return steps


def measure_seconds(steps: dict[str, Callable[[], None]], rounds: int) -> dict[str, list[float]]:
    """Run some steps in turns, so many rounds; return the seconds of each call, by system."""
    seconds = {system: [] for system in steps}
    for _ in range(rounds):
        for system, step in steps.items():
            started = time.perf_counter()
            step()
            seconds[system].append(time.perf_counter() - started)
    return seconds


def measure_megabytes(listed: list[tuple[str, dict]]) -> list[dict[str, float]]:
    """Return by how much one call raises this process's memory, for each case and system, in MB.

    NaN on a GPU, whose memory is not this process's, and where the system does not tell (Linux does).
    """
    import tensorflow as tf

    on_gpu = bool(tf.config.list_physical_devices("GPU"))
    return [{system: float("nan") if on_gpu else _extra_megabytes(step) for system, step in steps_of(*case).items()}
            for case in tqdm(listed, "memory", unit=" cases")]


def run(batch: int, rounds: int) -> pd.DataFrame:
    """Measure everything; `batch` is the largest. Returns a table with the `COLUMNS`; seconds are medians."""
    rows, listed = [], cases(batch)
    ours = {name: os.environ.get(name) for name in FRUGAL}
    os.environ |= FRUGAL
    try:  # a new process, as these are read when one begins; and first, before this one takes memory and keeps it
        with ProcessPoolExecutor(1, get_context("spawn")) as pool:
            megabytes = pool.submit(measure_megabytes, listed).result()
    finally:
        for name, value in ours.items():
            os.environ.pop(name) if value is None else os.environ.__setitem__(name, value)
    for what, options in tqdm(listed, "timing", unit=" cases"):
        for system, taken in measure_seconds(steps_of(what, options), rounds).items():
            rows.append({"what": what, "system": system, "negatives": 0, **options, "seconds": np.median(taken),
                         "fastest": min(taken), "slowest": max(taken), "rounds": rounds})
    table = pd.DataFrame(rows).assign(megabytes=[taken for case in megabytes for taken in case.values()])
    return table[list(COLUMNS)].round({"seconds": 5, "fastest": 5, "slowest": 5, "megabytes": 1})


def _extra_megabytes(step: Callable[[], None]) -> float:
    """Return by how much a call raises the peak of this process's memory beyond what is in use before it, in MB."""
    try:
        gc.collect()
        Path("/proc/self/clear_refs").write_text("5")  # the peak starts again from what is in use
        before = _status_megabytes("VmRSS")
        step()
        return _status_megabytes("VmHWM") - before
    except OSError:
        return float("nan")


def _status_megabytes(name: str) -> float:
    """Read a line of this process's status, in MB."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(name))
    return float(line.split()[1]) / 1024


def _free_bytes() -> float:
    """Return the memory that a process may still take; where the system does not tell, 4 GB."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        free = 1024 * float(next(line for line in lines if line.startswith("MemAvailable")).split()[1])
        limit = Path("/sys/fs/cgroup/memory.max")  # of a container
        bound = limit.read_text().strip() if limit.exists() else "max"
        return free if bound == "max" else min(free, float(bound))
    except (StopIteration, OSError):
        return 4e9


def main(arguments: list[str] | None = None) -> int:
    """Measure, print and write the table."""
    parser = argparse.ArgumentParser("python -m lab41_sce.article.timing", description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="table to write (CSV)")
    parser.add_argument("--batch", type=int, default=256, help="largest batch (default: 256, the article's)")
    parser.add_argument("--rounds", type=int, default=5, help="turns of each (default: 5)")
    options = parser.parse_args(arguments)
    try:
        if options.batch < 1 or options.rounds < 1:
            raise UserError(f"--batch {options.batch} and --rounds {options.rounds} must be at least 1.")
        if options.out.suffix != ".csv":
            raise UserError(f"--out {options.out} would hold a table; end its name in .csv.")
        if not options.out.parent.is_dir():
            raise UserError(f"--out {options.out}: {options.out.parent} is no folder; make it, or choose another.")
        if not os.access(options.out.parent, os.W_OK):
            raise UserError(f"--out {options.out}: nothing can be written to {options.out.parent}; choose another.")
        about = versions(shlex.join(["python", "-m", "lab41_sce.article.timing", *(arguments or sys.argv[1:])]))
        table = run(options.batch, options.rounds)
        write_whole(options.out, lambda file: table.to_csv(file, index=False))
        write_text(options.out.with_suffix(".json"), json.dumps(about, indent=2))
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(table.to_string(index=False))
    return 0


if __name__ == "__main__":
    sys.exit(main())

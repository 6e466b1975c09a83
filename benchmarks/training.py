"""Training speed: updates on a prepared batch, real training, and mixtures alone, in frames a second.

A frame is one hop of 256 samples at 10 kHz. "Ready data" is `fit` on one prepared batch, repeated. "Training" is `fit`
on mixtures that are drawn, augmented and added meanwhile, as in an experiment. Both alternate in many short turns of
one `fit`: the median ratio of the turns is robust to changes in the speed of the machine, and the queue of mixtures
stays full between turns, so that an update waits for one mixture, as in a long training. The peak of matrix products is
measured with each size.
"""

import itertools
import time

import keras
import numpy as np
import tensorflow as tf

from benchmarks.prepared import prepare_experiment, training_mixtures
from benchmarks.timing import part_main, seconds
from lab41_sce.data.sampler import TrainingMixtures
from lab41_sce.runs.systems import build_method
from lab41_sce.training.optimizer import RowAdam

SIZES = [*itertools.product((8, 16, 32, 64, 256), (40, 100, 400))]  # excerpts and frames of each
MAX_FRAMES = 32_000  # of a batch, for 24 GB
SHIPPED_SIZE = (32, 100)
RECIPES = {"quick recipe": (["+exp=cpu_half_hour"], SIZES),
           "article's network": (["+exp=article", "embedding_size=20"], SIZES),
           "pretrained recipe": (["+exp=cpu_hours"], [SHIPPED_SIZE])}
ROUNDS = 7
TURN_SECONDS, MAX_SECONDS = 1.0, 20.0  # about; of one turn, and of all turns of a size if that leaves three rounds


def matrix_peak(size: int) -> float:
    """Measure the median speed of large float32 matrix products in GFLOP/s."""
    left, right = tf.random.normal((size, size)), tf.random.normal((size, size))
    taken = [seconds(lambda: float(tf.reduce_sum(left @ right))) for _ in range(12)]
    return 2 * size**3 / np.median(taken[2:]) / 1e9


class Trainee:
    """The compiled method of an experiment, and the mixtures of the embedded corpus that train it.

    Args:
        overrides: of the experiment's command line.
    """

    def __init__(self, overrides: list[str]):
        self.config, self.prepared = prepare_experiment(overrides)
        self.method = build_method(self.config, self.prepared.setup)
        self.method.compile(RowAdam(1e-5, clip_norm=5.0))

    def mixtures(self, batch: int, frames: int) -> TrainingMixtures:
        """Return the mixtures of the experiment, with batches of a given size."""
        return training_mixtures(self.prepared, batch, frames)

    def ready(self, batch: int, frames: int) -> tf.data.Dataset:
        """Return an endless dataset of one prepared batch."""
        return tf.data.Dataset.from_tensors(self.mixtures(batch, frames).batch(0)).repeat()

    def operations(self) -> float:
        """Count the operations of an update for each frame: forward, and twice as many backward."""
        stride = self.config.method.build.get("loss_frame_stride", 1)  # the last layers skip the frames between
        return 3 * 2 * sum(np.prod(weight.shape) / (stride if weight.path.startswith(("bottleneck", "dense")) else 1)
                           for weight in self.method.model.network.weights if len(weight.shape) > 1)

    def update_ends(self, dataset, updates: int) -> np.ndarray:
        """Make updates with `fit`; return the time at the end of each."""
        clock = Clock()
        self.method.fit(dataset, steps_per_epoch=updates, verbose=0, shuffle=False, callbacks=[clock])
        return np.array(clock.ends)

    def rate(self, dataset, updates: int, frames: int) -> float:
        """Measure frames a second of updates on a dataset, after one that does not count."""
        ends = self.update_ends(dataset, updates + 1)
        return updates * frames / (ends[-1] - ends[0])

    def rates(self, ready, real, updates: int, frames: int, rounds: int) -> tuple[np.ndarray, np.ndarray]:
        """Measure frames a second on two datasets in alternating turns; the first round does not count."""
        turn, n_turns = updates + 1, 2 * (rounds + 1)
        choice = tf.data.Dataset.from_tensor_slices(np.repeat(np.arange(n_turns, dtype=np.int64) % 2, turn))
        ends = self.update_ends(tf.data.Dataset.choose_from_datasets([ready, real], choice), n_turns * turn)
        ends = ends.reshape(n_turns, turn)
        rates = updates * frames / (ends[:, -1] - ends[:, 0])
        return rates[2::2], rates[3::2]


class Clock(keras.callbacks.Callback):
    """Record the time at the end of each update."""

    def __init__(self):
        super().__init__()
        self.ends = []

    def on_train_batch_end(self, batch, logs=None):
        """Wait for the result of the update, then record the time."""
        float(logs["loss"])
        self.ends.append(time.perf_counter())


def input_rate(mixtures: TrainingMixtures, frames: int, batches: int) -> float:
    """Measure frames a second of mixtures without training."""
    stream = iter(mixtures.dataset())
    next(stream)
    return batches * frames / seconds(lambda: [next(stream) for _ in range(batches)])


def measure_size(rows, case: str, trainee: Trainee, size: tuple[int, int], quick: bool) -> float:
    """Measure one size of batches; return the peak of matrix products meanwhile in GFLOP/s."""
    frames = size[0] * (size[1] + 1)  # the last frame begins before the end of the excerpt
    ready, updates, rounds = trainee.ready(*size), 1, 1
    if not quick:
        guess = trainee.rate(ready, 1, frames) / frames  # updates a second
        updates = int(np.clip(TURN_SECONDS * guess, 1, 30))
        rounds = int(np.clip(MAX_SECONDS * guess / (2 * (updates + 1)), 3, ROUNDS))
    peak = matrix_peak(256 if quick else 2048)
    on_ready, in_training = trainee.rates(ready, trainee.mixtures(*size).dataset(), updates, frames, rounds)
    rows.add(f"{case}: update on ready data", np.median(on_ready), "frames/s")
    rows.add(f"{case}: share of the matrix peak", np.median(on_ready) * trainee.operations() / peak / 1e9, "1")
    rows.add(f"{case}: training", np.median(in_training), "frames/s")
    rows.add(f"{case}: training, share of the update's rate", np.median(in_training / on_ready), "1")
    return peak


def measure_determinism(rows, quick: bool) -> None:
    """Measure the cost of `deterministic=true`; the process remains deterministic."""
    (batch, length), rates = (2, 20) if quick else SHIPPED_SIZE, []
    for deterministic in (False, True):
        if deterministic:
            tf.config.experimental.enable_op_determinism()
        keras.utils.set_random_seed(0)
        trainee = Trainee(["+exp=two_speaker"])
        rates.append(trainee.rate(trainee.ready(batch, length), 1 if quick else 60, batch * (length + 1)))
    rows.add("two_speaker, update on ready data", rates[0], "frames/s")
    rows.add("two_speaker, update on ready data, deterministic=true", rates[1], "frames/s")
    rows.add("two_speaker, deterministic=true, share of the usual rate", rates[1] / rates[0], "1")


def measure(rows, quick: bool) -> None:
    """Measure all recipes and sizes."""
    peaks, recipes = [], {"quick recipe": (["+exp=cpu_half_hour"], [(8, 40)])} if quick else RECIPES
    for name, (overrides, sizes) in recipes.items():
        trainee = Trainee(overrides)
        for size in [size for size in sizes if np.prod(size) <= MAX_FRAMES]:
            peaks.append(measure_size(rows, f"{name}, {size[0]} x {size[1]} frames", trainee, size, quick))
        for batch, length in sorted({SHIPPED_SIZE, (256, 40)}.intersection(sizes)) or sizes:
            rate = input_rate(trainee.mixtures(batch, length), batch * (length + 1), 2 if quick else 20)
            rows.add(f"{name}, {batch} x {length} frames: mixtures alone", rate, "frames/s")
    rows.add("matrix peak, float32", np.median(peaks), "GFLOP/s")
    measure_determinism(rows, quick)


if __name__ == "__main__":
    part_main(measure)

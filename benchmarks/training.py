"""Training: frames a second of the update on ready data and of real training, at many sizes, and the machine's peak.

A frame is one hop of 256 samples at 10 kHz. "Ready" is `fit` on one batch again and again; "real" is `fit` on mixtures
as they are drawn, augmented and added up meanwhile, as experiments do it. The two take turns, many short ones: machines
are now faster, now slower, which the median of the rounds' ratios does not notice. Both belong to one `fit`, so that
the queue of mixtures stays full while none is taken: a real update pays for the one mixture that follows it, as in a
long training, and not for filling the queue. The peak is measured with each size.
"""

import itertools
import time

import keras
import numpy as np
import tensorflow as tf
from bench import part_main
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate

from lab41_sce.data import librispeech, splits
from lab41_sce.data.noise import Noise
from lab41_sce.data.sampler import TrainingMixtures
from lab41_sce.data.speech import Speech
from lab41_sce.methods.base import Setup
from lab41_sce.runs.config_schema import CONFIG_PATH
from lab41_sce.training.optimizer import RowAdam

BATCHES, FRAMES, ROUNDS = (8, 16, 32, 64, 256), (40, 100, 400), 7
SIZES = [*itertools.product(BATCHES, FRAMES)]
RECIPES = {"quick recipe": (["+exp=quick"], SIZES),  # its network is that of the shipped model
           "article's network": (["+exp=paper", "embedding_size=20"], SIZES),
           "pretrained recipe": (["+exp=pretrained"], [(32, 100)])}
LARGEST = 32_000  # frames in a batch, for 24 GB
SECONDS, MOST_SECONDS = 1.0, 20.0  # of a turn, about; of all those of a size, if three rounds allow it


def matrix_peak(size: int = 2048) -> float:
    """Measure the machine's large float32 matrix products, in GFLOP/s: the median of ten."""
    left, right = tf.random.normal((size, size)), tf.random.normal((size, size))
    taken = []
    for _ in range(12):
        start = time.perf_counter()
        float(tf.reduce_sum(left @ right))
        taken.append(time.perf_counter() - start)
    return 2 * size**3 / np.median(taken[2:]) / 1e9


class Bench:
    """Hold a method of an experiment, compiled, and what draws its mixtures, from the embedded corpus.

    Args:
        experiment: what the command line of the experiment would add.
    """

    def __init__(self, experiment: list[str]):
        with initialize_config_dir(str(CONFIG_PATH.resolve()), version_base="1.3"):
            self.config = compose("config", experiment)
        self.front_end = instantiate(self.config.front_end)
        self.take(None)
        network = instantiate(self.config.network)
        setup = Setup(self.front_end, network, 2, tuple(self.speakers), self.speech, self.table)
        self.method = instantiate(self.config.method.build, _partial_=True)(setup)
        self.method.compile(RowAdam(1e-5, clip_norm=5.0))

    def take(self, root, subset: str = librispeech.EMBEDDED_SUBSET) -> None:
        """Draw the mixtures that come from another corpus."""
        table = splits.split(librispeech.load(root, [subset], check="headers"), 2, **self.config.splits)
        table = splits.perturb_speed(table, self.config.mixtures.speeds)
        self.speakers = splits.trained_speakers(table)
        self.speech = Speech(table, self.front_end.sample_rate_hz)
        self.table, self.noise = table[table["split"] == "train"], Noise(self.speech, table)

    def mixtures(self, batch: int, frames: int) -> TrainingMixtures:
        """Draw batches of that size as the experiment does."""
        options = {name: value for name, value in self.config.mixtures.items()
                   if name not in ("in_memory", "speeds", "batch_size", "seconds", "n_speakers", "curriculum_batches")}
        if self.config.noise.training_snr_db is not None:
            options |= {"noise": self.noise, "snr_db": tuple(self.config.noise.training_snr_db)}
        seconds = frames * self.front_end.hop_length / self.front_end.sample_rate_hz
        return TrainingMixtures(self.speech, self.table, self.speakers, n_speakers=2, batch_size=batch, seconds=seconds,
                                pre_emphasis=self.front_end.pre_emphasis, **options)

    def operations(self) -> float:
        """Count the operations of an update for each frame: forward, and twice as many backward.

        The last layers are spared the frames that the loss does not look at.
        """
        every = self.config.method.build.get("loss_frame_stride", 1)
        return 3 * 2 * sum(np.prod(weight.shape) / (every if weight.path.startswith(("bottleneck", "dense")) else 1)
                           for weight in self.method.model.network.weights if len(weight.shape) > 1)

    def rate(self, dataset, updates: int, frames: int) -> float:
        """Measure frames a second of `fit` on the first updates of a dataset, after one that is not counted."""
        clock = Clock()
        self.method.fit(dataset, steps_per_epoch=updates + 1, verbose=0, shuffle=False, callbacks=[clock])
        return updates * frames / (clock.ends[-1] - clock.ends[0])

    def rates(self, ready, real, updates: int, frames: int, rounds: int) -> tuple[list[float], list[float]]:
        """Measure frames a second of `fit` on two datasets in turns.

        A turn is so many updates, after one that is not counted; nor is the first round.
        """
        turn, n_turns = updates + 1, 2 * (rounds + 1)
        choice = tf.data.Dataset.from_tensor_slices(np.repeat(np.arange(n_turns, dtype=np.int64) % 2, turn))
        clock = Clock()
        self.method.fit(tf.data.Dataset.choose_from_datasets([ready, real], choice), steps_per_epoch=n_turns * turn,
                        verbose=0, shuffle=False, callbacks=[clock])
        ends = np.reshape(clock.ends, (n_turns, turn))
        rates = updates * frames / (ends[:, -1] - ends[:, 0])
        return rates[2::2].tolist(), rates[3::2].tolist()


class Clock(keras.callbacks.Callback):
    """Note when each update ended."""

    def __init__(self):
        super().__init__()
        self.ends = []

    def on_train_batch_end(self, batch, logs=None):
        """Wait for the update, and note the time."""
        float(logs["loss"])
        self.ends.append(time.perf_counter())


def input_rate(mixtures: TrainingMixtures, frames: int, batches: int) -> float:
    """Measure frames a second of mixtures alone."""
    stream = iter(mixtures.dataset())
    next(stream)
    start = time.perf_counter()
    for _ in range(batches):
        next(stream)
    return batches * frames / (time.perf_counter() - start)


def measure(rows, quick: bool, recipes: dict[str, tuple[list[str], list[tuple[int, int]]]] = RECIPES) -> None:
    """Measure all sizes, ready and real in turns."""
    if quick:
        recipes = {"quick recipe": (["+exp=quick"], [(8, 40)])}
    peaks = []
    for name, (experiment, sizes) in recipes.items():
        bench = Bench(experiment)
        for batch, length in sizes:
            if batch * length > LARGEST:
                continue
            frames = batch * (length + 1)  # the last frame begins before the excerpt's end
            mixtures = bench.mixtures(batch, length)
            one = tf.data.Dataset.from_tensors(mixtures.batch(0)).repeat()
            updates = rounds = 1
            if not quick:
                guess = bench.rate(one, 1, frames) / frames  # updates a second
                updates = int(np.clip(SECONDS * guess, 1, 30))
                rounds = int(np.clip(MOST_SECONDS * guess / (2 * (updates + 1)), 3, ROUNDS))
            peaks.append(matrix_peak(256 if quick else 2048))
            ready, real = bench.rates(one, mixtures.dataset(), updates, frames, rounds)
            case = f"{name}, {batch} x {length} frames"
            rows.add(f"{case}: update on ready data", np.median(ready), "frames/s")
            rows.add(f"{case}: share of the matrix peak", np.median(ready) * bench.operations() / peaks[-1] / 1e9, "1")
            rows.add(f"{case}: training", np.median(real), "frames/s")
            rows.add(f"{case}: training, share of the update's rate", np.median(np.divide(real, ready)), "1")
        for batch, length in sorted({(32, 100), (256, 40)}.intersection(sizes)) or sizes:
            rate = input_rate(bench.mixtures(batch, length), batch * (length + 1), 2 if quick else 20)
            rows.add(f"{name}, {batch} x {length} frames: mixtures alone", rate, "frames/s")
    rows.add("matrix peak, float32", np.median(peaks), "GFLOP/s")


if __name__ == "__main__":
    part_main(measure)

"""A method and its mixtures become weights: training that can be watched, stopped, killed and resumed.

`keras.Model.fit` makes the updates. One callback, `Recorder`, does the rest at every validation: it appends a row to
the history, keeps the best model so far, and writes a checkpoint with everything that the next update depends on
(weights, optimiser, counters, history). Each file is replaced whole, so a kill at any moment costs only the updates
since the last validation; batches are numbered, so a resumed run sees the ones it would have seen.

Of several workers (`workers.py`), each runs all of this; the chief alone validates, writes and looks at the clock.

The best model is that with the highest SI-SDR improvement on mixtures of *validation speakers*, whom training never
hears. (The SCE loss does not exist for them, since they have no speaker vectors; `validation_loss` in the history is
the loss on held-out utterances of the trained speakers.)
"""

import json
import logging
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np
import pandas as pd
import tensorflow as tf
from tqdm import tqdm

from lab41_sce.atomic_write import make_folder, write_whole
from lab41_sce.data.sampler import TrainingMixtures
from lab41_sce.errors import UserError
from lab41_sce.training.distributed import Workers
from lab41_sce.training.optimizer import RowAdam

MONITOR = "validation_si_sdri_db"
TOTALS = ("updates", "minutes", "seconds_per_update", "best_update")

logger = logging.getLogger(__name__)


@dataclass
class TrainingSettings:
    """How to train; `experiments/config.yaml` explains and defaults each.

    Raises:
        UserError: settings that do not go together, such as no limit at all.
    """

    updates: int | None
    minutes: float | None
    validate_every: int
    patience: int | None
    learning_rate: float
    beta_2: float
    warmup_updates: int
    decay: str
    clip_norm: float | None
    tensorboard: bool
    strategy: str | None = None
    workers: int | None = None

    def __post_init__(self):
        if self.updates is None and self.minutes is None and self.patience is None:
            raise UserError("training would never end; choose an experiment, such as +exp=smoke, or set "
                            "training.updates, training.minutes or training.patience.")
        if not self.beta_2 < 1:
            raise UserError(f"training.beta_2={self.beta_2} is not possible; give a number of at least 0, below 1.")
        if self.decay == "cosine" and self.updates is None and self.minutes is None:
            raise UserError("training.decay=cosine needs an end: set training.updates or training.minutes.")

    def progress(self, update: int, minutes: float) -> float:
        """Return how much of the budget is used, 0 to 1: updates or minutes, whichever is further on."""
        return min(1.0, max(update / (self.updates or math.inf), minutes / (self.minutes or math.inf)))

    def rate(self, update: int, minutes: float) -> float:
        """Return the learning rate of an update: linear warm-up, then a half cosine down to 1 % (or constant)."""
        warmup = min(1.0, (update + 1) / self.warmup_updates) if self.warmup_updates else 1.0
        if self.decay == "none":
            return self.learning_rate * warmup
        cosine = 0.5 * (1.0 + math.cos(math.pi * self.progress(update, minutes)))
        return self.learning_rate * warmup * (0.01 + 0.99 * cosine)


def train(
    method: keras.Model,
    mixtures: TrainingMixtures,
    held_out: Sequence[dict[str, np.ndarray]],
    validate: Callable[[], dict[str, float]],
    settings: TrainingSettings,
    folder: str | Path,
    workers: Workers | None = None,
) -> pd.DataFrame:
    """Train a method, or go on where an earlier call was interrupted.

    Args:
        method: Keras model whose output is its loss, with the attribute `model`: what separates.
        mixtures: batches to train on.
        held_out: some batches of held-out utterances of the same speakers, for `validation_loss`.
        validate: returns columns of the history, `validation_si_sdri_db` among them.
        settings: see `TrainingSettings`.
        folder: gets `checkpoint.npz`, `model.keras` (the best), `history.csv` and `tensorboard/`. An earlier
            checkpoint in it is resumed.
        workers: who trains together, if not this process alone; `mixtures` are of this worker's rows.

    Returns:
        The history, a row for each validation; empty but for the chief.

    Raises:
        UserError: the loss became NaN or infinite, the checkpoint is of another model, speech cannot be read any more,
            the disk is full, or another worker is gone.
    """
    folder, workers = Path(folder), workers or Workers()
    if workers.is_chief:
        make_folder(folder)
    method.compile(RowAdam(settings.learning_rate, settings.beta_2, settings.clip_norm))
    method(mixtures.batch(0))  # builds every weight
    method.optimizer.build(method.trainable_variables)
    recorder = Recorder(method, mixtures, held_out, validate, settings, folder, workers)
    recorder.restore()
    if not workers.broadcast(recorder.finished())[0]:
        callbacks, events = [recorder], folder / "tensorboard"
        if workers.count > 1:
            method.train_function = workers.train_function(method)
        if settings.tensorboard and workers.is_chief:
            callbacks.append(keras.callbacks.TensorBoard(events, write_graph=False))
        try:
            method.fit(
                mixtures.dataset(start=recorder.update),
                initial_epoch=len(recorder.history),
                epochs=10**9,  # the recorder stops it
                steps_per_epoch=settings.validate_every,
                callbacks=callbacks,
                shuffle=False,
                verbose=0,
            )
        except tf.errors.OpError as error:
            if str(events) not in str(error):
                raise
            raise UserError(f"{events} could not be written ({type(error).__name__}); free some space, choose another "
                            "folder, or set training.tensorboard=false.") from None
        finally:
            recorder.bar.close()
    if workers.is_chief:
        recorder.write_history()
    return pd.DataFrame(recorder.history)


def totals(history: pd.DataFrame) -> dict[str, float]:
    """Sum a history up: the `TOTALS`; a second per update is a median, validation left out."""
    best = history.loc[history[MONITOR].idxmax(), "update"]
    values = history["update"].iloc[-1], history["minutes"].iloc[-1], history["seconds_per_update"].median(), best
    return dict(zip(TOTALS, values))


class Recorder(keras.callbacks.Callback):
    """Set the learning rate, show progress, and at every validation record, checkpoint and decide whether to stop."""

    def __init__(self, method, mixtures, held_out, validate, settings, folder, workers):
        super().__init__()
        self.method, self.mixtures, self.held_out, self.validate = method, mixtures, held_out, validate
        self.settings, self.folder, self.workers = settings, folder, workers
        self.update, self.earlier_minutes, self.history = 0, 0.0, []
        self.started = time.monotonic()
        self.now = 0.0  # the chief's minutes when the update began
        self.update_seconds = []  # of each update since the last validation
        self.bar = tqdm(disable=True)  # until training begins

    def restore(self):
        """Take up the checkpoint in the folder, if there is one; all workers begin as the chief does."""
        if self.workers.is_chief and (self.folder / "checkpoint.npz").exists():
            self._read(self.folder / "checkpoint.npz")
        if self.workers.count > 1:
            variables = self._variables()
            arrays = [keras.ops.convert_to_numpy(variable) for variable in variables]
            update, *arrays = self.workers.broadcast(self.update, *arrays)
            self.update = int(update)
            for variable, array in zip(variables, arrays):
                variable.assign(array)

    def _read(self, path):
        """Read a checkpoint."""
        with np.load(path) as arrays:
            state = json.loads(str(arrays["state"]))
            variables = self._variables()
            if [list(variable.shape) for variable in variables] != state["shapes"]:
                raise UserError(f"{path} is of another network; choose another run_dir or set overwrite=true.")
            for number, variable in enumerate(variables):
                variable.assign(arrays[f"variable_{number}"])
        self.update, self.earlier_minutes, self.history = state["update"], state["minutes"], state["history"]
        logger.info("Resumed after %d updates, %.1f minutes of training.", self.update, self.earlier_minutes)

    def minutes(self):
        """Return the minutes of training so far, those before an interruption included."""
        return self.earlier_minutes + (time.monotonic() - self.started) / 60.0

    def finished(self):
        """Tell whether the budget is used up or the patience is at its end."""
        if self.settings.progress(self.update, self.minutes()) >= 1.0:
            return True
        scores = [row[MONITOR] for row in self.history]
        return bool(scores and self.settings.patience and len(scores) - np.argmax(scores) > self.settings.patience)

    def on_train_begin(self, logs=None):
        """Start the clock and the progress bar."""
        self.started = time.monotonic()
        self.bar = tqdm(total=self.settings.updates, initial=self.update, desc="training", unit=" updates",
                        dynamic_ncols=True, mininterval=1.0, disable=not self.workers.is_chief)

    def on_train_batch_begin(self, batch, logs=None):
        """Set the learning rate."""
        self.update_started = time.monotonic()
        self.now = self.minutes()
        if self.settings.minutes:  # else no worker needs to know the time
            self.now = float(self.workers.broadcast(self.now)[0])
        self.method.optimizer.learning_rate = self.settings.rate(self.update, self.now)

    def on_train_batch_end(self, batch, logs=None):
        """Count, and stop on speech that is gone, on a broken loss, or at the end of the budget."""
        if self.mixtures.error:
            raise self.mixtures.error
        self.update += 1
        self._require_finite(logs["loss"])  # waits for the update, so that its time is known
        self.update_seconds.append(time.monotonic() - self.update_started)
        self.bar.update()
        self.bar.set_postfix(loss=f"{logs['loss']:.4f}", min=f"{self.minutes():.1f}", refresh=False)
        if self.settings.progress(self.update, self.now) >= 1.0:
            self.method.stop_training = True

    def on_epoch_end(self, epoch, logs=None):
        """Validate and write, and stop at the end of the budget or of the patience."""
        if self.workers.is_chief:
            self._record(logs)
        if self.workers.broadcast(self.finished())[0]:
            self.method.stop_training = True

    def _record(self, logs):
        """Validate, then write history, best model and checkpoint."""
        row = {"update": self.update, "minutes": 0.0, "learning_rate": float(self.method.optimizer.learning_rate),
               "seconds_per_update": round(float(np.median(self.update_seconds)), 4), "loss": logs["loss"]}
        self.update_seconds = []
        if self.held_out:
            row["validation_loss"] = float(np.mean([self._loss(batch) for batch in self.held_out]))
        self._require_finite(*(keras.ops.sum(weight) for weight in self.method.trainable_variables))
        row |= self.validate()
        row["minutes"] = round(self.minutes(), 3)
        logs.update({name: value for name, value in row.items() if name.startswith("validation")})  # for TensorBoard
        self.history.append(row)
        if row[MONITOR] >= max(earlier[MONITOR] for earlier in self.history):
            write_whole(self.folder / "model.keras", self.method.model.save)
        self._checkpoint()
        self.write_history()
        self.bar.write(f"update {self.update}, {row['minutes']:.1f} min: loss {row['loss']:.4f}, validation speakers "
                       f"{row[MONITOR]:+.2f} dB SI-SDR improvement")

    def write_history(self):
        """Write the history as CSV."""
        write_whole(self.folder / "history.csv", lambda path: pd.DataFrame(self.history).to_csv(path, index=False))

    def _loss(self, batch):
        """Compute the loss of one batch, without the running mean over batches that Keras keeps."""
        self.method.reset_metrics()
        return float(self.method.test_on_batch(batch))

    def _require_finite(self, *values):
        """Stop with a clear sentence if the training has broken."""
        if not all(math.isfinite(value) for value in values):
            raise UserError(f"the loss or a weight is no finite number after update {self.update}; the last good ones "
                            f"are kept in {self.folder}; lower training.learning_rate or training.clip_norm.")

    def _variables(self):
        """List every variable that the next update depends on."""
        return [*self.method.variables, *self.method.optimizer.variables]

    def _checkpoint(self):
        """Write the whole state to one file."""
        arrays = [keras.ops.convert_to_numpy(variable) for variable in self._variables()]
        state = {"update": self.update, "minutes": self.minutes(), "history": self.history,
                 "shapes": [list(array.shape) for array in arrays]}
        contents = {f"variable_{number}": array for number, array in enumerate(arrays)}
        write_whole(self.folder / "checkpoint.npz", lambda path: np.savez(path, state=json.dumps(state), **contents))

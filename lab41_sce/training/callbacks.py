"""What happens around the updates of `keras.Model.fit`, one callback for each task.

The order of the callbacks matters: `UpdateCounter` first, then `LearningRate` and `FiniteLoss`; at a validation
`Validation`, `BestModel`, `Checkpoint`, `ProgressBar`, and `Budget` last. An epoch of Keras is the interval between two
validations. Each file is replaced as a whole, so a kill at any moment costs only the updates since the last validation.
"""

import math
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
from tqdm import tqdm

from lab41_sce.data.sampler import TrainingMixtures
from lab41_sce.errors import UserError
from lab41_sce.training.checkpoint import TrainingState
from lab41_sce.training.distributed import Workers
from lab41_sce.training.history import MONITOR, last_is_best, write_history
from lab41_sce.training.settings import TrainingSettings

Logs = dict[str, Any] | None


class UpdateCounter(keras.callbacks.Callback):
    """Count the updates and measure the time of each."""

    def __init__(self, state: TrainingState):
        super().__init__()
        self.state, self._started = state, 0.0

    def on_train_begin(self, logs: Logs = None) -> None:
        self.state.start_clock()

    def on_train_batch_begin(self, batch: int, logs: Logs = None) -> None:
        self._started = time.monotonic()

    def on_train_batch_end(self, batch: int, logs: Logs = None) -> None:
        self.state.update += 1  # Keras has read the loss, so the update is finished
        self.state.update_seconds.append(time.monotonic() - self._started)


class LearningRate(keras.callbacks.Callback):
    """Set the learning rate of each update; with a limit of minutes, all workers follow the clock of the chief."""

    def __init__(self, state: TrainingState, settings: TrainingSettings, workers: Workers):
        super().__init__()
        self.state, self.settings, self.workers = state, settings, workers

    def on_train_batch_begin(self, batch: int, logs: Logs = None) -> None:
        minutes = self.state.minutes()
        if self.settings.minutes:
            minutes = float(self.workers.broadcast(minutes)[0])
        self.state.minutes_at_update = minutes
        self.model.optimizer.learning_rate = self.settings.rate(self.state.update, minutes)


class FiniteLoss(keras.callbacks.Callback):
    """Stop the training if speech cannot be read, or if the loss or a weight is not finite."""

    def __init__(self, state: TrainingState, mixtures: TrainingMixtures, folder: Path):
        super().__init__()
        self.state, self.mixtures, self.folder = state, mixtures, folder

    def on_train_batch_end(self, batch: int, logs: Logs = None) -> None:
        if self.mixtures.error:
            raise self.mixtures.error
        self._require_finite([(logs or {})["loss"]])

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        """Check the weights before they are validated and written."""
        self._require_finite([float(keras.ops.sum(weight)) for weight in self.model.trainable_variables])

    def _require_finite(self, values: Sequence[float]) -> None:
        """Raise UserError unless all values are finite."""
        if not all(math.isfinite(value) for value in values):
            raise UserError(f"the loss or a weight is not a finite number after update {self.state.update}; the last "
                            f"good weights are kept in {self.folder}; lower training.learning_rate or "
                            "training.clip_norm.")


class Validation(keras.callbacks.Callback):
    """Validate, and append a row to the history."""

    def __init__(self, state: TrainingState, held_out: Sequence[dict[str, np.ndarray]],
                 validate: Callable[[], dict[str, float]]):
        super().__init__()
        self.state, self.held_out, self.validate = state, held_out, validate

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        """Validate; TensorBoard writes the columns that are added to `logs`."""
        logs = {} if logs is None else logs
        row = {"update": self.state.update, "minutes": 0.0,
               "learning_rate": float(self.model.optimizer.learning_rate),
               "seconds_per_update": round(float(np.median(self.state.update_seconds)), 4), "loss": logs["loss"]}
        self.state.update_seconds = []
        if self.held_out:
            row["validation_loss"] = float(np.mean([self._loss(batch) for batch in self.held_out]))
        row |= self.validate()
        row["minutes"] = round(self.state.minutes(), 3)
        logs.update({name: value for name, value in row.items() if name.startswith("validation")})
        self.state.history.append(row)

    def _loss(self, batch: dict[str, np.ndarray]) -> float:
        """Compute the loss of one batch, without the running mean over batches that Keras keeps."""
        self.model.reset_metrics()
        return float(self.model.test_on_batch(batch))


class BestModel(keras.callbacks.Callback):
    """Keep the model of the best validation so far in `model.keras`."""

    def __init__(self, state: TrainingState, folder: Path):
        super().__init__()
        self.state, self.folder = state, folder

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        if last_is_best(self.state.history):
            self.state.save_model(self.folder)


class Checkpoint(keras.callbacks.Callback):
    """Write `checkpoint.npz`, keep the one before, and write `history.csv`."""

    def __init__(self, state: TrainingState, folder: Path):
        super().__init__()
        self.state, self.folder = state, folder

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        self.state.save(self.folder)
        write_history(self.state.history, self.folder)


class ProgressBar(keras.callbacks.Callback):
    """Show the progress on the terminal."""

    def __init__(self, state: TrainingState, settings: TrainingSettings):
        super().__init__()
        self.state, self.settings = state, settings
        self._bar = tqdm(disable=True)  # until training begins

    def on_train_begin(self, logs: Logs = None) -> None:
        self._bar = tqdm(total=self.settings.updates, initial=self.state.update, desc="training", unit=" updates",
                         dynamic_ncols=True, mininterval=1.0, disable=None)

    def on_train_batch_end(self, batch: int, logs: Logs = None) -> None:
        self._bar.update()
        self._bar.set_postfix(loss=f"{(logs or {})['loss']:.4f}", min=f"{self.state.minutes():.1f}", refresh=False)

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        row = self.state.history[-1]
        self._bar.write(f"update {row['update']}, {row['minutes']:.1f} min: loss {row['loss']:.4f}, validation "
                        f"speakers {row[MONITOR]:+.2f} dB SI-SDR improvement")

    def close(self) -> None:
        """Remove the bar, also after an exception."""
        self._bar.close()


class Budget(keras.callbacks.Callback):
    """Stop the training at the end of its updates, minutes or patience; the chief decides for all workers."""

    def __init__(self, state: TrainingState, settings: TrainingSettings, workers: Workers):
        super().__init__()
        self.state, self.settings, self.workers = state, settings, workers

    def is_used_up(self) -> bool:
        """Return whether the training is finished; the same on all workers."""
        scores = [row[MONITOR] for row in self.state.history]
        return bool(self.workers.broadcast(self.settings.finished(self.state.update, self.state.minutes(), scores))[0])

    def on_train_batch_end(self, batch: int, logs: Logs = None) -> None:
        """Stop in the middle of an epoch at the end of the updates or minutes."""
        if self.settings.progress(self.state.update, self.state.minutes_at_update) >= 1.0:
            self.model.stop_training = True

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        """Stop after a validation at the end of the updates, minutes or patience."""
        if self.is_used_up():
            self.model.stop_training = True

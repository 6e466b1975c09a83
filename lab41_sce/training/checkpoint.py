"""The state of a training becomes one file, `checkpoint.npz`, and the file becomes the state again.

The file holds `variable_0`, `variable_1` and so on (weights of the method, then of the optimizer), `best_0` and so on
(weights of the model at the best validation) and `state`, a JSON text with the number of updates, the minutes, the
history, the shapes of the variables and the checksum of `model.keras`. The checkpoint before it is kept as
`checkpoint_previous.npz`, in case the last one is damaged; a damaged `model.keras` is written again.
"""

import json
import logging
import time
from pathlib import Path
from typing import Any

import keras
import numpy as np

from lab41_sce.atomic_write import write_whole
from lab41_sce.data.checksums import file_checksum
from lab41_sce.errors import UserError

CHECKPOINT, PREVIOUS, MODEL = "checkpoint.npz", "checkpoint_previous.npz", "model.keras"

logger = logging.getLogger(__name__)


class TrainingState:
    """Everything that the next update depends on.

    Args:
        method: the compiled method, with all of its variables built.

    Attributes:
        update: number of updates so far.
        history: a row for each validation (`history.py`).
        update_seconds: duration of each update since the last validation.
        minutes_at_update: training time when the present update began; that of the chief, where minutes are limited.
        best: weights of `method.model` at the best validation, which `model.keras` holds; empty before the first.
        model_checksum: checksum of `model.keras`.
    """

    def __init__(self, method: keras.Model):
        self.method = method
        self.update = 0
        self.history: list[dict[str, Any]] = []
        self.update_seconds: list[float] = []
        self.minutes_at_update = 0.0
        self.best: list[np.ndarray] = []
        self.model_checksum = ""
        self._earlier_minutes, self._started = 0.0, time.monotonic()

    def start_clock(self) -> None:
        """Count the minutes of this process from now on."""
        self._started = time.monotonic()

    def minutes(self) -> float:
        """Return the training time so far in minutes, that before an interruption included."""
        return self._earlier_minutes + (time.monotonic() - self._started) / 60.0

    def variables(self) -> list[keras.Variable]:
        """List the variables of the method, then those of its optimizer."""
        return [*self.method.variables, *self.method.optimizer.variables]

    def save_model(self, folder: Path) -> None:
        """Write the present weights to `model.keras`, and keep them as the best ones."""
        write_whole(folder / MODEL, self.method.model.save)
        self.best, self.model_checksum = self.method.model.get_weights(), file_checksum(folder / MODEL)

    def save(self, folder: Path) -> None:
        """Write the state to `checkpoint.npz`, whole or not at all; the checkpoint before becomes the previous one."""
        arrays = [keras.ops.convert_to_numpy(variable) for variable in self.variables()]
        state = {"update": self.update, "minutes": self.minutes(), "history": self.history,
                 "shapes": [list(array.shape) for array in arrays], "model_checksum": self.model_checksum}
        contents: dict[str, Any] = {f"variable_{number}": array for number, array in enumerate(arrays)}
        contents |= {f"best_{number}": array for number, array in enumerate(self.best)}

        def write(temporary: Path) -> None:
            np.savez(temporary, state=json.dumps(state), **contents)
            if (folder / CHECKPOINT).exists():
                (folder / CHECKPOINT).replace(folder / PREVIOUS)

        write_whole(folder / CHECKPOINT, write)

    def restore(self, folder: Path) -> None:
        """Read the last checkpoint of a folder that can be read, if there is any, and write a damaged model again.

        Raises:
            UserError: the checkpoint belongs to another network, or no checkpoint can be read.
        """
        damaged = []
        for path in (folder / CHECKPOINT, folder / PREVIOUS):
            if not path.exists():
                continue
            try:
                state, contents = _read(path)
            except Exception as error:  # a damaged file can raise anything
                reason = [*str(error).strip().splitlines(), type(error).__name__][0].rstrip(".")
                damaged.append(f"{path} cannot be read ({reason})")
                continue
            self._set(state, contents, path)
            if path.name == PREVIOUS:
                logger.warning("%s: the training continues from %s.",
                               *(damaged or [f"{folder / CHECKPOINT} is missing"]), path)
                path.replace(folder / CHECKPOINT)
            self._restore_model(folder)
            logger.info("Resumed after %d updates, %.1f minutes of training.", self.update, self._earlier_minutes)
            return
        if damaged:
            raise UserError(f"{'; '.join(damaged)}; restore the file from a copy, delete it to train this system from "
                            "its beginning, or start again with overwrite=true.")
        if folder.is_dir() and any(folder.iterdir()):  # such as the events of an interrupted training
            logger.info("There is no checkpoint yet: the training begins from the start.")

    def _set(self, state: dict[str, Any], contents: dict[str, np.ndarray], path: Path) -> None:
        """Take over the contents of a checkpoint."""
        variables = self.variables()
        if [list(variable.shape) for variable in variables] != state["shapes"]:
            raise UserError(f"{path} is of another network; choose another run_dir or set overwrite=true.")
        for number, variable in enumerate(variables):
            variable.assign(contents[f"variable_{number}"])
        self.best = [contents[f"best_{number}"] for number in range(sum(name.startswith("best_") for name in contents))]
        self.update, self._earlier_minutes, self.history = state["update"], state["minutes"], state["history"]
        self.model_checksum = state.get("model_checksum", "")  # checkpoints of version 0.2 have none

    def _restore_model(self, folder: Path) -> None:
        """Write `model.keras` again unless it is the file of the checkpoint."""
        if not self.best or file_checksum(folder / MODEL) == self.model_checksum:
            return
        logger.warning("%s is not the best model of the checkpoint: it is written again.", folder / MODEL)
        model = self.method.model
        present = model.get_weights()
        model.set_weights(self.best)
        self.save_model(folder)
        model.set_weights(present)
        self.start_clock()
        self.save(folder)  # with the checksum of the new file


def _read(path: Path) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Read a whole checkpoint; the ZIP file around it has checksums of all of its parts."""
    with np.load(path) as arrays:
        contents = {name: arrays[name] for name in arrays.files}
    state = json.loads(str(contents.pop("state")))
    for name in ("update", "minutes", "history", "shapes"):
        state[name]  # raises KeyError
    return state, contents

"""The state of a training becomes one file, `checkpoint.npz`, and the file becomes the state again.

The file holds `variable_0`, `variable_1` and so on (weights of the method, then of the optimizer) and `state`, a JSON
text with the number of updates, the minutes, the history and the shapes of the variables.
"""

import json
import logging
import time
from pathlib import Path
from typing import Any

import keras
import numpy as np

from lab41_sce.atomic_write import write_whole
from lab41_sce.errors import UserError

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
    """

    def __init__(self, method: keras.Model):
        self.method = method
        self.update = 0
        self.history: list[dict[str, Any]] = []
        self.update_seconds: list[float] = []
        self.minutes_at_update = 0.0
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

    def save(self, path: Path) -> None:
        """Write the state to a file, whole or not at all."""
        arrays = [keras.ops.convert_to_numpy(variable) for variable in self.variables()]
        state = {"update": self.update, "minutes": self.minutes(), "history": self.history,
                 "shapes": [list(array.shape) for array in arrays]}
        contents: dict[str, Any] = {f"variable_{number}": array for number, array in enumerate(arrays)}
        write_whole(path, lambda temporary: np.savez(temporary, state=json.dumps(state), **contents))

    def restore(self, path: Path) -> None:
        """Read the state from a file.

        Raises:
            UserError: the file belongs to another network.
        """
        with np.load(path) as arrays:
            state = json.loads(str(arrays["state"]))
            variables = self.variables()
            if [list(variable.shape) for variable in variables] != state["shapes"]:
                raise UserError(f"{path} is of another network; choose another run_dir or set overwrite=true.")
            for number, variable in enumerate(variables):
                variable.assign(arrays[f"variable_{number}"])
        self.update, self._earlier_minutes, self.history = state["update"], state["minutes"], state["history"]
        logger.info("Resumed after %d updates, %.1f minutes of training.", self.update, self._earlier_minutes)

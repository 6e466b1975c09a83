"""The history of a training, a row for each validation, becomes its best model and its totals.

A row is a dict of `update`, `minutes`, `learning_rate`, `seconds_per_update`, `loss`, `validation_loss` (if there are
held-out batches) and the columns of the validation, `MONITOR` among them.
"""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from lab41_sce.atomic_write import write_csv

MONITOR = "validation_si_sdri_db"  # mean SI-SDR improvement; the model with the highest one is kept
TOTALS = ("updates", "minutes", "seconds_per_update", "best_update")


def last_is_best(history: Sequence[Mapping[str, Any]]) -> bool:
    """Return whether the last validation was better than all earlier ones; those that are not a number do not count."""
    return history[-1][MONITOR] > max((row[MONITOR] for row in history[:-1] if not math.isnan(row[MONITOR])),
                                      default=-math.inf)


def totals(history: pd.DataFrame) -> dict[str, float]:
    """Return the `TOTALS` of a history; the seconds per update are a median and do not include validations."""
    best = history.loc[history[MONITOR].idxmax(), "update"]
    values = history["update"].iloc[-1], history["minutes"].iloc[-1], history["seconds_per_update"].median(), best
    return dict(zip(TOTALS, values, strict=True))


def write_history(history: Sequence[Mapping[str, Any]], folder: Path) -> None:
    """Write a history to `history.csv` in a folder, whole or not at all."""
    write_csv(pd.DataFrame(history), folder / "history.csv")

"""A benchmark's table of scores has the rows of the last call; those of earlier calls are kept for later ones.

    mixtures.csv, or recordings.csv   the scores of the last call, each with the checksum of all that it depends on
    other_scores.csv                  the scores of other systems, mixtures or recordings; no file if there are none
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from lab41_sce.atomic_write import write_csv
from lab41_sce.errors import reason

OTHERS = "other_scores.csv"

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class ScoreTable:
    """The table of scores in the folder of a benchmark.

    Args:
        path: of the table.
        columns: of the table.
        numbers: those that hold numbers; the others hold text.
        key: the two columns that name a mixture, or a recording, and a system.
    """

    path: Path
    columns: Sequence[str]
    numbers: Sequence[str]
    key: tuple[str, str]

    def begin(self, keys: set[tuple[str, str]]) -> pd.DataFrame:
        """Return the rows that have some keys, from both files; move the other rows to `other_scores.csv`.

        Raises:
            UserError: a file cannot be written.
        """
        others_path = self.path.with_name(OTHERS)
        latest, earlier = self._read(self.path), self._read(others_path)
        rows = pd.concat([latest, earlier[~self._has(earlier, {*self._keys(latest)})]], ignore_index=True)
        of_call = self._has(rows, keys)
        if not of_call.all():
            write_csv(rows[~of_call], others_path)
        self.write(rows[of_call])
        if of_call.all():
            others_path.unlink(missing_ok=True)
        return rows[of_call]

    def write(self, rows: pd.DataFrame) -> None:
        """Write the rows of the call."""
        write_csv(rows, self.path)

    def _keys(self, rows: pd.DataFrame) -> list[tuple[str, str]]:
        """Return the key of each row."""
        return [*zip(*(rows[name] for name in self.key), strict=True)]

    def _has(self, rows: pd.DataFrame, keys: set[tuple[str, str]]) -> pd.Series:
        """Return for each row whether its key is one of some."""
        return pd.Series([key in keys for key in self._keys(rows)], rows.index, bool)

    def _read(self, path: Path) -> pd.DataFrame:
        """Read rows; none if there is no file, or if it is damaged."""
        names = [*self.columns]
        none = pd.DataFrame({name: pd.Series(dtype=float if name in self.numbers else str) for name in names})
        if not path.exists():
            return none
        try:
            # The default parser of pandas before 3 rounds some numbers to a neighbour of the nearest float.
            rows = pd.read_csv(path, dtype=str, keep_default_na=False, na_values={name: [""] for name in self.numbers})
            return rows.astype({name: float for name in self.numbers})[names]
        except (OSError, KeyError, ValueError) as error:
            logger.warning("%s cannot be read (%s): its scores are computed again.", path, reason(error))
            return none

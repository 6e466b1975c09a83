"""A table of `folder_scoring.py` becomes means over some of its mixtures.

A table may hold mixtures of other calls, whose voices may be those of another system, so every function receives the
names of the mixtures that count.
"""

from collections.abc import Collection
from pathlib import Path

import pandas as pd

from lab41_sce.evaluation.bootstrap import summarise
from lab41_sce.evaluation.definitions import ALL_METRICS, with_improvements
from lab41_sce.evaluation.folder_scoring import VOICES

METRICS_IN_ORDER = with_improvements(ALL_METRICS)


def mean_scores(table: Path, mixtures: Collection[str]) -> pd.DataFrame:
    """Average the scores of some mixtures of a table.

    Args:
        table: CSV file that `score_files` wrote.
        mixtures: names of the mixtures.

    Returns:
        One row for each metric of these mixtures: metric, mean, low, high (95 % interval over mixtures,
        NaN for one mixture) and n (number of mixtures); no row if there are no scores.
    """
    means = summarise(read_scores(table, "voices", mixtures))
    columns = ["metric", "mean", "low", "high", "n"]
    of_all = means[means["kind"] == "All"].set_index("metric").reindex(METRICS_IN_ORDER)
    return of_all.dropna(subset="mean").reset_index()[columns]


def read_scores(table: Path, system: str, mixtures: Collection[str]) -> pd.DataFrame:
    """Read the scores of some mixtures in a table of `score_files` as scores of a system, as `summarise` needs them."""
    scores = _rows_of(table, mixtures)
    return scores[scores["metric"] != VOICES].assign(split="files", system=system, kind="")


def count_voices(table: Path, mixtures: Collection[str]) -> pd.DataFrame:
    """Return one row for each of some mixtures of a table with another number of voices than of references.

    Returns:
        The columns mixture, surplus and missing (numbers of voices).
    """
    scores = _rows_of(table, mixtures)
    rows = scores[scores["metric"] == VOICES]
    difference = (rows["value"] - rows["speakers"]).astype(int)
    return pd.DataFrame({"mixture": rows["mixture"], "surplus": difference.clip(lower=0),
                         "missing": (-difference).clip(lower=0)})


def count_others(table: Path, mixtures: Collection[str]) -> int:
    """Return the number of mixtures of a table that are not among some mixtures."""
    return len({*pd.read_csv(table, dtype={"mixture": str})["mixture"]} - {*mixtures})


def _rows_of(table: Path, mixtures: Collection[str]) -> pd.DataFrame:
    """Read the rows of some mixtures of a table."""
    scores = pd.read_csv(table, dtype={"mixture": str})
    return scores[scores["mixture"].isin([*mixtures])]

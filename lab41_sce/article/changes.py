"""Runs that differ from the main run in one choice become a table of what each choice costs.

    config.yaml, mixtures.csv of each run -> settings that differ, difference of the scores on the same mixtures
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from lab41_sce.article.finished_run import read_scores
from lab41_sce.data.splits import headline_split
from lab41_sce.errors import UserError
from lab41_sce.evaluation.bootstrap import paired_differences, summarise
from lab41_sce.evaluation.metrics import MAIN_METRIC
from lab41_sce.reporting.sweep import differing_settings, read_settings
from lab41_sce.reporting.tables import Table, interval
from lab41_sce.runs.renamed_settings import load_config

MAIN, CHANGED = "main", "changed"  # names of the two systems that are compared


def measured_costs(run: Path, changed: Sequence[Path]) -> Table:
    """Compare the method of the main run with the method of runs that differ from it.

    Args:
        run: folder of the main run.
        changed: folders of the other runs.

    Returns:
        One row for each of the other runs: the settings that differ, the mean of the main metric over the mixtures of
        the kind All, and its difference from the main run, both in dB with 95 % intervals over speakers.

    Raises:
        UserError: if a run does not differ, or was scored on other mixtures.
    """
    (scores, mixtures), settings = read_scores(run), _settings_of_method(run)
    split = headline_split(scores["split"])
    main = _of_method(run, scores, split).assign(system=MAIN)
    rows = []
    for folder in changed:
        own, theirs = differing_settings([settings, _settings_of_method(folder)])
        if not own:
            raise UserError(f"{folder} has the settings of {run}; give runs that differ from it.")
        other_scores, other_mixtures = read_scores(folder)
        if not _rows(mixtures, split).equals(_rows(other_mixtures, split)):
            raise UserError(f"{folder} and {run} were scored on different mixtures of {split} speakers "
                            "(evaluation.csv); give runs with the same speech and the same evaluation.seed.")
        other = _of_method(folder, other_scores, split).assign(system=CHANGED)
        [difference] = _of_all(paired_differences(pd.concat([main, other]), MAIN, mixtures=mixtures))
        [mean] = _of_all(summarise(other, mixtures=mixtures))
        text = ", ".join(f"{name}={theirs[name]} instead of {value}" for name, value in own.items())
        rows.append([text, interval(mean), interval(difference, signed=True)])
    return Table(["change", f"{MAIN_METRIC} All (dB)", "difference (dB)"], rows)


def _settings_of_method(run: Path) -> dict[str, Any]:
    """Return the settings of a run without its name and those of its other systems, which are not compared."""
    return {name: value for name, value in read_settings(run).items()
            if name != "name" and not name.startswith("others.")}


def _of_method(run: Path, scores: pd.DataFrame, split: str) -> pd.DataFrame:
    """Select the main metric of a run's method in a split."""
    method = load_config(run)["method"]["name"]
    return scores[(scores["system"] == method) & (scores["split"] == split) & (scores["metric"] == MAIN_METRIC)]


def _rows(mixtures: pd.DataFrame, split: str) -> pd.DataFrame:
    """Return the mixtures of a split, without the places where other splits had theirs."""
    return mixtures[mixtures["split"] == split].reset_index(drop=True)


def _of_all(summary: pd.DataFrame) -> list[tuple[float, float, float]]:
    """Return mean, low and high of the kind All."""
    return [(row.mean, row.low, row.high) for row in summary[summary["kind"] == "All"].itertuples()]

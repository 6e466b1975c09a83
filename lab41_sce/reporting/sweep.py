"""The runs of a sweep become one table: the settings that differ, and the scores of each run.

    */config.yaml and */summary.csv of a folder -> scores with one column for each setting that differs -> table
    scores of runs that differ only in the seed -> mean and standard deviation over the seeds
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from lab41_sce.data.checksums import file_checksum
from lab41_sce.errors import UserError
from lab41_sce.evaluation.metrics import MAIN_METRIC
from lab41_sce.plain_data import flatten
from lab41_sce.reporting import tables
from lab41_sce.reporting.ordering import is_reference, ordered_kinds, ordered_splits, words
from lab41_sce.reporting.run_files import read_table
from lab41_sce.runs.config_schema import setting_names
from lab41_sce.runs.kept_scores import scored_its_model
from lab41_sce.runs.renamed_settings import load_config

FORMULA = ("=", "+", "-", "@", "\t", "\r")  # first characters of what spreadsheets compute


def read_settings(run: Path) -> dict[str, Any]:
    """Return the value of each setting of a run by dotted name, without locations such as `run_dir`."""
    locations = setting_names("is_location")
    return {name: value for name, value in flatten(load_config(run)).items() if name not in locations}


def differing_settings(configs: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Select the settings in which runs differ.

    If the method or the corpus differs, those of its other settings are left out that follow from its name. So are
    settings that follow a general one of the same last word, such as `method.build.seed`, which has the value of `seed`
    in every run that has it.

    Args:
        configs: settings of each run, as `read_settings` returns them.

    Returns:
        For each run a dict with the same keys; the value is None for a setting that the run does not have.
    """
    names = list(dict.fromkeys(name for config in configs for name in config))
    values = {name: [config.get(name) for config in configs] for name in names}
    differing = {name: by_run for name, by_run in values.items() if any(value != by_run[0] for value in by_run)}
    for group in ("method", "corpus"):
        if f"{group}.name" in differing:
            differing = {name: by_run for name, by_run in differing.items() if name == f"{group}.name"
                         or not name.startswith(f"{group}.") or not _follows(by_run, differing[f"{group}.name"])}
    kept: dict[str, list] = {}
    for name in sorted(differing, key=lambda name: name.count(".")):  # `seed` before `method.build.seed`
        place, _, word = name.rpartition(".")
        generals = [by_run for general, by_run in kept.items() if general.rpartition(".")[2] == word
                    and general.partition(".")[0] in (word, place.partition(".")[0])]
        if not any(all(config[name] == value for config, value in zip(configs, general, strict=True) if name in config)
                   for general in generals):
            kept[name] = differing[name]
    return [{name: by_run[number] for name, by_run in kept.items()} for number in range(len(configs))]


def _follows(values: list, names: list) -> bool:
    """Return whether the value of a setting is the same in all runs with the same name."""
    return len({(str(name), str(value)) for name, value in zip(names, values, strict=True)}) == len({*map(str, names)})


def collect(folder: Path) -> tuple[pd.DataFrame, list[str]]:
    """Collect the summaries of the runs in a folder: of their methods and of other systems that are no references.

    Args:
        folder: folder of the sweep; each of its runs is a folder in it.

    Returns:
        One row for each run, system, split, kind and metric, with the columns `run`, the settings that differ,
        `system`, `split`, `kind`, `metric`, `mean`, `low`, `high` (dB) and `n`; and the names of the runs that have no
        scores yet, or only those of an earlier model, as in the middle of a resumption.

    Raises:
        UserError: if no run has scores.
    """
    found = [path.parent for path in folder.glob("*/config.yaml")]
    found.sort(key=lambda run: (not run.name.isdecimal(), int(run.name) if run.name.isdecimal() else 0, run.name))
    finished = [run for run in found if (run / "summary.csv").exists()]
    settings_of = {run: read_settings(run) for run in finished}
    finished = [run for run in finished if "method.name" in settings_of[run]
                and scored_its_model(run, str(settings_of[run]["method.name"]))]
    if not finished:
        raise UserError(f"{folder} holds no run with scores; give the folder of a sweep, such as runs/NAME.")
    configs = [settings_of[run] for run in finished]
    rows = []
    for run, config, settings in zip(finished, configs, differing_settings(configs), strict=True):
        summary = read_table(run / "summary.csv")
        method = config["method.name"]
        summary = summary[[system == method or not is_reference(system) for system in summary["system"]]]
        for place, (name, value) in enumerate([("run", run.name), *settings.items()]):
            summary.insert(place, name, pd.Series([value] * len(summary), summary.index, object))
        rows.append(summary)
    return pd.concat(rows, ignore_index=True), [run.name for run in found if run not in finished]


def without_formulas(scores: pd.DataFrame) -> pd.DataFrame:
    """Return a table in which no text is a formula for a spreadsheet: a ' comes before =, +, -, @, tab and return."""
    return scores.map(lambda cell: f"'{cell}" if isinstance(cell, str) and cell[:1] in FORMULA else cell)


def table(scores: pd.DataFrame) -> tables.Table:
    """Arrange the scores of a sweep as a table: one row for each split, run and system, the best first.

    Args:
        scores: rows that `collect` returns.

    Returns:
        Columns split, run, the settings that differ, the system if a run has several, the main metric by kind of
        mixture, the other metrics, n.
    """
    settings = list(scores.columns[: scores.columns.get_loc("system") + _several_systems(scores)])
    numbers = scores.groupby(["run", "system"], sort=False).ngroup().astype(str)  # names of the rows
    rows = {number: [tables.ABSENT if value is None else words(value) if name == "system" else str(value)
                     for name, value in zip(settings, row, strict=True)]
            for number, row in zip(numbers, scores[settings].itertuples(index=False, name=None), strict=True)}
    by_row = tables.scores(scores.assign(system=numbers))
    return tables.Table(["split", *settings, *by_row.heads[2:]],
                        [[split, *rows[number], *cells] for split, number, *cells in by_row.rows])


def _several_systems(scores: pd.DataFrame) -> bool:
    """Return whether a run of a sweep has scores of several systems."""
    return bool(scores.groupby("run")["system"].nunique().max() > 1)


def over_seeds(folder: Path, scores: pd.DataFrame) -> pd.DataFrame | None:
    """Compute mean and standard deviation over the runs that differ only in the seed and have the same mixtures.

    Args:
        folder: folder of the sweep.
        scores: rows that `collect` returns.

    Returns:
        One row for each group of runs, system, split, kind and metric, with the columns `runs` (their names), the
        settings that differ, `system`, `split`, `kind`, `metric`, `mean`, `deviation` (of a single run, dB) and
        `seeds` (their number); None if no group has two runs.
    """
    settings = list(scores.columns[1 : scores.columns.get_loc("system")])
    if "seed" not in settings:
        return None
    mixtures = {run: file_checksum(folder / run / "evaluation.csv") or run for run in scores["run"].unique()}
    keys = [*(name for name in settings if name != "seed"), "system", "split", "kind", "metric"]
    scores = scores.assign(**{name: scores[name].map(
        lambda value: str(value) if isinstance(value, (list, dict)) else value) for name in keys})
    grouped = scores.assign(mixtures=scores["run"].map(mixtures)).groupby([*keys, "mixtures"], sort=False, dropna=False)
    table = grouped.agg(runs=("run", ", ".join), mean=("mean", "mean"), deviation=("mean", "std"),
                        seeds=("seed", "nunique")).reset_index().drop(columns="mixtures")
    repeated = table[table["seeds"] > 1]
    return repeated[["runs", *keys, "mean", "deviation", "seeds"]].reset_index(drop=True) if len(repeated) else None


def without_mixtures(folder: Path, scores: pd.DataFrame) -> list[str]:
    """Return the names of the runs of different seeds whose mixtures are unknown, because they lack evaluation.csv."""
    runs = scores["run"].unique() if "seed" in scores else []
    return [run for run in runs if not (folder / run / "evaluation.csv").exists()]


def seeds_table(means: pd.DataFrame) -> tables.Table:
    """Arrange means over seeds as a table: one row for each split, group of runs and system, the best first.

    Args:
        means: rows that `over_seeds` returns.

    Returns:
        Columns split, runs, the settings that differ, the system if runs have several, the main metric by kind of
        mixture as `5.3 ± 0.2`, seeds.
    """
    main = means[means["metric"] == MAIN_METRIC]
    several = bool(main.groupby("runs")["system"].nunique().max() > 1)
    settings = list(means.columns[1 : means.columns.get_loc("system") + several])
    kinds = ordered_kinds(main["kind"])
    rows = []
    for split in ordered_splits(main["split"]):
        rows_of_split = main[main["split"] == split]
        groups = {key: group.set_index("kind") for key, group in rows_of_split.groupby(["runs", "system"])}
        for runs, system in sorted(groups, key=lambda key: -groups[key].loc["All", "mean"]):
            group = groups[runs, system]
            values = ["" if pd.isna(value) else words(value) if name == "system" else str(value)
                      for name, value in group.iloc[0][settings].items()]
            cells = [f"{tables.decibels(group.loc[kind, 'mean'])} ± {group.loc[kind, 'deviation']:.2f}"
                     for kind in kinds]
            rows.append([split, runs, *(value or tables.ABSENT for value in values), *cells,
                         str(group.iloc[0]["seeds"])])
    return tables.Table(["split", "runs", *settings, *(f"{MAIN_METRIC} {kind}" for kind in kinds), "seeds"], rows)

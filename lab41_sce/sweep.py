"""The runs of a sweep become one table: what was varied, and how well it separates.

    python -m lab41_sce.sweep runs/two_speaker_embedded

after `python -m lab41_sce.experiment -m +exp=two_speaker seed=0,1,2` prints a row for each run in the folder, the best
first, and writes sweep.csv and sweep.md into it: the SDR improvement of the run's method by kind, with its interval.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
from omegaconf import OmegaConf

from lab41_sce import atomic_write
from lab41_sce.errors import UserError
from lab41_sce.reporting import tables
from lab41_sce.runs import run_directory

# Follow from the name of a system or a corpus, or from where a run is.
FOLLOWING = ("run_dir", "resume", "overwrite", "corpus.root")


def settings_of(folder: Path) -> dict:
    """Read the settings of a run: dotted name to value."""
    flat = {}

    def flatten(name, value):
        if isinstance(value, dict) and value:
            for key, inner in value.items():
                flatten(f"{name}.{key}" if name else str(key), inner)
        elif name not in FOLLOWING:
            flat[name] = value

    flatten("", OmegaConf.to_container(OmegaConf.load(folder / "config.yaml"), resolve=True))
    return flat


def varied(configs: Sequence[dict]) -> list[dict]:
    """Keep the settings in which runs differ.

    Where systems or corpora of other names are compared, what these are made of follows from the name. A setting that
    others are made of (`seed`) stands for them.

    Args:
        configs: of each run, as `settings_of` returns them.

    Returns:
        Of each run, a dict of the same settings; None for one that a run does not have.
    """
    names = list(dict.fromkeys(name for config in configs for name in config))
    values = {name: [config.get(name) for config in configs] for name in names}
    differing = {name: of_runs for name, of_runs in values.items() if any(value != of_runs[0] for value in of_runs)}
    for group in ("method", "corpus"):
        if f"{group}.name" in differing:
            differing = {name: of_runs for name, of_runs in differing.items()
                         if name == f"{group}.name" or not name.startswith(f"{group}.")}
    kept = {}
    for name in sorted(differing, key=lambda name: name.count(".")):  # `seed` before `method.build.seed`
        if differing[name] not in kept.values():
            kept[name] = differing[name]
    return [{name: of_runs[number] for name, of_runs in kept.items()} for number in range(len(configs))]


def gather(folder: Path) -> tuple[pd.DataFrame, list[str]]:
    """Gather the summaries of the runs in a folder.

    Args:
        folder: of the sweep; its runs are folders in it.

    Returns:
        A row for each run, split, kind and metric: columns `run`, those that were varied, `system`, `split`, `kind`,
        `metric`, `mean`, `low`, `high` (dB), `n`; and the names of runs that have no scores yet.

    Raises:
        UserError: there is no run with scores.
    """
    found = [path.parent for path in folder.glob("*/config.yaml")]
    found.sort(key=lambda run: (not run.name.isdecimal(), int(run.name) if run.name.isdecimal() else 0, run.name))
    finished = [run for run in found if (run / "summary.csv").exists()]
    if not finished:
        raise UserError(f"{folder} holds no run with scores; give the folder of a sweep, such as runs/NAME.")
    configs = [settings_of(run) for run in finished]
    rows = []
    for run, config, settings in zip(finished, configs, varied(configs), strict=True):
        summary = pd.read_csv(run / "summary.csv")
        summary = summary[summary["system"] == config["method.name"]]
        for place, (name, value) in enumerate([("run", run.name), *settings.items()]):
            summary.insert(place, name, pd.Series([value] * len(summary), summary.index, object))
        rows.append(summary)
    return pd.concat(rows, ignore_index=True), [run.name for run in found if run not in finished]


def table(scores: pd.DataFrame) -> tables.Table:
    """Lay the scores of a sweep out: a row for each split and run, the best first."""
    settings = list(scores.columns[: scores.columns.get_loc("system")])
    rows = {row[0]: [tables.ABSENT if value is None else str(value) for value in row]
            for row in scores[settings].drop_duplicates("run").itertuples(index=False, name=None)}
    by_run = tables.scores(scores.assign(system=scores["run"]))
    return tables.Table(["split", *settings, *by_run.heads[2:]],
                        [[split, *rows[run], *cells] for split, run, *cells in by_run.rows])


def main(arguments: Sequence[str] | None = None) -> int:
    """Gather a sweep from the command line; return 0, or 1 after one sentence about what could not be done."""
    parser = argparse.ArgumentParser("python -m lab41_sce.sweep", description="Gather the runs of a sweep.")
    parser.add_argument("folder", type=Path, help="of the sweep, such as runs/two_speaker_embedded")
    options = parser.parse_args(arguments)
    try:
        scores, unfinished = gather(options.folder)
        text = tables.markdown(table(scores))
        run_directory.write_csv(scores, options.folder / "sweep.csv")
        atomic_write.write_text(options.folder / "sweep.md", text + "\n")
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    if unfinished:
        print(f"without scores yet: {', '.join(unfinished)}", file=sys.stderr)
    print(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""The files of a finished run become settings, scores, mixtures and descriptions of its systems."""

from pathlib import Path

import pandas as pd

from lab41_sce.errors import UserError
from lab41_sce.reporting.run_files import read_table
from lab41_sce.runs.renamed_settings import load_config

FILES = ("config.yaml", "version.json", "splits.csv", "evaluation.csv", "systems.csv", "mixtures.csv", "summary.csv",
         "differences.csv")


def check_finished(run: Path, part: str) -> None:
    """Raise UserError if a folder lacks a file of a finished run; `part` names the part of the report."""
    missing = [name for name in FILES if not (run / name).exists()]
    if missing:
        raise UserError(f"{run} is not a finished run for the {part} part ({missing[0]} is missing); finish it with "
                        "resume=true, or give another run. (results/ contains only some files of each run.)")


def read_scores(run: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Read the scores of a run and its evaluation set, with ids of speakers as text."""
    speakers = dict.fromkeys([f"speaker_{place}" for place in range(1, 10)], str)
    return read_table(run / "mixtures.csv"), pd.read_csv(run / "evaluation.csv", dtype={"mixture": str, **speakers})


def read_training(run: Path) -> pd.DataFrame:
    """Read the systems.csv of a run; a saved model of another run gets the row of that run, if it still exists."""
    parts = [pd.read_csv(run / "systems.csv")]
    for system in load_config(run)["others"].values():
        path = system.get("build", {}).get("path")  # of a saved model: a run, or one of its systems/
        folders = [] if path is None else [Path(path), *Path(path).parents[:2]]
        folder = next((folder for folder in folders if (folder / "systems.csv").is_file()), None)
        if folder is not None:
            rows = pd.read_csv(folder / "systems.csv")
            name = load_config(folder)["method"]["name"] if folder == Path(path) else Path(path).name
            parts.append(rows[rows["system"] == name].assign(system=system["name"]))
    return pd.concat(parts)


def sce_variants(run: Path) -> dict[str, str]:
    """Return the description of `sce` and of each of its variants (`sce_...`) in a run, by name."""
    config = load_config(run)
    return {system["name"]: system.get("about", "") for system in (config["method"], *config["others"].values())
            if system["name"] == "sce" or system["name"].startswith("sce_")}

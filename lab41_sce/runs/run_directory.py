"""One run, one folder: who may use it, and what it says of itself.

`config.yaml` (resolved), `version.json`, `splits.csv`, `evaluation.csv` (the frozen mixtures), for each trained system
`systems/<name>/` with `checkpoint.npz`, `model.keras` (the best), `history.csv`, `tensorboard/` and, if it has speaker
vectors, `speakers.csv`; then `history.csv` and `systems.csv` (of all of them), `mixtures.csv` (scores), `summary.csv`,
`differences.csv`, `examples.csv`, `examples/`, `figures/`, `table.md`, `report.html`; and `article/`, if wanted.
"""

import contextlib
import json
import logging
import os
import platform
import re
import shutil
import subprocess
from collections.abc import Mapping
from datetime import datetime, timezone
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pandas as pd
import yaml
from filelock import FileLock, Timeout
from omegaconf import DictConfig, OmegaConf

from lab41_sce import __version__
from lab41_sce.atomic_write import make_folder, write_whole
from lab41_sce.errors import UserError
from lab41_sce.runs.config_schema import CONFIG_PATH, SECTIONS

FILES = ("config.yaml", "version.json", "splits.csv", "evaluation.csv", "history.csv", "systems.csv", "mixtures.csv",
         "summary.csv", "differences.csv", "examples.csv", "table.md", "report.html")
FOLDERS = ("systems", "examples", "figures", "article")
# Settings that may differ between a run and its resumption: limits, places, and what follows the training.
FREE_ON_RESUME = ("resume", "overwrite", "run_dir", "deterministic", "evaluation", "parallel", "corpus.root",
                  "corpus.utterances",
                  "corpus.download", "corpus.check", "training.updates", "training.minutes", "training.patience",
                  "training.tensorboard", "training.strategy", "training.workers", "noise.folder",
                  "noise.evaluation_snr_db")  # (speech is compared itself)
FREE_ENDINGS = (".about", ".build.path")


@contextlib.contextmanager
def lock_run_directory(folder: Path):
    """Keep other processes out of a run's folder meanwhile, and write what is logged to its `experiment.log`.

    A process that dies lets go of the folder.

    Raises:
        UserError: another process is at work in it, or nothing can be written to it.
    """
    make_folder(folder)
    lock = FileLock(folder / ".lock")
    try:
        lock.acquire(timeout=0)
        log = _Log(folder / "experiment.log", encoding="utf-8")
    except Timeout:
        raise UserError(f"another process is at work in {folder}; wait for it, or choose another run_dir.") from None
    except OSError as error:
        raise UserError(f"nothing can be written to {folder} ({error.strerror}); choose another run_dir.") from None
    logging.getLogger().addHandler(log)
    try:
        yield
    finally:
        logging.getLogger().removeHandler(log)
        with contextlib.suppress(OSError):
            log.close()
        lock.release()


class _Log(logging.FileHandler):
    """A log without which a run goes on where the disk is full; what has to be written there tells it."""

    def handleError(self, record):
        """Say nothing."""


def begun_since(folder: Path, since: float) -> bool:
    """Tell whether the run in a folder was begun, or resumed, after a moment (seconds since 1970)."""
    path = folder / "config.yaml"
    return path.exists() and path.stat().st_mtime >= since


def check_folder(config: DictConfig, folder: Path) -> None:
    """Raise UserError unless a folder is free, to be overwritten, or holds this very run, to be resumed.

    Args:
        config: the composed configuration; `resume` counts before `overwrite`.
        folder: of the run; nothing in it is changed.
    """
    begun = any((folder / name).exists() for name in FILES + FOLDERS)
    if begun and not (config.resume or config.overwrite):
        raise UserError(f"{folder} already holds a run; go on with resume=true, start again with overwrite=true, "
                        "or choose another run_dir.")
    if begun and config.resume:
        if not (folder / "config.yaml").exists():
            raise UserError(f"{folder} holds files of a run, but no config.yaml to resume with; "
                            "choose another run_dir, or start again with overwrite=true.")
        kept = OmegaConf.load(folder / "config.yaml")
        if not isinstance(kept, DictConfig):
            raise UserError(f"{folder / 'config.yaml'} holds no settings; start again with overwrite=true.")
        usual = yaml.safe_load((CONFIG_PATH / "config.yaml").read_text("utf-8"))
        since = {f"{section}.{name}": value for section in SECTIONS for name, value in usual[section].items()}
        now = comparable(config)
        # Settings that did not exist when the run began had the values that they usually have now.
        earlier = {name: since[name] for name in now if name in since} | comparable(kept)
        systems = kept.get("others") or {}  # runs of old have none
        added = tuple(f"others.{name}." for name in config.others if name not in systems)  # others may join, none leave
        different = sorted(name for name in earlier.keys() | now.keys()
                           if earlier.get(name) != now.get(name) and not name.startswith(added))
        if different:
            raise UserError(f"{folder} holds a run with other settings ({', '.join(different)}); resume with the same "
                            "ones, choose another run_dir, or start again with overwrite=true.")


def open_folder(config: DictConfig, folder: Path, utterances: pd.DataFrame, command: str | None) -> None:
    """Begin or resume a run in a folder that `check_folder` has passed.

    Args:
        config: as for `check_folder`.
        folder: loses the files of an earlier run (and no others) if it is to be overwritten.
        utterances: table with the column `split`; a resumed run must have the same.
        command: how the run was started, if from the command line.

    Raises:
        UserError: the splits differ from those of the run to be resumed, or nothing can be written.
    """
    if config.overwrite and not config.resume:
        for name in FILES:
            (folder / name).unlink(missing_ok=True)
        for name in FOLDERS:
            shutil.rmtree(folder / name, ignore_errors=True)
    make_folder(folder)
    splits, path = utterances[["utterance", "speaker", "sex", "subset", "split"]], folder / "splits.csv"
    if path.exists() and not pd.read_csv(path, dtype=str).equals(splits.astype(str).reset_index(drop=True)):
        raise UserError(f"the corpus or its splits differ from {path}; bring the same speech, or set overwrite=true.")
    # First, for a run that is killed among these can be resumed only by its settings.
    write_whole(folder / "config.yaml", lambda file: file.write_text(OmegaConf.to_yaml(config, resolve=True), "utf-8"))
    write_csv(splits, path)
    path = folder / "version.json"
    about: dict[str, Any] = json.loads(path.read_text("utf-8")) if path.exists() else versions(command)
    if path.exists():
        about.setdefault("resumed", []).append(versions(command))
    write_whole(path, lambda file: file.write_text(json.dumps(about, indent=2), "utf-8"))


def earlier_scores(folder: Path, mixtures: pd.DataFrame) -> pd.DataFrame:
    """Return the scores in a run's folder that still hold.

    Args:
        folder: of the run.
        mixtures: the evaluation list; scores on another list do not hold.

    Returns:
        Rows of `mixtures.csv`, without those of systems that were trained on since.
    """
    path, listed = folder / "mixtures.csv", folder / "evaluation.csv"
    names = dict.fromkeys(("mixture", "split", "kind", "system", "metric"), str)
    if not path.exists() or not listed.exists() or listed.read_text("utf-8") != mixtures.to_csv(index=False):
        return pd.DataFrame(columns=[*names, "value"])
    scores = pd.read_csv(path, dtype=names)
    newer = {file.parent.name for file in folder.glob("systems/*/model.keras")
             if file.stat().st_mtime > path.stat().st_mtime}
    return scores[~scores["system"].str.removesuffix("_oracle_centroids").isin(newer)]


def comparable(config: DictConfig) -> dict:
    """Flatten the settings that a resumed run must share with its beginning: dotted name to value."""
    flat = {}

    def flatten(name, value):
        if isinstance(value, dict):
            for key, inner in value.items():
                flatten(f"{name}.{key}" if name else key, inner)
        elif not any(f"{name}.".startswith(f"{free}.") for free in FREE_ON_RESUME) and not name.endswith(FREE_ENDINGS):
            flat[name] = value

    flatten("", OmegaConf.to_container(config, resolve=True))
    trained_with_noise = flat.get("noise.training_snr_db") is not None
    return {name: value for name, value in flat.items() if trained_with_noise or not name.startswith("noise.")}


def versions(command: str | None = None) -> dict[str, Any]:
    """Collect what a reader needs to repeat a run: versions, command, machine, time."""
    checkout, commit = Path(__file__).parent.parent.parent, "unknown"
    if (checkout / ".git").exists() and shutil.which("git"):
        described = subprocess.run(["git", "-C", checkout, "describe", "--always", "--dirty"], capture_output=True,
                                   text=True, check=False)
        commit = described.stdout.strip() or commit
    packages = {name: version(name) for name in ("tensorflow", "keras", "numpy", "scikit-learn", "mir_eval")}
    return {
        "lab41_sce": __version__,
        "git_commit": commit,
        "python": platform.python_version(),
        **packages,
        "platform": platform.platform(),
        "cores": os.cpu_count(),
        "started": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        **({"command": command} if command else {}),
    }


def redact_paths(text: str, config: Mapping, folder: Path) -> str:
    """Take the places of one machine out of a text about a run.

    Args:
        text: such as a command, or the settings.
        config: settings of the run; its `corpus.root` becomes $LIBRISPEECH.
        folder: of the run, which becomes runs/NAME, as do others beside it. Of every other absolute path, the last part
            stays.
    """
    name, beside = f"runs/{folder.resolve().name}", folder.resolve().parent
    places = {str(folder.resolve()): name, str(folder): name, str(config["run_dir"]): name,
              str(beside) if beside.name == "runs" else "": "runs",
              str(config["corpus"]["root"] or ""): "$LIBRISPEECH"}
    for place in sorted(places, key=len, reverse=True):
        if len(place) > 1:  # neither nothing, nor "." or "/"
            shown = places[place].replace("\\", r"\\")
            text = re.sub(rf"(?<![\w/.-]){re.escape(place)}(?![\w-])", shown, text)
    return re.sub(r"(?<![\w/.$:-])/(?:[^\s/'\",]+/)+([^\s/'\",]+)", r"\1", text)


def write_csv(table: pd.DataFrame, path: Path) -> None:
    """Write a table, whole or not at all."""
    write_whole(path, lambda file: table.to_csv(file, index=False))

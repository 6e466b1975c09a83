"""One run, one folder: who may use it, and which files describe it.

`config.yaml` (resolved), `version.json`, `splits.csv`, `speech.csv` (checksums), `noise.csv` (those of a folder of
noise in training), `rooms.csv` (that of a bank of rooms), `evaluation.csv` (the frozen mixtures), for each trained
system `systems/<name>/` with `checkpoint.npz`, `checkpoint_previous.npz`, `model.keras` (the best), `history.csv`,
`tensorboard/` and, if it has speaker vectors, `speakers.csv`; then `history.csv` and `systems.csv` (of all of them),
`mixtures.csv` (scores), `checksums.csv` (of what the scores depend on), `summary.csv`, `differences.csv`,
`examples.csv`, `examples/`, `figures/`, `table.md`, `report.html`; and `article/`, if wanted.
"""

import contextlib
import logging
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
from filelock import FileLock, Timeout
from omegaconf import DictConfig, OmegaConf

from lab41_sce.atomic_write import make_folder, write_csv, write_text
from lab41_sce.data.sampler import CHANGES, STREAM
from lab41_sce.errors import UserError, reason
from lab41_sce.runs.recorded_speech import NAME as SPEECH
from lab41_sce.runs.recorded_speech import (
    NOISE,
    ROOMS,
    require_same_noise,
    require_same_rooms,
    require_same_speech,
    speech_table,
)
from lab41_sce.runs.resume import check_same_settings
from lab41_sce.runs.versions import licences, read_versions, versions, write_versions

FILES = ("config.yaml", "version.json", "splits.csv", "speech.csv", "noise.csv", "rooms.csv", "evaluation.csv",
         "history.csv", "systems.csv", "mixtures.csv", "checksums.csv", "summary.csv", "differences.csv",
         "examples.csv", "table.md", "report.html")
FOLDERS = ("systems", "examples", "figures", "article")
COMMAND_VARIABLE = "LAB41_SCE_COMMAND"  # environment variable: identifies a command, also in its restarted processes

logger = logging.getLogger(__name__)


@contextlib.contextmanager
def lock_run_directory(folder: Path) -> Iterator[None]:
    """Lock the folder of a run against other processes, and write the log to its `experiment.log`.

    The operating system releases the lock of a process that dies.

    Raises:
        UserError: another process works in the folder, or nothing can be written to it.
    """
    make_folder(folder)
    lock = FileLock(folder / ".lock")
    try:
        lock.acquire(timeout=0)
        log = _Log(folder / "experiment.log", encoding="utf-8")
    except Timeout:
        raise UserError(f"another process works in {folder}; wait for it, or choose another run_dir.") from None
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
    """A log file that raises no error if the disk is full; writing the results raises one."""

    def handleError(self, record: logging.LogRecord) -> None:
        """Ignore the error."""


def is_of_command(folder: Path, identifier: str) -> bool:
    """Return whether the run in a folder was begun by the command with an identifier (`COMMAND_VARIABLE`)."""
    return read_versions(folder / "version.json").get("command_identifier") == identifier


def check_folder(config: DictConfig, folder: Path) -> None:
    """Raise UserError unless a folder is free, may be overwritten, or holds the same run to be resumed.

    Args:
        config: the composed configuration; `resume` takes precedence over `overwrite`.
        folder: of the run; no file in it is changed.
    """
    begun = any((folder / name).exists() for name in FILES + FOLDERS)
    if begun and not (config.resume or config.overwrite):
        raise UserError(f"{folder} already holds a run; continue it with resume=true, start again with overwrite=true, "
                        "or choose another run_dir.")
    if begun and config.resume:
        if not (folder / "config.yaml").exists():
            raise UserError(f"{folder} holds files of a run, but no config.yaml to resume with; "
                            "choose another run_dir, or start again with overwrite=true.")
        check_same_settings(config, folder)


def require_free(folder: Path) -> None:
    """Raise UserError if a folder holds files of a run, which a new run would mix with its own."""
    if found := [name for name in FILES + FOLDERS if (folder / name).exists()]:
        raise UserError(f"{folder} already holds a run ({found[0]}); choose another folder.")


def open_folder(config: DictConfig, folder: Path, utterances: pd.DataFrame, command: str | None,
                noise_files: pd.DataFrame | None = None, room_files: pd.DataFrame | None = None) -> None:
    """Begin or resume a run in a folder that `check_folder` has passed.

    Args:
        config: as for `check_folder`.
        folder: of the run; with `overwrite`, the files of an earlier run in it are deleted, and no others.
        utterances: table with the column `split`; a resumed run must have the same.
        command: the command line that started the run, if any.
        noise_files: `Noise.files`, if the training uses the noise of a folder; a resumed run must have the same.
        room_files: `RoomBank.files`, if the training uses rooms; a resumed run must have the same.

    Raises:
        UserError: speech, noise, rooms or splits differ from those of the run to be resumed, a file that describes
            them is damaged, the earlier run cannot be deleted, or nothing can be written.
    """
    if config.overwrite and not config.resume:
        for name in FOLDERS:
            shutil.rmtree(folder / name, ignore_errors=True)
            if os.path.lexists(folder / name):  # a link, for example; the new run would continue from its checkpoints
                raise UserError(f"{folder / name} cannot be deleted; delete it, or choose another run_dir.")
        for name in FILES:
            (folder / name).unlink(missing_ok=True)
    make_folder(folder)
    splits, path = utterances[["utterance", "speaker", "sex", "subset", "split"]], folder / "splits.csv"
    if path.exists() and not _read_splits(path).equals(splits.astype(str).reset_index(drop=True)):
        raise UserError(f"the corpus or its splits differ from {path}; use the same speech, or set overwrite=true.")
    speech = speech_table(utterances, config.corpus.check)
    if (folder / SPEECH).exists():
        require_same_speech(speech, folder / SPEECH)
    if noise_files is not None and (folder / NOISE).exists():
        require_same_noise(noise_files, folder / NOISE)
    if room_files is not None and (folder / ROOMS).exists():
        require_same_rooms(room_files, folder / ROOMS)
    describe_run(config, folder, versions(command))
    write_csv(splits, path)
    if not (folder / SPEECH).exists():
        write_csv(speech, folder / SPEECH)
    if noise_files is not None and not (folder / NOISE).exists():
        write_csv(noise_files, folder / NOISE)
    if room_files is not None and not (folder / ROOMS).exists():
        write_csv(room_files, folder / ROOMS)


def _read_splits(path: Path) -> pd.DataFrame:
    """Read `splits.csv`."""
    try:
        return pd.read_csv(path, dtype=str, keep_default_na=False)
    except (OSError, ValueError) as error:
        raise UserError(f"{path} cannot be read ({reason(error)}); restore the file from a copy, or delete it if "
                        "corpus and settings have not changed since the run began.") from None


def describe_run(config: DictConfig, folder: Path, about: dict[str, Any]) -> None:
    """Write config.yaml and version.json, with the licences of the speech; a resumption is added to the latter.

    Args:
        config: the composed configuration.
        folder: of the run.
        about: versions, command, machine and time (`versions`).
    """
    # The settings first: a run that is killed between these files is resumed by its settings.
    write_text(folder / "config.yaml", OmegaConf.to_yaml(config, resolve=True))
    path, about = folder / "version.json", about | {"mixture_stream": STREAM, "speech": licences(config.corpus)}
    if COMMAND_VARIABLE in os.environ:
        about = about | {"command_identifier": os.environ[COMMAND_VARIABLE]}
    earlier = read_versions(path)
    if earlier and (stream := earlier.get("mixture_stream", 1)) != STREAM:
        logger.warning("%s began with version %s of the training mixtures, and continues with version %d: %s.",
                       folder, stream, STREAM,
                       "; ".join(change for version, change in CHANGES.items() if version > stream))
    write_versions(path, about)

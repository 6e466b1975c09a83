"""Run the commands as people start them, stop them, and look at what they leave; for the parts of `torture.py`."""

import csv
import io
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree
import zipfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import soundfile
import yaml
from PIL import Image

LONGEST_SECONDS = 300  # of any command here; one that takes longer hangs
CLOCK = ["minutes", "seconds_per_update"]  # columns of history.csv and systems.csv that no two runs share
TIMED = ("version.json", "table.md")  # files that tell times
TEXT = (".json", ".md", ".rttm")


@dataclass
class Ended:
    """How a command ended: its exit status (None: it hung, and was stopped) and what it said."""

    code: int | None
    said: str

    def told(self) -> bool:
        """Tell whether it failed with a clear sentence, or several about several things, and nothing else."""
        return self.code not in (0, None) and "\nerror: " in f"\n{self.said}"


class Running:
    """Start a command of this Python.

    Args:
        arguments: such as ["-m", "lab41_sce.separate", "talk.wav"].
        prefix: what runs the Python, such as ["setpriv", ...].
    """

    def __init__(self, arguments: Sequence, prefix: Sequence[str] = ()):
        self._log = tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace")  # a pipe may be held by a child
        self._process = subprocess.Popen([*prefix, sys.executable, *map(str, arguments)], stdin=subprocess.DEVNULL,
                                         stdout=self._log, stderr=subprocess.STDOUT, start_new_session=True,
                                         env=os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"})

    def wait_until(self, condition: Callable[[], bool], seconds: float = LONGEST_SECONDS) -> bool:
        """Wait until something is so; return False if the command ended, or the time was over, before."""
        end = time.monotonic() + seconds
        while not (met := condition()) and self._process.poll() is None and time.monotonic() < end:
            time.sleep(0.0005)
        return met and self._process.poll() is None

    def kill(self, after_seconds: float = 0.0) -> bool:
        """Kill the command (-9), and not what it has started; return False if it had ended already."""
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(after_seconds)
        self._process.kill()
        return self._process.wait() == -signal.SIGKILL

    def end(self) -> Ended:
        """Wait for the end of the command, and of all that it has started."""
        try:
            code = self._process.wait(LONGEST_SECONDS)
        except subprocess.TimeoutExpired:
            code = None
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._log.seek(0)
        return Ended(code, self._log.read())


def run(arguments: Sequence, prefix: Sequence[str] = ()) -> Ended:
    """Run a command to its end."""
    return Running(arguments, prefix).end()


@dataclass
class Tally:
    """Count the cases of a campaign: the numbers of its row."""

    tried: int = 0
    survived: int = 0
    lost: int = 0
    tracebacks: int = 0
    hangs: int = 0

    def case(self, what: str, *ended: Ended, lost: Sequence[str] = (), wrong: Sequence[str] = ()) -> None:
        """Count a case, and tell what went wrong.

        Args:
            what: was done.
            ended: how the commands of the case ended.
            lost: what is gone or half written.
            wrong: what else is not as promised.
        """
        traceback = any("Traceback (most recent call last)" in end.said for end in ended)
        hung = any(end.code is None for end in ended)
        survived = not (lost or wrong or traceback or hung)
        self.tried += 1
        self.survived += survived
        self.lost += bool(lost)
        self.tracebacks += traceback
        self.hangs += hung
        if not survived:
            said = "\n".join(f"exit status {end.code}:\n{end.said[-3000:]}" for end in ended)
            print(f"NOT SURVIVED: {what}; lost {lost}, wrong {wrong}\n{said}", file=sys.stderr, flush=True)


def files(folder: Path) -> set[str]:
    """Name the files of a folder that are results: no log, no TensorBoard file, and nothing hidden."""
    names = {path.relative_to(folder) for path in folder.rglob("*") if path.is_file()}
    return {str(name) for name in names if not any(part.startswith(".") for part in name.parts)
            and not name.name.startswith("events.") and name.suffix != ".log"}


def appeared(folder: Path, pattern: str) -> bool:
    """Tell whether a file of such a name is there; False, too, where folders vanish while they are searched."""
    with suppress(FileNotFoundError):
        return any(folder.rglob(pattern))
    return False


def temporary(folder: Path) -> list[str]:
    """Name what a kill has left under temporary names."""
    return [str(path.relative_to(folder)) for path in folder.rglob(".*.part*")]


def half_written(folder: Path) -> list[str]:
    """Name the files of a folder that cannot be read to their end."""
    return sorted(name for name in files(folder) if not _whole(folder / name))


def _whole(path: Path) -> bool:
    """Tell whether a file can be read to its end."""
    data, kind = path.read_bytes(), path.suffix.lower()
    try:
        if kind == ".csv":
            widths = {len(row) for row in csv.reader(io.StringIO(data.decode()))}
            return len(widths) == 1 and data.endswith(b"\n")
        if kind == ".json":
            json.loads(data)
        elif kind == ".yaml":
            return isinstance(yaml.safe_load(data), dict) and data.endswith(b"\n")
        elif kind == ".html":
            return data.rstrip().endswith(b"</html>")
        elif kind == ".svg":
            xml.etree.ElementTree.fromstring(data)
        elif kind == ".png":
            Image.open(path).load()
            return data[-8:-4] == b"IEND"
        elif kind in (".npz", ".keras"):
            return zipfile.ZipFile(path).testzip() is None
        elif kind in (".wav", ".flac"):
            with soundfile.SoundFile(path) as file:
                told, there = file.frames, len(file.read())
            riff = int.from_bytes(data[4:8], "little") + 8  # libsndfile believes the size of a file, not its header
            return 0 < told == there and (kind == ".flac" or riff == len(data))
        elif kind in (".md", ".rttm"):
            return data.endswith(b"\n")
    except (OSError, ValueError, SyntaxError, zipfile.BadZipFile, yaml.YAMLError, soundfile.LibsndfileError):
        return False
    return True


def distance(folder: Path, reference: Path) -> float:
    """Return how far two folders of results differ: the largest difference of a number; infinite if they hold others.

    Numbers are those of tables, samples, and the variables of checkpoints; text has to be the same. Times, and files
    that hold some or are drawn from the others (pages, pictures, models, settings), only have to be there.
    """
    if files(folder) != files(reference):
        return np.inf
    return max((_difference(folder / name, reference / name) for name in files(folder)), default=0.0)


def _difference(path: Path, other: Path) -> float:
    """Return how far two files differ."""
    if path.suffix == ".csv":
        tables = [pd.read_csv(file).drop(columns=CLOCK, errors="ignore") for file in (path, other)]
        words = [table.select_dtypes(exclude="number") for table in tables]
        if not words[0].equals(words[1]):
            return np.inf
        pairs = [tuple(table.select_dtypes("number").to_numpy(float) for table in tables)]
    elif path.suffix in (".wav", ".flac"):
        pairs = [tuple(soundfile.read(file)[0] for file in (path, other))]
    elif path.suffix == ".npz":
        with np.load(path) as first, np.load(other) as second:
            pairs = [(first[name], second[name]) for name in first.files if name != "state"]
    else:
        compared = path.suffix in TEXT and path.name not in TIMED
        return np.inf if compared and path.read_bytes() != other.read_bytes() else 0.0
    if any(first.shape != second.shape for first, second in pairs):
        return np.inf
    apart = [np.where((first == second) | (np.isnan(first) & np.isnan(second)), 0, np.abs(first - second))
             for first, second in pairs]
    return float(np.nan_to_num(max((part.max(initial=0) for part in apart), default=0), nan=np.inf))

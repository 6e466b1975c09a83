"""Run commands as users do, stop them, and compare the folders that they leave."""

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

MAX_SECONDS = 300  # of any command here; one that takes longer hangs
CLOCK = ["minutes", "seconds_per_update"]  # columns of history.csv and systems.csv that differ between runs
TIMED = ("version.json", "table.md")  # files that contain times
TEXT = (".json", ".md", ".rttm")


@dataclass
class Ended:
    """How a command ended: exit status (None: it hung and was stopped) and output."""

    code: int | None
    output: str

    def refused(self) -> bool:
        """Return whether it failed with an error message."""
        return self.code not in (0, None) and "\nerror: " in f"\n{self.output}"


class Running:
    """Start a command of this Python.

    Args:
        arguments: such as ["-m", "lab41_sce.separate", "talk.wav"].
        prefix: what runs the Python, such as ["setpriv", ...].
    """

    def __init__(self, arguments: Sequence, prefix: Sequence[str] = ()):
        self._ended: Ended | None = None
        self._log = tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace")  # a child may keep a pipe open
        self._process = subprocess.Popen([*prefix, sys.executable, *map(str, arguments)], stdin=subprocess.DEVNULL,
                                         stdout=self._log, stderr=subprocess.STDOUT, start_new_session=True,
                                         env=os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"})

    def wait_until(self, condition: Callable[[], bool]) -> bool:
        """Wait until a condition holds; return False if the command ended, or hung, before."""
        end = time.monotonic() + MAX_SECONDS
        while not (met := condition()) and self._process.poll() is None and time.monotonic() < end:
            time.sleep(0.0005)
        return met and self._process.poll() is None

    def kill(self, after_seconds: float = 0.0) -> bool:
        """Kill the command (-9), but not its children; return False if it had ended already."""
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(after_seconds)
        self._process.kill()
        return self._process.wait() == -signal.SIGKILL

    def send(self, number: int) -> None:
        """Send a signal to the command."""
        self._process.send_signal(number)

    def end(self) -> Ended:
        """Wait for the end of the command; then end its children."""
        if self._ended is None:
            code = None
            with suppress(subprocess.TimeoutExpired):
                code = self._process.wait(MAX_SECONDS)
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._log.seek(0)
            self._ended = Ended(code, self._log.read())
        return self._ended


def run(arguments: Sequence, prefix: Sequence[str] = ()) -> Ended:
    """Run a command to its end."""
    return Running(arguments, prefix).end()


def files(folder: Path) -> set[str]:
    """Name the results in a folder: all files but logs, TensorBoard's and hidden ones."""
    names = {path.relative_to(folder) for path in folder.rglob("*") if path.is_file()}
    return {str(name) for name in names if not any(part.startswith(".") for part in name.parts)
            and not name.name.startswith("events.") and name.suffix != ".log"}


def appeared(folder: Path, pattern: str) -> bool:
    """Return whether a file matches; False, too, where folders vanish during the search."""
    with suppress(FileNotFoundError):
        return any(folder.rglob(pattern))
    return False


def temporary(folder: Path) -> list[str]:
    """Name the files under temporary names that a kill has left."""
    return [str(path.relative_to(folder)) for path in folder.rglob(".*.part*")]


def half_written(folder: Path) -> list[str]:
    """Name the results in a folder that cannot be read to their end."""
    return sorted(name for name in files(folder) if not _is_whole(folder / name))


def _is_whole(path: Path) -> bool:
    """Return whether a file can be read to its end."""
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
                in_header, present = file.frames, len(file.read())
            riff = int.from_bytes(data[4:8], "little") + 8  # libsndfile trusts the size of a file, not its header
            return 0 < in_header == present and (kind == ".flac" or riff == len(data))
        elif kind in (".md", ".rttm"):
            return data.endswith(b"\n")
    except (OSError, ValueError, SyntaxError, zipfile.BadZipFile, yaml.YAMLError, soundfile.LibsndfileError):
        return False
    return True


def distance(folder: Path, reference: Path) -> float:
    """Return the largest difference of a number in two folders of results; infinite if other files or texts differ.

    Numbers are those of tables, samples and variables of checkpoints. Files with times, and files that are drawn from
    the others (pages, pictures, models, settings), only have to exist.
    """
    if files(folder) != files(reference):
        return np.inf
    return max((_difference(folder / name, reference / name) for name in files(folder)), default=0.0)


def _difference(path: Path, other: Path) -> float:
    """Return the largest difference of two files."""
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
    differences = [np.where((first == second) | (np.isnan(first) & np.isnan(second)), 0, np.abs(first - second))
                   for first, second in pairs]
    return float(np.nan_to_num(max((part.max(initial=0) for part in differences), default=0), nan=np.inf))

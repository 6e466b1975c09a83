"""A store becomes a table of utterances, and any part of an utterance becomes a signal by one seek and one read.

A store holds the speech of a corpus in a few large files, so that the corpus may be larger than memory.
`store_writer.py` describes the files.
"""

import functools
import io
import os
import wave
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import soundfile

from lab41_sce import audio
from lab41_sce.data.store_tables import Shard, check_header, read_tables
from lab41_sce.errors import UserError, reason

MAX_OPEN_FILES = 256  # shards that stay open; a process may open 1024 files
N_SEARCHED = 32  # utterances of each shard that are searched for speech if only headers are checked


def is_store(folder: Path) -> bool:
    """Return whether a folder holds a store, complete or not."""
    return (folder / "store.json").is_file()


def load_store(folder: str | Path, check: str = "headers") -> pd.DataFrame:
    """Load the table of a complete store.

    Args:
        folder: of the store.
        check: "headers" compares the headers of the shards with the tables, and searches some utterances of each shard
            for speech, since a damaged disk mostly loses longer parts; "samples" reads all samples, to search every
            utterance and to compare the checksums.

    Returns:
        The table that `corpus.py` describes, with `start` and `stop`.

    Raises:
        UserError: the store is incomplete, its tables are damaged, or a shard is missing, damaged or silent.
    """
    folder = Path(folder)
    if not (folder / "index.csv").exists():
        raise UserError(f"the store {folder} is not finished; repeat the command that makes it, which continues.")
    try:
        sample_rate_hz, table, shards = read_tables(folder)
    except (OSError, ValueError, RecursionError) as error:  # the latter from deeply nested JSON
        raise UserError(f"the store {folder} cannot be read ({reason(error)}); delete it, and make it again.") from None
    rows = dict(iter(table.groupby("shard")))
    for number, shard in enumerate(shards):
        try:
            check_header(shard, sample_rate_hz)
            crc32 = _search(shard, rows.get(number, table[:0]), check)
            if check == "samples" and crc32 != shard.crc32:
                raise ValueError("its samples have another checksum")
        except (OSError, ValueError, soundfile.LibsndfileError) as error:
            raise UserError(f"{shard.path} is missing or damaged ({reason(error)}); delete it, or the whole store if "
                            "its tables were edited, and repeat the command that makes the store.") from None
    paths = np.array([f"{shard.path}" for shard in shards], object)
    return table.assign(path=paths[table.pop("shard")], seconds=(table["stop"] - table["start"]) / sample_rate_hz)


class StoredRecordings:
    """Find the utterances of a table in the shards of stores, and read excerpts of them; threads may share it.

    Args:
        utterances: table with the columns `path`, `start` and `stop`.

    Raises:
        UserError: a shard is missing or no WAV file.
    """

    def __init__(self, utterances: pd.DataFrame):
        numbers, paths = pd.factorize(utterances["path"])
        headers = np.array([_read_header(path) for path in paths], np.int64).reshape(-1, 2)
        starts, stops = utterances["start"].to_numpy(np.int64), utterances["stop"].to_numpy(np.int64)
        self._paths, self._rates_hz = utterances["path"].to_list(), headers[numbers, 0].tolist()
        self._first_bytes, self._n_samples = (headers[numbers, 1] + 2 * starts).tolist(), (stops - starts).tolist()
        self._open = functools.lru_cache(MAX_OPEN_FILES)(_OpenFile)

    def __getstate__(self) -> dict[str, Any]:
        """Return the attributes for another process, which opens the files itself."""
        return {name: value for name, value in self.__dict__.items() if name != "_open"}

    def __setstate__(self, attributes: dict[str, Any]) -> None:
        """Receive the attributes of another process."""
        self.__dict__.update(attributes, _open=functools.lru_cache(MAX_OPEN_FILES)(_OpenFile))

    def read(self, row: int, start: int, stop: int, sample_rate_hz: float) -> np.ndarray:
        """Read an excerpt of an utterance.

        Args:
            row: number of the utterance.
            start: first sample of the excerpt, at `sample_rate_hz`.
            stop: the sample after its last one.
            sample_rate_hz: rate of the excerpt, which is resampled if the shard has another one.

        Returns:
            `[stop - start]`, or fewer samples where the utterance ends earlier: int16 as they are stored, or float32 at
            another rate.

        Raises:
            UserError: the shard is missing or ends too early.
        """
        rate_hz, n_stored = self._rates_hz[row], self._n_samples[row]
        if rate_hz == sample_rate_hz:
            return self._read_stored(row, min(start, n_stored), min(stop, n_stored))
        first = min(round(start / sample_rate_hz * rate_hz), n_stored)
        n_samples = min(round((stop - start) / sample_rate_hz * rate_hz), n_stored - first)
        signal = self._read_stored(row, first, first + n_samples)
        return audio.resample(signal / np.float32(audio.FULL_SCALE), rate_hz, sample_rate_hz)[: stop - start]

    def _read_stored(self, row: int, start: int, stop: int) -> np.ndarray:
        """Read samples `start` to `stop - 1` of an utterance at the rate of its shard, int16.

        A memory map would end the process if the file became shorter or its disk failed.
        """
        path, n_bytes = self._paths[row], 2 * (stop - start)
        try:
            file = self._open(path)  # a name keeps it open if another thread drives it out of the cache
            samples = os.pread(file.fileno(), n_bytes, self._first_bytes[row] + 2 * start)
        except OSError as error:
            raise _damaged(path, error) from None
        if len(samples) < n_bytes:
            raise _damaged(path, "it ends too early")
        return np.frombuffer(samples, "<i2")


class _OpenFile(io.FileIO):
    """An open file that closes itself, without a warning, when nobody uses it any more."""

    def __del__(self) -> None:
        self.close()


def _read_header(path: str) -> tuple[int, int]:
    """Return the sample rate of a shard in Hz, and the byte at which its samples begin."""
    try:
        with open(path, "rb") as file, wave.open(file) as shard:
            shard.readframes(1)  # one sample of two bytes; a store has no empty shard with utterances
            return shard.getframerate(), file.tell() - 2
    except (OSError, EOFError, wave.Error) as error:
        raise _damaged(path, error) from None


def _damaged(path: str, reason: Any) -> UserError:
    """Return the error of a shard that cannot be read."""
    return UserError(f"{path} is not a shard of a store that can be read ({reason}); repeat the command that makes the "
                     "store.")


def _search(shard: Shard, utterances: pd.DataFrame, check: str) -> int:
    """Raise ValueError if an utterance is silent; return the CRC-32 of the samples that were read.

    All utterances are read, or with `check="headers"` the first, the last and some between them.
    """
    ordered, crc32 = utterances.sort_values("start"), 0
    if check == "headers" and len(ordered):
        ordered = ordered.iloc[np.unique(np.linspace(0, len(ordered) - 1, N_SEARCHED).round().astype(int))]
    with soundfile.SoundFile(shard.path) as file:
        for row in ordered.itertuples():
            file.seek(row.start)
            samples = file.read(row.stop - row.start, dtype="int16")
            if not samples.any():
                raise ValueError(f"the utterance {row.utterance} is silent")
            crc32 = zlib.crc32(samples.astype("<i2").tobytes(), crc32)
    return crc32


def compute_crc32(path: Path) -> int:
    """Compute the CRC-32 of the samples of a shard."""
    crc32 = 0
    for block in soundfile.blocks(str(path), 2**20, dtype="int16"):
        crc32 = zlib.crc32(block.astype("<i2").tobytes(), crc32)
    return crc32

"""A store becomes a table of utterances, and any part of an utterance becomes a signal by one seek and one read.

A store holds the speech of a corpus in a few large files, so that the corpus may be larger than memory.
`store_writer.py` describes the files.
"""

import zlib
from pathlib import Path

import numpy as np
import pandas as pd
import soundfile

from lab41_sce import audio
from lab41_sce.audio.decoder import decodable
from lab41_sce.data.store_tables import Shard, check_header, read_tables
from lab41_sce.errors import UserError

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
    except (OSError, ValueError) as error:
        raise UserError(f"the store {folder} cannot be read ({error}); delete it, and make it again.") from None
    rows = dict(iter(table.groupby("shard")))
    for number, shard in enumerate(shards):
        try:
            check_header(shard, sample_rate_hz)
            crc32 = _search(shard, rows.get(number, table[:0]), check)
            if check == "samples" and crc32 != shard.crc32:
                raise ValueError("its samples have another checksum")
        except (OSError, ValueError, soundfile.LibsndfileError) as error:
            raise UserError(f"{shard.path} is missing or damaged ({error}); delete it, or the whole store if its "
                            "tables were edited, and repeat the command that makes the store.") from None
    paths = np.array([f"{shard.path}" for shard in shards], object)
    return table.assign(path=paths[table.pop("shard")], seconds=(table["stop"] - table["start"]) / sample_rate_hz)


def read_stored_excerpt(path: str, start: int, stop: int, from_seconds: float, seconds: float,
                        sample_rate_hz: float) -> np.ndarray:
    """Read an excerpt of an utterance from a shard.

    Args:
        path: file of the shard.
        start: first sample of the utterance in the shard.
        stop: the sample after its last one.
        from_seconds: start of the excerpt, from the start of the utterance.
        seconds: duration of the excerpt.
        sample_rate_hz: rate of the excerpt, which is resampled if the shard has another one.

    Returns:
        float32 `[N]`, `N = round(seconds * sample_rate_hz)`, or fewer samples where the utterance ends earlier.

    Raises:
        UserError: the shard is missing or cannot be decoded.
    """
    with decodable(path), soundfile.SoundFile(path) as shard:
        first = min(start + round(from_seconds * shard.samplerate), stop)
        shard.seek(first)
        samples = shard.read(min(round(seconds * shard.samplerate), stop - first), dtype="int16")
        signal = audio.resample(samples / np.float32(audio.FULL_SCALE), shard.samplerate, sample_rate_hz)
    return signal[: round(seconds * sample_rate_hz)]


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

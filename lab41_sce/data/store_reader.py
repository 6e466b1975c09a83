"""A store becomes a table of utterances, and any part of an utterance becomes a signal by one seek and one read.

A store holds the speech of a corpus in a few large files, so that the corpus may be larger than memory.
`store_writer.py` describes the files.
"""

import json
import zlib
from pathlib import Path

import numpy as np
import pandas as pd
import soundfile

from lab41_sce import audio
from lab41_sce.audio.decoder import decodable
from lab41_sce.errors import UserError

TYPES = {"utterance": str, "speaker": str, "sex": "category", "subset": "category", "shard": np.int32,
         "start": np.int64, "stop": np.int64}  # of the columns of index.csv


def is_store(folder: Path) -> bool:
    """Return whether a folder holds a store, complete or not."""
    return (folder / "store.json").is_file()


def load_store(folder: str | Path, check: str = "headers") -> pd.DataFrame:
    """Load the table of a complete store.

    Args:
        folder: of the store.
        check: "headers" compares the lengths of the shards with the recorded ones; "samples" also compares the
            checksums, which reads all samples.

    Returns:
        The table that `corpus.py` describes, with `start` and `stop`.

    Raises:
        UserError: the store is incomplete, or a shard is missing or damaged.
    """
    folder = Path(folder)
    if not (folder / "index.csv").exists():
        raise UserError(f"the store {folder} is not finished; repeat the command that makes it, which continues.")
    try:
        sample_rate_hz = json.loads((folder / "store.json").read_text("utf-8"))["sample_rate_hz"]
        table = pd.read_csv(folder / "index.csv", dtype=TYPES, keep_default_na=False)
        shards = pd.read_csv(folder / "shards.csv")
        paths = np.array([f"{folder / name}" for name in shards["shard"]], object)
        table = table.assign(sex=table["sex"].astype(str), subset=table["subset"].astype(str),
                             path=paths[table.pop("shard")], seconds=(table["stop"] - table["start"]) / sample_rate_hz)
    except (OSError, KeyError, ValueError, IndexError) as error:
        raise UserError(f"the store {folder} cannot be read ({error}); delete it, and make it again.") from None
    for path, n_samples, crc32 in zip(paths, shards["samples"], shards["crc32"]):
        if not has_length(path, n_samples) or check == "samples" and _crc32(path) != crc32:
            raise UserError(f"{path} is missing or damaged; delete it, and repeat the command that makes the store, "
                            "which writes it again.")
    return table


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


def has_length(path: str | Path, n_samples: int) -> bool:
    """Return whether a shard exists and has `n_samples` samples."""
    try:
        return soundfile.info(path).frames == n_samples
    except (soundfile.LibsndfileError, OSError):
        return False


def _crc32(path: str) -> int:
    """Compute the CRC-32 of the samples of a shard."""
    crc32 = 0
    for block in soundfile.blocks(path, 2**20, dtype="int16"):
        crc32 = zlib.crc32(block.astype("<i2").tobytes(), crc32)
    return crc32

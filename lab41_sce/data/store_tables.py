"""The tables of a store become a checked table of utterances and a list of shards, which lie in the store.

A table may be edited, damaged or of a stranger, so nothing in it is trusted: the utterances must fill their shards
without gaps, and every shard must be a file of the store whose header has the rate and the length of the tables.
"""

import json
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import soundfile

MAX_RATE_HZ = 10**6
TYPES = {"utterance": str, "speaker": str, "sex": str, "subset": str, "shard": np.int64, "start": np.int64,
         "stop": np.int64}  # of the columns of index.csv
SHARD_TYPES = {"shard": str, "samples": np.int64, "crc32": np.int64}  # of the columns of shards.csv


class Shard(NamedTuple):
    """Describe a shard: its file, the number of its samples and their CRC-32."""

    path: Path
    n_samples: int
    crc32: int


def read_tables(folder: Path) -> tuple[int, pd.DataFrame, list[Shard]]:
    """Read and check the tables of a complete store.

    Args:
        folder: of the store.

    Returns:
        The sample rate in Hz, the table of the utterances with the columns of index.csv, and the shards.

    Raises:
        OSError: a table is missing.
        ValueError: a table is damaged, or names a file outside the store.
    """
    for name in ("store.json", "shards.csv", "index.csv"):
        require_file(folder / name)
    rate_hz = _read_rate(folder / "store.json")
    shards = _read_table(folder / "shards.csv", SHARD_TYPES)
    index = _read_table(folder / "index.csv", TYPES)
    for name in shards["shard"]:
        if name != f"shard_{name[6:-4]}.wav" or not name[6:-4].isdecimal():
            raise ValueError(f"shards.csv names {name!r}, where shard_00000.wav or the like is wanted")
    if shards["shard"].duplicated().any() or (shards["samples"] < 0).any():
        raise ValueError("shards.csv has a shard twice or with a negative number of samples")
    _check_utterances(index, shards["samples"].to_numpy())
    return rate_hz, index, [Shard(folder / row.shard, row.samples, row.crc32) for row in shards.itertuples()]


def require_file(path: Path) -> None:
    """Raise OSError if there is no such file, or ValueError if it is a link, which may lead out of the store."""
    if path.is_symlink():
        raise ValueError(f"{path.name} is a symbolic link, where a file is wanted")
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {path.name}")


def check_header(shard: Shard, sample_rate_hz: int) -> None:
    """Raise OSError or ValueError unless a shard is an audio file as the tables describe it."""
    require_file(shard.path)
    try:
        header = soundfile.info(str(shard.path))
    except soundfile.LibsndfileError as error:
        raise ValueError(f"it cannot be decoded ({error.error_string})") from None
    seen = header.samplerate, header.channels, header.subtype
    if seen != (sample_rate_hz, 1, "PCM_16"):
        raise ValueError("it has {} Hz, {} channels and {} samples, where ".format(*seen)
                         + f"{sample_rate_hz} Hz, 1 channel and PCM_16 are wanted")
    if header.frames != shard.n_samples:
        raise ValueError(f"it has {header.frames} samples, where {shard.n_samples} are wanted")


def _read_rate(path: Path) -> int:
    """Read the sample rate in store.json."""
    description = json.loads(path.read_text("utf-8"))
    rate_hz = description.get("sample_rate_hz") if isinstance(description, dict) else None
    if type(rate_hz) is not int or not 0 < rate_hz <= MAX_RATE_HZ:
        raise ValueError(f"store.json has the sample_rate_hz {rate_hz!r}, where a whole number of Hz is wanted")
    return rate_hz


def _read_table(path: Path, types: dict) -> pd.DataFrame:
    """Read the columns of a CSV file as these types."""
    try:
        table = pd.read_csv(path, dtype=types, keep_default_na=False)
        missing = [name for name in types if name not in table]
        if missing or not isinstance(table.index, pd.RangeIndex):
            raise ValueError(f"its columns are not {', '.join(types)}")
    except (ValueError, OverflowError) as error:
        raise ValueError(f"{path.name}: {str(error).strip()}") from None
    return table


def _check_utterances(index: pd.DataFrame, n_samples: np.ndarray) -> None:
    """Raise ValueError unless the utterances of each shard follow each other from its first to its last sample."""
    fields = {"utterance": index["utterance"].ne("") & ~index["utterance"].duplicated(),
              "speaker": index["speaker"].ne(""), "sex": index["sex"].isin(["F", "M"]),
              "shard": index["shard"].between(0, len(n_samples) - 1),
              "stop": index["start"] < index["stop"]}
    for name, good in fields.items():
        if not good.all():
            row = int(np.argmin(good))
            raise ValueError(f"index.csv has the {name} '{index[name].iloc[row]}' in row {row + 1}")
    ordered = index.sort_values(["shard", "start"])
    before = ordered.groupby("shard")["stop"].shift(fill_value=0)
    gaps = ordered["start"] != before
    if gaps.any():
        row = ordered[gaps].iloc[0]
        raise ValueError(f"index.csv: the utterance {row['utterance']!r} begins at sample {row['start']} of its shard, "
                         f"where {before[gaps].iloc[0]} is wanted")
    ends = ordered.groupby("shard")["stop"].max().reindex(range(len(n_samples)), fill_value=0).to_numpy()
    if (ends != n_samples).any():
        shard = int(np.argmax(ends != n_samples))
        raise ValueError(f"the utterances of shard {shard} in index.csv end at sample {ends[shard]}, where shards.csv "
                         f"has {n_samples[shard]} samples")

"""Texts, files and utterances become checksums: CRC-32 as eight hexadecimal digits.

Checksums detect damage and mistakes, not malice.
"""

import zlib
from collections.abc import Iterable, Sequence
from pathlib import Path

import pandas as pd
import soundfile
from joblib import Parallel, delayed
from tqdm import tqdm

from lab41_sce.audio.decoder import decodable

BLOCK_BYTES = 2**20


def text_checksum(text: str) -> str:
    """Compute the checksum of a text in UTF-8."""
    return f"{zlib.crc32(text.encode()):08x}"


def file_checksum(path: str | Path) -> str:
    """Compute the checksum of a file; an empty text if there is no such file."""
    if not Path(path).is_file():
        return ""
    crc32 = 0
    with open(path, "rb") as file:
        while block := file.read(BLOCK_BYTES):
            crc32 = zlib.crc32(block, crc32)
    return f"{crc32:08x}"


def file_checksums(paths: Sequence[str | Path], label: str) -> list[str]:
    """Compute the checksum of each file in several threads, behind a progress bar with a label."""
    return _in_threads((delayed(file_checksum)(path) for path in paths), len(paths), label)


def utterance_checksums(utterances: pd.DataFrame) -> list[str]:
    """Compute the checksum of each utterance: of its file, or of its samples in a store.

    Args:
        utterances: table of `load_corpus`.

    Raises:
        UserError: a shard of a store cannot be read.
    """
    label = "checksums of speech"
    if "start" not in utterances:
        return file_checksums(utterances["path"].tolist(), label)
    rows = zip(utterances["path"], utterances["start"], utterances["stop"], strict=True)
    return _in_threads((delayed(_stored_checksum)(*row) for row in rows), len(utterances), label)


def _in_threads(jobs: Iterable, n_jobs: int, label: str) -> list[str]:
    """Run joblib's jobs in several threads; return their results in order."""
    if not n_jobs:  # joblib warns if there is nothing to do
        return []
    computed = Parallel(n_jobs=-1, prefer="threads", return_as="generator")(jobs)
    return [*tqdm(computed, label, n_jobs, leave=False, disable=None)]


def _stored_checksum(path: str, start: int, stop: int) -> str:
    """Compute the checksum of the 16-bit samples `start` to `stop - 1` of a shard."""
    with decodable(path):
        samples, _ = soundfile.read(path, start=start, stop=stop, dtype="int16")
    return f"{zlib.crc32(samples.astype('<i2').tobytes()):08x}"

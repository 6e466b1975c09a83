"""A table of utterances becomes a store: the speech of a corpus, decoded once, at one rate, in a few large files.

    store.json        sample rate in Hz, hours of speech, checksum of the utterances' names
    shard_00000.wav   10,000 seconds of speech, 16-bit samples, one channel: 200 MB at 10 kHz
    shard_00000.json  the utterances of the shard and its checksum; written after the shard
    shards.csv        number of samples and CRC-32 of each shard
    index.csv         utterance, speaker, sex, subset, start, stop (samples) and shard of each utterance; written last

Every file is written under another name and then renamed. An interrupted call is repeated to continue with the next
shard. A repeated call tries again to decode the utterances that were left out, and writes damaged shards again. At the
end, the checksums of all shards are compared with the samples on the disk.
"""

import json
import logging
import wave
import zlib
from pathlib import Path

import numpy as np
import pandas as pd
import soundfile
from joblib import Parallel, delayed
from tqdm import tqdm

from lab41_sce import atomic_write, audio
from lab41_sce.data.librispeech import level_problem
from lab41_sce.data.store_reader import compute_crc32, load_store
from lab41_sce.data.store_tables import Shard, check_header
from lab41_sce.errors import UserError

SHARD_SECONDS = 10_000.0
COLUMNS = ["utterance", "speaker", "sex", "subset", "start", "stop"]
DESCRIPTION_TYPES = {"samples": int, "crc32": int, "rows": list, "left_out": list}  # of the JSON file of a shard

logger = logging.getLogger(__name__)


def write_store(utterances: pd.DataFrame, folder: str | Path, sample_rate_hz: int, n_jobs: int = -1) -> None:
    """Write a store, or the missing parts of one.

    Args:
        utterances: table of `load_corpus`; a repeated call needs the same rows in the same order.
        folder: of the store; made if it does not exist.
        sample_rate_hz: sample rate of the store in Hz: that of the front end that will use it.
        n_jobs: number of threads that decode; -1 for one per core.

    Raises:
        UserError: the folder holds a store of other speech, it cannot be written, another process writes it, or no
            utterance can be decoded.
    """
    folder = Path(folder)
    atomic_write.make_folder(folder)
    seconds = utterances["seconds"].to_numpy()
    columns = zip(*(utterances[name] for name in ("utterance", "speaker", "sex", "subset")), seconds)
    names = "\n".join(f"{name} {speaker} {sex} {subset} {length:.3f}" for name, speaker, sex, subset, length in columns)
    description = {"sample_rate_hz": sample_rate_hz, "shard_seconds": SHARD_SECONDS, "utterances": len(utterances),
                   "hours": round(seconds.sum() / 3600, 2), "names_crc32": zlib.crc32(names.encode())}
    shards = ((np.cumsum(seconds) - seconds) // SHARD_SECONDS).astype(int)
    parts = [part for _, part in utterances.groupby(shards)]
    try:
        with atomic_write.lock(folder / ".lock",
                               f"another process makes the store {folder}; wait until it has finished."):
            _write_description(folder / "store.json", description)
            written = Parallel(n_jobs, prefer="threads", return_as="generator_unordered")(
                delayed(_write_shard)(part, folder / f"shard_{number:05d}.wav", sample_rate_hz)
                for number, part in enumerate(parts))
            for _ in tqdm(written, "storing speech", len(parts), unit=" shards", disable=None):
                pass
            _write_index(folder, len(parts))
            _verify(folder)
    except OSError as error:
        raise UserError(f"{folder} cannot be written to ({error.strerror or error}); choose another folder.") from None


def _write_description(path: Path, description: dict) -> None:
    """Write store.json, unless the folder holds a store of something else."""
    if path.exists() and _read_json(path) != description:
        raise UserError(f"{path.parent} holds a store of other speech or of another rate; choose another folder, or "
                        "delete the store.")
    atomic_write.write_text(path, json.dumps(description, indent=2) + "\n")


def _write_shard(utterances: pd.DataFrame, path: Path, sample_rate_hz: int) -> None:
    """Write a shard and its JSON file, unless both exist and contain all utterances."""
    description_path = path.with_suffix(".json")
    existing = _read_shard_description(description_path)
    if existing and not existing["left_out"] and _is_whole(
            Shard(path, existing["samples"], existing["crc32"]), sample_rate_hz):
        return
    rows, left_out, crc32, end = [], [], 0, 0

    def write(temporary: Path) -> None:
        nonlocal crc32, end
        # `wave` prints a traceback if it cannot open a file itself.
        with open(temporary, "wb") as opened, wave.open(opened, "wb") as shard:
            shard.setparams((1, 2, sample_rate_hz, 0, "NONE", "not compressed"))
            for row in utterances.itertuples():
                try:
                    signal = audio.read_mono(row.path, sample_rate_hz)
                    if problem := level_problem(signal):
                        raise UserError(f"{row.path} {problem}.")
                except UserError as error:
                    left_out.append(str(error))
                    continue
                samples = audio.to_int16(signal).astype("<i2").tobytes()
                shard.writeframesraw(samples)
                crc32 = zlib.crc32(samples, crc32)
                rows.append((row.utterance, row.speaker, row.sex, row.subset, end, end + len(signal)))
                end += len(signal)

    atomic_write.write_whole(path, write)
    description = {"samples": end, "crc32": crc32, "rows": rows, "left_out": left_out}
    atomic_write.write_text(description_path, json.dumps(description))


def _write_index(folder: Path, n_shards: int) -> None:
    """Write shards.csv and index.csv from the JSON files of all shards."""
    tables, shards, left_out = [], [], []
    for number in range(n_shards):
        path = folder / f"shard_{number:05d}.json"
        description = _read_shard_description(path)
        try:
            tables.append(pd.DataFrame(description["rows"], columns=COLUMNS).assign(shard=number))
            shards.append((f"{path.stem}.wav", description["samples"], description["crc32"]))
            left_out += description["left_out"]
        except (KeyError, ValueError, TypeError) as error:
            raise UserError(f"{path} is damaged ({error}); delete it, and repeat the command.") from None
    if left_out:
        logger.warning("%d utterances are left out; repair them and repeat the command, which tries them again:\n  %s",
                       len(left_out), "\n  ".join(map(str, left_out)))
    index = pd.concat(tables)
    if not len(index):
        raise UserError("no utterance could be decoded, so there is nothing to store; check the corpus.")
    table = pd.DataFrame(shards, columns=["shard", "samples", "crc32"])
    atomic_write.write_whole(folder / "shards.csv", lambda file: table.to_csv(file, index=False))
    atomic_write.write_whole(folder / "index.csv", lambda file: index.to_csv(file, index=False))


def _verify(folder: Path) -> None:
    """Load a finished store with all checks; if one fails, the store counts as unfinished."""
    try:
        load_store(folder, check="samples")
    except UserError:
        (folder / "index.csv").unlink()
        raise


def _is_whole(shard: Shard, sample_rate_hz: int) -> bool:
    """Return whether a shard exists and holds the samples that were written."""
    try:
        check_header(shard, sample_rate_hz)
        return compute_crc32(shard.path) == shard.crc32
    except (OSError, ValueError, soundfile.LibsndfileError):
        return False


def _read_shard_description(path: Path) -> dict:
    """Read the JSON file of a shard; return an empty dict if it is missing or has other keys."""
    description = _read_json(path)
    return description if all(isinstance(description.get(key), kind) for key, kind in DESCRIPTION_TYPES.items()) else {}


def _read_json(path: Path) -> dict:
    """Read a JSON file; return an empty dict if it is missing, damaged or holds something else than a dict."""
    try:
        contents = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return contents if isinstance(contents, dict) else {}

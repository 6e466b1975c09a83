"""A corpus becomes a store, made once: its speech at one rate in a few large files, of which any part is read at once.

    python -m lab41_sce.data.store CORPUS_ROOT STORE_FOLDER --subsets train-clean-100 test-other

decodes and resamples every utterance of a tree in LibriSpeech's layout. Experiments take the store by
`corpus=store corpus.root=STORE_FOLDER`: an excerpt is a seek and a read, so that the corpus may be larger than memory,
and mixtures are drawn from all of it, as they are from memory.

    store.json        the rate in Hz, how much speech there is, what it was made of
    shard_00000.wav   three hours of speech, 16-bit samples, one channel: 200 MB at 10 kHz
    shard_00000.json  what it holds; comes after it
    shards.csv        samples and CRC-32 of each shard
    index.csv         utterance, speaker, sex, subset, start, stop (samples) and shard of each utterance; comes last

Every file is written under another name and renamed. Interrupted, the same command goes on with the next shard;
repeated, it tries again what had to be left out.
"""

import argparse
import json
import logging
import sys
import wave
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import soundfile
from filelock import FileLock, Timeout
from joblib import Parallel, delayed
from tqdm import tqdm

from lab41_sce import atomic_write, audio
from lab41_sce.errors import UserError

SHARD_SECONDS = 10_000.0
SILENT = 1e-4  # of full scale
COLUMNS = ["utterance", "speaker", "sex", "subset", "start", "stop"]
TYPES = {"utterance": str, "speaker": str, "sex": "category", "subset": "category", "shard": np.int32,
         "start": np.int64, "stop": np.int64}

logger = logging.getLogger(__name__)


def is_store(folder: Path) -> bool:
    """Tell whether a folder holds a store, finished or not."""
    return (folder / "store.json").is_file()


def make(utterances: pd.DataFrame, folder: str | Path, sample_rate_hz: int, n_jobs: int = -1) -> None:
    """Write a store, or what is missing of one.

    Args:
        utterances: table of `librispeech.load`, in an order that is always the same.
        folder: of the store, made if need be.
        sample_rate_hz: of the front end that will use it.
        n_jobs: threads that decode; -1 for one each core.

    Raises:
        UserError: the folder holds a store of something else, or cannot be written; another process makes it; or no
            utterance can be used.
    """
    folder = Path(folder)
    atomic_write.make_folder(folder)
    seconds = utterances["seconds"].to_numpy()
    columns = zip(*(utterances[name] for name in ("utterance", "speaker", "sex", "subset")), seconds)
    names = "\n".join(f"{name} {speaker} {sex} {subset} {length:.3f}" for name, speaker, sex, subset, length in columns)
    described = {"sample_rate_hz": sample_rate_hz, "shard_seconds": SHARD_SECONDS, "utterances": len(utterances),
                 "hours": round(seconds.sum() / 3600, 2), "names_crc32": zlib.crc32(names.encode())}
    try:
        with FileLock(folder / ".lock", timeout=0):
            _make(utterances, seconds, folder, described, n_jobs)
    except Timeout:
        raise UserError(f"another process makes the store {folder}; wait for it.") from None
    except OSError as error:
        raise UserError(f"{folder} cannot be written to ({error.strerror or error}); choose another folder.") from None


def _make(utterances, seconds, folder, described, n_jobs) -> None:
    """Do what `make` does, alone."""
    about, sample_rate_hz = folder / "store.json", described["sample_rate_hz"]
    if about.exists() and _read_json(about) != described:
        raise UserError(f"{folder} holds a store of other speech or of another rate; choose another folder, or delete "
                        "that one.")
    atomic_write.write_text(about, json.dumps(described, indent=2) + "\n")
    shards = ((np.cumsum(seconds) - seconds) // SHARD_SECONDS).astype(int)
    parts = [part for _, part in utterances.groupby(shards)]
    written = Parallel(n_jobs, prefer="threads", return_as="generator_unordered")(
        delayed(_write_shard)(part, folder / f"shard_{number:05d}.wav", sample_rate_hz)
        for number, part in enumerate(parts))
    for _ in tqdm(written, "storing speech", len(parts), unit=" shards", disable=None):
        pass
    _write_index(folder, len(parts))


def load(folder: str | Path, check: str = "headers") -> pd.DataFrame:
    """Load the table of a finished store.

    Args:
        folder: of the store.
        check: "headers" compares the lengths of the shards with those that were written, "samples" all samples.

    Returns:
        The columns of `librispeech.load`, and `start` and `stop`: the samples of an utterance in the file `path`.

    Raises:
        UserError: the store is not finished, or a shard is missing or damaged.
    """
    folder = Path(folder)
    if not (folder / "index.csv").exists():
        raise UserError(f"the store {folder} is not finished; repeat the command that makes it, which goes on.")
    try:
        sample_rate_hz = json.loads((folder / "store.json").read_text("utf-8"))["sample_rate_hz"]
        table = pd.read_csv(folder / "index.csv", dtype=TYPES, keep_default_na=False)
        shards = pd.read_csv(folder / "shards.csv")
        paths = np.array([f"{folder / name}" for name in shards["shard"]], object)
        table = table.assign(sex=table["sex"].astype(str), subset=table["subset"].astype(str),
                             path=paths[table.pop("shard")], seconds=(table["stop"] - table["start"]) / sample_rate_hz)
    except (OSError, KeyError, ValueError, IndexError) as error:
        raise UserError(f"the store {folder} cannot be read ({error}); delete it, and make it again.") from None
    for path, samples, crc32 in zip(paths, shards["samples"], shards["crc32"]):
        if not _is_whole(Path(path), samples) or check == "samples" and _crc32(path) != crc32:
            raise UserError(f"{path} is missing or damaged; delete it, and repeat the command that makes the store, "
                            "which writes it anew.")
    return table


def read(path: str, start: int, stop: int, from_seconds: float, seconds: float, sample_rate_hz: float) -> np.ndarray:
    """Read a part of an utterance from a shard.

    Args:
        path: of the shard.
        start: sample of the shard at which the utterance begins.
        stop: and before which it ends.
        from_seconds: where the part begins in the utterance.
        seconds: how long it is; less comes back where the utterance ends earlier.
        sample_rate_hz: the wanted rate; at another one than the store's, the part is resampled.

    Returns:
        float32 `[N]`.

    Raises:
        UserError: the shard is not there any more.
    """
    with audio.open_file(path) as shard, audio.decodable(path):
        first = min(start + round(from_seconds * shard.samplerate), stop)
        shard.seek(first)
        samples = shard.read(min(round(seconds * shard.samplerate), stop - first), dtype="int16")
        signal = audio.resample(samples / np.float32(audio.FULL_SCALE), shard.samplerate, sample_rate_hz)
    return signal[: round(seconds * sample_rate_hz)]


def _write_shard(utterances: pd.DataFrame, path: Path, sample_rate_hz: int) -> None:
    """Write a shard and the JSON file that says what it holds, unless both are there and nothing was left out."""
    about = path.with_suffix(".json")
    held = _read_json(about)
    if held and not held["left_out"] and _is_whole(path, held["samples"]):
        return
    rows, left_out, crc32, end = [], [], 0, 0

    def write(file):
        nonlocal crc32, end
        with open(file, "wb") as opened, wave.open(opened, "wb") as shard:  # `wave` says too much where it cannot open
            shard.setparams((1, 2, sample_rate_hz, 0, "NONE", "not compressed"))
            for row in utterances.itertuples():
                try:
                    signal = audio.read_mono(row.path, sample_rate_hz)
                    if np.abs(signal).max(initial=0) < SILENT:
                        raise UserError(f"{row.path} is silent.")
                except UserError as error:
                    left_out.append(str(error))
                    continue
                samples = audio.to_int16(signal).astype("<i2").tobytes()
                shard.writeframesraw(samples)
                crc32 = zlib.crc32(samples, crc32)
                rows.append((row.utterance, row.speaker, row.sex, row.subset, end, end + len(signal)))
                end += len(signal)

    atomic_write.write_whole(path, write)
    atomic_write.write_text(about, json.dumps({"samples": end, "crc32": crc32, "rows": rows, "left_out": left_out}))


def _write_index(folder: Path, n_shards: int) -> None:
    """Gather what the shards hold."""
    tables, shards, left_out = [], [], []
    for number in range(n_shards):
        name = f"shard_{number:05d}"
        held = _read_json(folder / f"{name}.json")
        tables.append(pd.DataFrame(held["rows"], columns=COLUMNS).assign(shard=number))
        shards.append((f"{name}.wav", held["samples"], held["crc32"]))
        left_out += held["left_out"]
    if left_out:
        logger.warning("%d utterances are left out; repair them and repeat the command, which tries them again:\n  %s",
                       len(left_out), "\n  ".join(left_out))
    index = pd.concat(tables)
    if not len(index):
        raise UserError("no utterance could be decoded, so there is nothing to store; check the corpus.")
    table = pd.DataFrame(shards, columns=["shard", "samples", "crc32"])
    atomic_write.write_whole(folder / "shards.csv", lambda file: table.to_csv(file, index=False))
    atomic_write.write_whole(folder / "index.csv", lambda file: index.to_csv(file, index=False))


def _read_json(path: Path) -> dict:
    """Read what a file says; nothing where it is not there or damaged."""
    try:
        return json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return {}


def _is_whole(path: Path, samples: int) -> bool:
    """Tell whether a shard is there with so many samples."""
    try:
        return soundfile.info(path).frames == samples
    except (soundfile.LibsndfileError, OSError):
        return False


def _crc32(path: str) -> int:
    """Compute the CRC-32 of a shard's samples."""
    crc32 = 0
    for block in soundfile.blocks(path, 2**20, dtype="int16"):
        crc32 = zlib.crc32(block.astype("<i2").tobytes(), crc32)
    return crc32


def main(arguments: Sequence[str] | None = None) -> int:
    """Make a store from the command line; return 0, or 1 after one sentence about what could not be done."""
    from lab41_sce.data import librispeech  # which reads stores by this module

    parser = argparse.ArgumentParser("python -m lab41_sce.data.store", description="Make a store of a corpus.")
    parser.add_argument("root", type=Path, metavar="CORPUS_ROOT", help="the folder with SPEAKERS.TXT and the subsets")
    parser.add_argument("folder", type=Path, metavar="STORE_FOLDER", help="to write to")
    parser.add_argument("--subsets", nargs="+", required=True, metavar="NAME", help="such as train-clean-100")
    parser.add_argument("--sample-rate", type=int, default=10_000, metavar="HZ", help="of the front end (10000)")
    parser.add_argument("--min-seconds", type=float, default=1.0, help="shorter utterances are left out (1)")
    parser.add_argument("--jobs", type=int, default=-1, metavar="N", help="threads that decode (one each core)")
    options = parser.parse_args(arguments)
    logging.basicConfig(format="%(message)s")
    try:
        if options.sample_rate < 1:
            raise UserError(f"--sample-rate {options.sample_rate} is not possible; give Hz, such as 10000.")
        if options.jobs < -1 or options.jobs == 0:
            raise UserError(f"--jobs {options.jobs} is not possible; give a number of threads, or -1.")
        utterances = librispeech.load(options.root, options.subsets, min_seconds=options.min_seconds, check="headers")
        make(utterances, options.folder, options.sample_rate, options.jobs)
        table = load(options.folder)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(f"{options.folder}: {len(table)} utterances of {table['speaker'].nunique()} speakers, "
          f"{table['seconds'].sum() / 3600:.1f} hours at {options.sample_rate} Hz")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit("interrupted: finished shards are kept; the same command goes on")

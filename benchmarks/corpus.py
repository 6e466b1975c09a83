"""Stores: starting with 100,000 speakers and 1,000,000 utterances, and mixtures from stores against updates.

The large store is of noise. Its mixtures are measured while none of it is in the system's memory; those from memory and
from a small store, which the system keeps in memory, are of the embedded corpus.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
import zlib
from pathlib import Path

import numpy as np
import pandas as pd
import soundfile
from bench import part_main, peak_megabytes

from lab41_sce.data import librispeech, splits, store
from lab41_sce.data.evaluation_set import draw_evaluation_set
from lab41_sce.data.noise import Noise
from lab41_sce.data.sampler import TrainingMixtures
from lab41_sce.data.speech import Speech

UTTERANCES, SPEAKERS, SHARDS = 1_000_000, 100_000, 20
SPEEDS = (0.9, 1.0, 1.1)
RATE_HZ = 10_000


def make_store(root: Path, n_utterances: int, n_speakers: int, n_shards: int, shard_seconds: float) -> None:
    """Make a store whose utterances are 3 to 15 seconds of noise, and overlap."""
    rng, shards = np.random.default_rng(0), []
    for number in range(n_shards):
        samples = rng.integers(-3000, 3000, round(shard_seconds * RATE_HZ), np.int16)
        name = f"shard_{number:05d}.wav"
        soundfile.write(root / name, samples, RATE_HZ, "PCM_16")
        shards.append((name, len(samples), zlib.crc32(samples.tobytes())))
    pd.DataFrame(shards, columns=["shard", "samples", "crc32"]).to_csv(root / "shards.csv", index=False)
    lengths = rng.integers(3 * RATE_HZ, 15 * RATE_HZ, n_utterances)
    starts = rng.integers(round(shard_seconds - 15) * RATE_HZ, size=n_utterances)
    speakers = np.arange(n_utterances) % n_speakers
    names = [f"{speaker}-{number}" for number, speaker in enumerate(speakers)]
    pd.DataFrame({"utterance": names, "speaker": speakers, "sex": np.array(["F", "M"])[speakers % 2], "subset": "train",
                  "start": starts, "stop": starts + lengths, "shard": rng.integers(n_shards, size=n_utterances)}
                 ).to_csv(root / "index.csv", index=False)
    (root / "store.json").write_text(json.dumps({"sample_rate_hz": RATE_HZ}), "utf-8")


def start_up(root: str) -> None:
    """Do what an experiment does with a store before its training; print seconds of each stage, and memory."""
    begin, taken = time.perf_counter(), {}

    def stage(name):
        taken[name] = time.perf_counter() - begin - sum(taken.values())

    table = librispeech.load(root, ["train"], check="headers")
    stage("loading")
    table = splits.perturb_speed(splits.split(table, 2), SPEEDS)
    stage("splits, three speeds")
    speech, noise = Speech(table, RATE_HZ), None
    noise = Noise(speech, table)
    mixtures = TrainingMixtures(speech, table[table["split"] == "train"], splits.trained_speakers(table), noise=noise)
    stage("what draws mixtures")
    for split, per_kind in (("validation", 8), ("unseen", 40), ("in-set", 40)):
        draw_evaluation_set(speech, table, split, 2, per_kind, 2.56, 0.95)
    stage("lists to score on")
    mixtures.batch(0)
    stage("the first batch")
    print(json.dumps({"taken": taken, "memory_mb": peak_megabytes()}))


def forget(root: Path) -> None:
    """Take a store's shards out of the system's memory."""
    for path in root.glob("*.wav"):
        with path.open("rb") as file:
            os.fsync(file.fileno())
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def measure(rows, quick: bool) -> None:
    """Measure what starting with a large store takes, and its mixtures against updates of the shipped recipe."""
    import tensorflow as tf
    from bench_training import Bench, input_rate

    bench, batch, length = (Bench(["+exp=quick"]), 8, 40) if quick else (Bench(["+exp=pretrained"]), 32, 100)
    frames, batches = batch * (length + 1), 2 if quick else 40
    case = f"mixtures of {batch} x {length} frames"
    rows.add(f"{case}, from memory", input_rate(bench.mixtures(batch, length), frames, batches), "frames/s")
    one = tf.data.Dataset.from_tensors(bench.mixtures(batch, length).batch(0)).repeat()
    ready = bench.rate(one, 2 if quick else 30, frames)
    rows.add(f"updates on ready data of {batch} x {length} frames", ready, "frames/s")
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as folder:
        root = Path(folder)
        start = time.perf_counter()
        table = librispeech.load(None, [librispeech.EMBEDDED_SUBSET], check="headers")
        store.make(table, root, RATE_HZ)
        speed = table["seconds"].sum() / (time.perf_counter() - start)
        rows.add("making a store of Ogg at 16 kHz", speed, "times real time")
        bench.take(root)
        rows.add(f"{case}, from a store", input_rate(bench.mixtures(batch, length), frames, batches), "frames/s")
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as folder:
        size = (2000, 200, 1, 100.0) if quick else (
            UTTERANCES, SPEAKERS, SHARDS, store.SHARD_SECONDS)
        make_store(Path(folder), *size)
        code = "import sys, bench_store; bench_store.start_up(sys.argv[1])"
        printed = subprocess.run([sys.executable, "-c", code, folder], check=True, capture_output=True, text=True,
                                 env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}).stdout
        told = json.loads(printed.splitlines()[-1])
        case_stored = f"start with a store of {size[0]} utterances of {size[1]} speakers"
        for stage, taken in told["taken"].items():
            rows.add(f"{case_stored}: {stage}", taken, "s")
        rows.add(case_stored, sum(told["taken"].values()), "s")
        rows.add(f"{case_stored}: peak memory", told["memory_mb"], "MB")
        bench.take(folder, "train")
        mixtures = bench.mixtures(batch, length)
        mixtures.batch(0)  # the spectrum of speech
        forget(Path(folder))
        rows.add(f"{case}, from a store of {size[2] * size[3] * 2 * RATE_HZ / 1e9:g} GB that is not in memory",
                 input_rate(mixtures, frames, batches), "frames/s")


if __name__ == "__main__":
    part_main(measure)

"""Corpora: indexing up to 280,000 utterances, starting with a store of 1,000,000, mixtures from memory and from stores.

280,000 utterances are all of LibriSpeech; the tree consists of hard links to a few files. The large store is of noise:
its mixtures are measured while none of it is in the system's cache. Those from memory and from a small store, which the
system caches, are of the embedded corpus.
"""

import json
import os
import shutil
import tempfile
import time
import zlib
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pandas as pd
import soundfile

from benchmarks.prepared import prepare_experiment, training_mixtures
from benchmarks.timing import part_main, peak_megabytes, seconds
from lab41_sce.data import splits
from lab41_sce.data.corpus import EMBEDDED_SUBSET, load_corpus
from lab41_sce.data.evaluation_set import draw_evaluation_set
from lab41_sce.data.noise import Noise
from lab41_sce.data.sampler import TrainingMixtures
from lab41_sce.data.settings import MixtureSettings
from lab41_sce.data.speech import Speech
from lab41_sce.data.store_writer import write_store

TREES = ((100, 10), (10_000, 250), (280_000, 2338))  # utterances, speakers
LARGE_STORE = (1_000_000, 100_000, 1000, 20)  # utterances, speakers, utterances of a shard, files
SPEEDS = (0.9, 1.0, 1.1)
RATE_HZ = 10_000


def make_tree(root: Path, n_utterances: int, n_speakers: int) -> None:
    """Make a tree in LibriSpeech's layout: two seconds for each speaker, linked under many names."""
    soundfile.write(root / "one.flac", 0.1 * np.random.default_rng(0).standard_normal(32_000), 16_000)
    lines = [f"{speaker} | {'FM'[speaker % 2]} | train | 25 | NAME" for speaker in range(n_speakers)]
    (root / "SPEAKERS.TXT").write_text("\n".join(lines), "utf-8")
    first = {}
    for number in range(n_utterances):
        chapter, speaker = number // n_speakers // 25, number % n_speakers
        utterance = root / f"train/{speaker}/{chapter}/{speaker}-{chapter}-{number // n_speakers:04d}.flac"
        utterance.parent.mkdir(parents=True, exist_ok=True)
        if number < n_speakers:
            first[speaker] = shutil.copyfile(root / "one.flac", utterance)
        else:
            os.link(first[speaker], utterance)


def make_store(root: Path, n_utterances: int, n_speakers: int, per_shard: int, n_files: int) -> int:
    """Make a store of noise whose shards are links to a few files; return the bytes of these files."""
    rng = np.random.default_rng(0)
    ends = np.cumsum(rng.integers(3 * RATE_HZ, 15 * RATE_HZ, per_shard))  # of the utterances in every shard
    files = []
    for number in range(n_files):
        samples = rng.integers(-3000, 3000, ends[-1], np.int16)
        path = root / f"noise_{number}.wav"
        soundfile.write(path, samples, RATE_HZ, "PCM_16")
        files.append((path, zlib.crc32(samples.tobytes())))
    shards = []
    for number in range(n_utterances // per_shard):
        path, crc32 = files[number % n_files]
        name = f"shard_{number:05d}.wav"
        os.link(path, root / name)
        shards.append((name, ends[-1], crc32))
    pd.DataFrame(shards, columns=["shard", "samples", "crc32"]).to_csv(root / "shards.csv", index=False)
    starts, stops = np.tile([0, *ends[:-1]], len(shards)), np.tile(ends, len(shards))
    rows = np.arange(len(stops))
    speakers = rng.permutation(rows) % n_speakers
    names = [f"{speaker}-{number}" for number, speaker in enumerate(speakers)]
    pd.DataFrame({"utterance": names, "speaker": speakers, "sex": np.array(["F", "M"])[speakers % 2], "subset": "train",
                  "start": starts, "stop": stops, "shard": rows // per_shard}).to_csv(root / "index.csv", index=False)
    (root / "store.json").write_text(json.dumps({"sample_rate_hz": RATE_HZ}), "utf-8")
    return sum(path.stat().st_size for path, _ in files)


def start_up(root: str) -> tuple[dict[str, float], float]:
    """Do what an experiment does with a store before training; return the seconds of each stage, and peak MB."""
    begin, taken = time.perf_counter(), {}

    def stage(name):
        taken[name] = time.perf_counter() - begin - sum(taken.values())

    table = load_corpus(root, ["train"], check="headers")
    stage("loading")
    table = splits.perturb_speed(splits.split(table, 2), SPEEDS)
    stage("splits, three speeds")
    speech = Speech(table, RATE_HZ)
    mixtures = TrainingMixtures(speech, table[table["split"] == "train"], splits.trained_speakers(table),
                                MixtureSettings(), 0.95, 0, Noise(speech, table))
    stage("what draws mixtures")
    for split, per_kind in (("validation", 8), ("unseen", 40), ("in-set", 40)):
        draw_evaluation_set(speech, table, split, 2, per_kind, 2.56, 0.95)
    stage("lists to score on")
    mixtures.batch(0)
    stage("the first batch")
    return taken, peak_megabytes()


def drop_cache(root: Path) -> None:
    """Remove the shards of a store from the system's cache."""
    for path in root.glob("*.wav"):
        with path.open("rb") as file:
            os.fsync(file.fileno())
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def measure_indexing(rows, quick: bool) -> None:
    """Index trees of growing size, each twice."""
    for n_utterances, n_speakers in TREES[: 1 if quick else None]:
        with tempfile.TemporaryDirectory(dir=Path.cwd()) as folder:
            make_tree(Path(folder), n_utterances, n_speakers)
            for which in ("first", "again"):
                taken = seconds(lambda folder=folder: splits.split(
                    load_corpus(folder, ["train"], check="headers"), 2))
                case = f"indexing {n_utterances} utterances, {which}"
                rows.add(case, taken, "s")
                rows.add(f"{case}: each thousand", 1000 * taken / n_utterances, "s")


def measure_large_store(rows, size: tuple[int, int, int, int], root: Path) -> int:
    """Measure the start of an experiment with a large store, in a separate process; return the bytes of the store."""
    n_bytes = make_store(root, *size)
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        stages, peak_mb = pool.submit(start_up, str(root)).result()
    case = f"start with a store of {size[0]} utterances of {size[1]} speakers"
    for stage, taken in stages.items():
        rows.add(f"{case}: {stage}", taken, "s")
    rows.add(case, sum(stages.values()), "s")
    rows.add(f"{case}: peak memory", peak_mb, "MB")
    return n_bytes


def measure(rows, quick: bool) -> None:
    """Measure indexing, stores, and mixtures against updates of the shipped recipe."""
    from benchmarks.training import Trainee, input_rate

    measure_indexing(rows, quick)
    experiment, batch, length = (["+exp=cpu_half_hour"], 8, 40) if quick else (["+exp=cpu_hours"], 32, 100)
    trainee = Trainee(experiment)
    frames, batches = batch * (length + 1), 2 if quick else 40
    case = f"mixtures of {batch} x {length} frames"

    def add_input_rate(name, mixtures):
        rows.add(name, input_rate(mixtures, frames, batches), "frames/s")

    add_input_rate(f"{case}, from memory", trainee.mixtures(batch, length))
    ready = trainee.rate(trainee.ready(batch, length), 2 if quick else 30, frames)
    rows.add(f"updates on ready data of {batch} x {length} frames", ready, "frames/s")
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as folder:
        table = load_corpus(None, [EMBEDDED_SUBSET], check="headers")
        speed = table["seconds"].sum() / seconds(write_store, table, Path(folder), RATE_HZ)
        rows.add("making a store of Ogg at 16 kHz", speed, "times real time")
        add_input_rate(f"{case}, from a store",
                       training_mixtures(prepare_experiment(experiment, folder)[1], batch, length))
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as folder:
        size = (2000, 200, 100, 1) if quick else LARGE_STORE
        gigabytes = measure_large_store(rows, size, Path(folder)) / 1e9
        mixtures = training_mixtures(prepare_experiment(experiment, folder, "train")[1], batch, length)
        mixtures.batch(0)  # measures the spectrum of speech, which the noise needs
        drop_cache(Path(folder))
        add_input_rate(f"{case}, from a store of {gigabytes:.2g} GB that is not in memory", mixtures)


if __name__ == "__main__":
    part_main(measure)

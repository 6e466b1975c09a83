"""Measure one figure of the package in PYTHONPATH, of this version or of the reference commit, and print it.

    python benchmarks/probe.py input STORE BATCHES         frames a second of batches of 256 x 40 frames
    python benchmarks/probe.py scoring SECONDS MIXTURES    mixtures a second, of six systems

The reference commit has other modules, so this file imports the package inside its functions.
"""

import os
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

RATE_HZ, HOP = 10_000, 256
EXCERPTS, HOPS = 256, 40  # the article's batch
N_SYSTEMS = 6


def stored_mixtures(store: str) -> Any:
    """Return the article's training mixtures from a store; drawn by a process for each core, where that exists."""
    try:
        from lab41_sce.data import splits
        from lab41_sce.data.corpus import load_corpus
        from lab41_sce.data.sampler import TrainingMixtures
        from lab41_sce.data.settings import MixtureSettings
        from lab41_sce.data.speech import Speech
    except ImportError:  # 789e35f
        from lab41_sce.corpora import splits
        from lab41_sce.corpora.librispeech import load as load_corpus
        from lab41_sce.mixtures import Speech, TrainingMixtures
        MixtureSettings = None
    table = splits.split(load_corpus(Path(store), ["synthetic"], check="headers"), 2)
    speech, train = Speech(table, RATE_HZ, in_memory=False), table[table["split"] == "train"]
    speakers, sizes = splits.trained_speakers(table), {"batch_size": EXCERPTS, "seconds": HOPS * HOP / RATE_HZ}
    if MixtureSettings is None:
        return TrainingMixtures(speech, train, speakers, pre_emphasis=0.95, seed=0, **sizes)
    settings = MixtureSettings(workers=os.cpu_count() or 1, **sizes)
    return TrainingMixtures(speech, train, speakers, settings, pre_emphasis=0.95, seed=0)


def measure_input(store: str, batches: str) -> None:
    """Print frames a second, after some batches that do not count."""
    stream, n_batches = iter(stored_mixtures(store).dataset()), int(batches)
    for _ in range(10):
        next(stream)
    start = time.perf_counter()
    for _ in range(n_batches):
        next(stream)
    rate = n_batches * EXCERPTS * (HOPS + 1) / (time.perf_counter() - start)
    print(rate, flush=True)
    os._exit(0)  # TensorFlow's threads, which draw an endless stream, may hang at the end of Python


def jobs(n_mixtures: int, length: int) -> list[tuple]:
    """Return mixtures of noise with the estimates of six systems, of two and three speakers in turns."""
    rng, made = np.random.default_rng(0), []
    for number in range(n_mixtures):
        sources = rng.standard_normal((2 + number % 2, length)).astype(np.float32)
        estimates = {f"system {system}": sources + 0.1 * rng.standard_normal(sources.shape).astype(np.float32)
                     for system in range(N_SYSTEMS)}
        labels = {"mixture": str(number), "split": "unseen", "kind": "FM"}
        made.append((labels, sources, sources.sum(axis=0), estimates))
    return made


def measure_scoring(seconds: str, mixtures: str) -> None:
    """Print mixtures a second on all cores, after a short mixture that starts the processes."""
    try:
        from lab41_sce.evaluation.parallel_scoring import score_mixtures
    except ImportError:  # 789e35f
        from lab41_sce.metrics import score_mixtures
    cores, wanted = os.cpu_count() or 1, jobs(int(mixtures), int(seconds) * RATE_HZ)
    score_mixtures(jobs(cores, RATE_HZ // 10), n_jobs=cores, progress=False)
    start = time.perf_counter()
    score_mixtures(wanted, n_jobs=cores, progress=False)
    print(len(wanted) / (time.perf_counter() - start), flush=True)


if __name__ == "__main__":
    {"input": measure_input, "scoring": measure_scoring}[sys.argv[1]](*sys.argv[2:])

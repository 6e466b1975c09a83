"""Scoring: mixtures a second and core, with mir_eval, on the cores together and on one."""

import os
import time

import numpy as np
from bench import part_main

from lab41_sce.evaluation.metrics import score_mixtures


def measure(rows, quick: bool) -> None:
    """Score noise; what the signals are does not matter to the time."""
    rng, length = np.random.default_rng(0), 10_000 * (1 if quick else 5)
    n_mixtures = 2 if quick else 24
    sources = rng.standard_normal((n_mixtures, 2, length)).astype(np.float32)
    noise = 0.1 * rng.standard_normal(sources.shape).astype(np.float32)
    labels = {"split": "unseen", "kind": "FM"}
    for cores in (1, os.cpu_count()):
        jobs = [({"mixture": str(number), **labels}, of_mixture, of_mixture.sum(axis=0), {"system": of_mixture + more})
                for number, (of_mixture, more) in enumerate(zip(sources, noise, strict=True))]
        score_mixtures(jobs[:cores], n_jobs=cores, progress=False)  # the workers start
        start = time.perf_counter()
        score_mixtures(jobs, n_jobs=cores, progress=False)
        rate = n_mixtures / (time.perf_counter() - start)
        rows.add(f"scoring mixtures of {length / 10_000:g} s, cores: {cores}", rate / cores, "mixtures/s and core")


if __name__ == "__main__":
    part_main(measure)

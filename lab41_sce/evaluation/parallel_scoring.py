"""Many mixtures and their estimates by many systems become one long table of scores, which `bootstrap.py` averages."""

import itertools
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import joblib
import numpy as np
import pandas as pd
from tqdm import tqdm

from lab41_sce.evaluation.definitions import ENERGY_METRICS
from lab41_sce.evaluation.metrics import score_mixture
from lab41_sce.process_pool import workers

LABELS = ("mixture", "split", "kind")


def score_mixtures(jobs: Iterable[tuple], n_jobs: int = -1, total: int | None = None,
                   progress: bool = True, engine: str = "loky", metrics: Sequence[str] = ENERGY_METRICS,
                   sample_rate_hz: int = 0) -> pd.DataFrame:
    """Score many mixtures in several processes.

    The calling thread draws jobs in small groups while the processes score the group before. A generator can therefore
    compute estimates one by one, and memory use stays constant. The processes import this module only, and so neither
    Keras nor TensorFlow.

    Args:
        jobs: tuples (labels, references, mixture, estimates). Labels are a dict of "mixture" (a name), "split"
            ("in-set" or "unseen") and "kind" (the sexes in order, such as "MF"). The rest is as in `score_mixture`.
        n_jobs: number of processes; -1 uses all cores, 1 uses the current process. The scores do not depend on it.
        total: number of jobs, if known, for the progress bar.
        progress: whether to show a progress bar.
        engine: where the processes run: one of `process_pool.ENGINES`.
        metrics: as for `score_mixture`.
        sample_rate_hz: as for `score_mixture`.

    Returns:
        A table with the columns mixture, split, kind, system, metric and value (dB), in the order of the jobs.

    Raises:
        ValueError: if shapes differ, or samples are NaN or infinite; the message names the mixture and the system.
    """
    jobs, rows, scored = iter(jobs), [], []
    # joblib would draw from a generator in another thread, where Keras's global settings do not apply.
    chunks = iter(lambda: list(itertools.islice(jobs, 4 * joblib.effective_n_jobs(n_jobs))), [])
    with workers(engine, n_jobs) as run, tqdm(total=total, desc="scoring", unit="mixture",
                                              disable=not progress or None) as bar:
        for chunk in itertools.chain(chunks, [[]]):
            for mixture_rows in scored:
                rows += mixture_rows
                bar.update()
            scored = run([joblib.delayed(_score_job)(*job, metrics, sample_rate_hz) for job in chunk]) if chunk else []
    return pd.DataFrame(rows, columns=[*LABELS, "system", "metric", "value"])


def _score_job(labels: Mapping[str, Any], references: np.ndarray, mixture: np.ndarray,
               estimates: Mapping[str, np.ndarray], metrics: Sequence[str], sample_rate_hz: int) -> list[tuple]:
    """Score one mixture and put its labels before each row."""
    try:
        rows = score_mixture(references, mixture, estimates, metrics, sample_rate_hz)
    except ValueError as error:
        raise ValueError(f"mixture {labels['mixture']}, {error}") from error
    return [(*(labels[name] for name in LABELS), *row) for row in rows]

"""Turn reference and estimated signals into decibels.

Signals of one mixture `[S, N]` become SDR, SIR, SAR, SI-SDR and their improvement over the unprocessed mixture; many
mixtures become a long table, which `intervals.py` makes means of.

Conventions
-----------
Everything is in dB, larger is better. Estimates come in any order: each metric takes its best permutation.
The metric of a mixture is the mean over its speakers, each held within +-100 dB (beyond lies rounding).
Its improvement ("SDRi") is that of the estimates minus that of the mixture, given as each speaker's estimate.

Metrics
-------
- SDR, SIR, SAR: `mir_eval.separation.bss_eval_sources` (Vincent et al. 2006), which forgives filters of 512
  taps; best permutation: largest mean SIR.
- SI-SDR: scale-invariant SDR of zero-mean signals (Le Roux et al. 2019, arXiv 1811.02508, Equation 3); best
  permutation: largest mean SI-SDR.

SARi needs care. Without noise, a mixture is the sum of its sources and has no artefacts: its SAR is infinite but for
rounding, 100 dB here. SARi of a system is then its SAR minus 100 dB, and says no more than its SAR does.

What cannot be scored
---------------------
A silent source (over 200 dB below the mixture) cannot be scored, nor can sources that filters make of one another
exactly, such as twice the same: every metric of that mixture is NaN, for every system, and summaries leave it out. A
silent estimate is replaced by seeded white noise 60 dB below the mixture: it scores finitely and badly, whereas leaving
it out would reward it.
"""

import itertools
import warnings
import zlib
from collections.abc import Iterable

import joblib
import numpy as np
import pandas as pd
from mir_eval import separation
from scipy.optimize import linear_sum_assignment
from tqdm import tqdm

from lab41_sce.process_pool import workers

LABELS = ("mixture", "split", "kind")
METRICS = ("SDR", "SDRi", "SIR", "SIRi", "SAR", "SARi", "SI-SDR", "SI-SDRi")
LIMIT_DB = 100.0
SILENCE_DB = -200.0


def validate(references: np.ndarray, estimates: np.ndarray) -> None:
    """Raise unless references and estimates are finite and of one shape `[S, N]`.

    Raises:
        ValueError: naming the shapes seen, and how many samples are NaN or infinite.
    """
    shapes = f"references {np.shape(references)}, estimates {np.shape(estimates)}"
    if np.ndim(references) != 2 or np.shape(references) != np.shape(estimates) or not np.size(references):
        raise ValueError(f"signals must have one and the same shape [speakers, samples], got {shapes}")
    for name, signals in (("references", references), ("estimates", estimates)):
        if bad := np.count_nonzero(~np.isfinite(signals)):
            raise ValueError(f"{name} must be finite, got {bad} samples that are NaN or infinite in {shapes}")


def best_bss_eval(references: np.ndarray, estimates: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Compute SDR, SIR and SAR at the permutation of the estimates with the largest mean SIR.

    Args:
        references: float `[S, N]`, none of them all zero.
        estimates: float `[S, N]`, none of them all zero.

    Returns:
        SDR, SIR, SAR, each float64 `[S]` in dB, in the order of the references; all NaN if the equations for the
        filters cannot be solved.

    Raises:
        ValueError: if shapes differ, or a signal is all zero, NaN or infinite.
    """
    validate(references, estimates)
    # Equal estimates (the unprocessed mixture) leave nothing to permute, and permuting costs S times as much.
    permute = bool(np.any(estimates != estimates[:1]))
    with warnings.catch_warnings(), np.errstate(divide="ignore"):
        warnings.simplefilter("ignore", FutureWarning)  # mir_eval 0.9 drops it, and is not allowed
        # It would go on if it found the error's class where NumPy 1 had it: since 2.0 with a warning, now not at all.
        warnings.filterwarnings("error", "The numpy.linalg.linalg", DeprecationWarning)
        try:
            *ratios_db, _ = separation.bss_eval_sources(references, estimates, compute_permutation=permute)
        except (np.linalg.LinAlgError, DeprecationWarning, AttributeError):
            ratios_db = np.full((3, len(references)), np.nan)
    return tuple(np.clip(ratios_db, -LIMIT_DB, LIMIT_DB))


def best_si_sdr(references: np.ndarray, estimates: np.ndarray) -> np.ndarray:
    """Compute SI-SDR at the permutation of the estimates with the largest mean.

    Args:
        references: float `[S, N]`.
        estimates: float `[S, N]`; one that is all zero scores -100 dB.

    Returns:
        SI-SDR, float64 `[S]` in dB, in the order of the references; all NaN if a reference is constant.

    Raises:
        ValueError: if shapes differ, or a signal is NaN or infinite.
    """
    validate(references, estimates)
    if not np.ptp(references, axis=1).all():
        return np.full(len(references), np.nan)
    references, estimates = _centred(references), _centred(estimates)
    energies = np.sum(references**2, axis=1, keepdims=True)
    targets = (references @ estimates.T / energies)[..., None] * references[:, None]  # [S, S, N]
    with np.errstate(divide="ignore", invalid="ignore"):
        ratios_db = 10 * np.log10(np.sum(targets**2, axis=-1) / np.sum((estimates - targets) ** 2, axis=-1))
    ratios_db = np.clip(np.nan_to_num(ratios_db, nan=-LIMIT_DB), -LIMIT_DB, LIMIT_DB)
    return ratios_db[linear_sum_assignment(ratios_db, maximize=True)]


def si_sdr_improvement(references: np.ndarray, mixture: np.ndarray, estimates: np.ndarray) -> float:
    """Compute by how many dB estimates `[S, N]`, in any order, are better than the mixture `[N]`: mean SI-SDR."""
    unprocessed = np.broadcast_to(mixture, references.shape)
    return float(best_si_sdr(references, estimates).mean() - best_si_sdr(references, unprocessed).mean())


def score_mixture(references: np.ndarray, mixture: np.ndarray, estimates: dict) -> list[tuple]:
    """Score the estimates of every system for one mixture.

    Args:
        references: the sources, float `[S, N]`.
        mixture: the unprocessed mixture, float `[N]`.
        estimates: signals by system's name, float `[S, N]`. Those that equal the mixture to 1e-5 of its peak
            ("unprocessed", even if resynthesised) take its scores: improvements of exactly 0, at no cost.

    Returns:
        A row (system, metric, value) for each system and each of `METRICS`: dB, mean over the speakers; NaN
        throughout if a reference or the mixture is silent, or the references cannot be told apart.

    Raises:
        ValueError: naming the system, if shapes differ or a signal is NaN or infinite.
    """
    unprocessed = np.broadcast_to(mixture, np.shape(references))
    for system, signals in [("mixture", unprocessed), *estimates.items()]:
        try:
            validate(references, signals)
        except ValueError as error:
            raise ValueError(f"system {system}: {error}") from error

    unscored = [(system, metric, np.nan) for system in estimates for metric in METRICS]
    if np.ptp(mixture) == 0 or _silent(references, mixture).any():
        return unscored
    rows, baseline = [], _mean_scores(references, unprocessed)
    if np.isnan([*baseline.values()]).any():
        return unscored
    for system, signals in estimates.items():
        same = np.allclose(signals, unprocessed, rtol=0, atol=1e-5 * np.max(np.abs(mixture)))
        scores = baseline if same else _mean_scores(references, _fill_silence(signals, mixture))
        for metric, value in scores.items():
            rows += [(system, metric, value), (system, f"{metric}i", value - baseline[metric])]
    return rows


def score_mixtures(jobs: Iterable[tuple], n_jobs: int = -1, total: int | None = None,
                   progress: bool = True, engine: str = "loky") -> pd.DataFrame:
    """Score many mixtures on several cores, or on a cluster.

    Jobs are drawn in the calling thread, a few at a time, while workers score those before: a generator may
    compute estimates as it goes, and memory stays flat. Workers import this module, so no learning framework.

    Args:
        jobs: tuples (labels, references, mixture, estimates): a dict of "mixture" (a name), "split" ("in-set"
            or "unseen") and "kind" (sexes in order, such as "MF"), then as for `score_mixture`.
        n_jobs: number of processes; -1 takes all cores, 1 stays in this one. Scores do not depend on it.
        total: number of jobs if known, for the bar.
        progress: whether to show a bar.
        engine: where the processes are (`parallel.py`).

    Returns:
        A table with columns mixture, split, kind, system, metric, value (dB), in the order of the jobs.

    Raises:
        ValueError: naming mixture and system, if shapes differ or a signal is NaN or infinite.
    """
    jobs, rows, scored = iter(jobs), [], []
    # Given a generator, joblib would draw in a thread of its own, where Keras's settings do not hold.
    chunks = iter(lambda: list(itertools.islice(jobs, 4 * joblib.effective_n_jobs(n_jobs))), [])
    with workers(engine, n_jobs) as run, tqdm(total=total, desc="scoring", unit="mixture", disable=not progress) as bar:
        for chunk in itertools.chain(chunks, [[]]):
            for mixture_rows in scored:
                rows += mixture_rows
                bar.update()
            scored = run([joblib.delayed(_score_job)(*job) for job in chunk]) if chunk else []
    return pd.DataFrame(rows, columns=[*LABELS, "system", "metric", "value"])


def _centred(signals):
    signals = np.asarray(signals, np.float64)
    return signals - signals.mean(axis=-1, keepdims=True)


def _silent(signals, mixture):
    """Tell which signals are silent beside the mixture, bool [S]; a constant offset is no sound."""
    return _centred(signals).std(axis=-1) <= 10 ** (SILENCE_DB / 20) * _centred(mixture).std()


def _fill_silence(estimates, mixture):
    """Replace silent estimates by white noise, the same in every call, so that scores can be repeated."""
    # A seed of its own: with a common one, synthetic sources might hold this very noise. No score depends on its level.
    noise = np.random.default_rng(zlib.crc32(b"silent estimate")).standard_normal(np.shape(estimates))
    return np.where(_silent(estimates, mixture)[:, None], noise, estimates)


def _mean_scores(references, estimates):
    metrics = (*best_bss_eval(references, estimates), best_si_sdr(references, estimates))
    return {name: float(np.mean(values)) for name, values in zip(METRICS[::2], metrics, strict=True)}


def _score_job(labels, references, mixture, estimates):
    try:
        rows = score_mixture(references, mixture, estimates)
    except ValueError as error:
        raise ValueError(f"mixture {labels['mixture']}, {error}") from error
    return [(*(labels[name] for name in LABELS), *row) for row in rows]

"""Separated signals and the true sources become scores in decibels.

    references [S, N], estimates [S, N]                     -> SDR, SIR, SAR, SI-SDR of each speaker
    references, estimates and the unprocessed mixture [N]   -> mean scores and their improvements
    many mixtures, many systems                             -> one long table, which `bootstrap.py` averages

Conventions
-----------
All scores are in dB; larger is better. Estimates may come in any order: each metric uses its own best permutation. The
score of a mixture is the mean over its speakers, each limited to +-100 dB because rounding errors dominate beyond that.
The improvement of a metric (such as "SDRi") is the score of the estimates minus the score of the unprocessed mixture,
where the mixture stands in for the estimate of each speaker.

Metrics
-------
- SDR, SIR, SAR: `mir_eval.separation.bss_eval_sources` (Vincent et al. 2006), which allows a distortion filter of 512
  taps. The best permutation has the largest mean SIR.
- SI-SDR: scale-invariant SDR of zero-mean signals (Le Roux et al. 2019, arXiv 1811.02508, Equation 3). The best
  permutation has the largest mean SI-SDR.

Read SARi with care. A mixture without noise is the sum of its sources and contains no artefacts. The measured SAR of
such a mixture is the rounding of its files, so it is set to 100 dB here if the mixture equals the sum of its sources to
16 bits. SARi is then SAR minus 100 dB and carries the same information as SAR.

Mixtures that cannot be scored
------------------------------
A mixture is not scored if one of its sources is silent (more than 200 dB below the mixture), or if one source is a
copy of another, at any level or exactly filtered. All its metrics are NaN for every system, and summaries leave them
out. A silent estimate is different: it is replaced by seeded white noise and so gets finite, poor scores. Leaving it
out would reward it.
"""

import itertools
import warnings
import zlib
from collections.abc import Iterable, Mapping
from typing import Any

import joblib
import numpy as np
import pandas as pd
from mir_eval import separation
from scipy.optimize import linear_sum_assignment
from tqdm import tqdm

from lab41_sce.audio.samples import as_floats
from lab41_sce.process_pool import workers

LABELS = ("mixture", "split", "kind")
METRICS = ("SDR", "SDRi", "SIR", "SIRi", "SAR", "SARi", "SI-SDR", "SI-SDRi")
MAIN_METRIC = "SDRi"  # ranks the systems and decides the claims
LIMIT_DB = 100.0
SILENCE_DB = -200.0
COPY_TOLERANCE = 1e-6  # of the correlation of two references


def check_signals(references: np.ndarray, estimates: np.ndarray) -> None:
    """Raise ValueError unless references and estimates are finite and have the same shape `[S, N]`.

    Args:
        references: true sources.
        estimates: separated signals.

    Raises:
        ValueError: a shape differs, or samples are NaN or infinite; the message contains the shapes and the number of
            such samples.
    """
    shapes = f"references {np.shape(references)}, estimates {np.shape(estimates)}"
    if np.ndim(references) != 2 or np.shape(references) != np.shape(estimates) or not np.size(references):
        raise ValueError(f"references and estimates must have the same shape [speakers, samples], got {shapes}")
    for name, signals in (("references", references), ("estimates", estimates)):
        if bad := np.count_nonzero(~np.isfinite(signals)):
            raise ValueError(f"{name} must be finite, got {bad} samples that are NaN or infinite in {shapes}")


def best_bss_eval(references: np.ndarray, estimates: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Compute SDR, SIR and SAR for the permutation of the estimates with the largest mean SIR.

    Args:
        references: true sources, float `[S, N]`, none of them all zero.
        estimates: separated signals, float `[S, N]`, none of them all zero.

    Returns:
        SDR, SIR and SAR, each float64 `[S]` in dB, in the order of the references. All values are NaN if the equations
        of the distortion filters have no solution.

    Raises:
        ValueError: if shapes differ, or a signal is all zero or contains NaN or infinite samples.
    """
    check_signals(references, estimates)
    # Equal estimates (the unprocessed mixture) have one permutation only, and a search costs S times as much.
    permute = bool(np.any(estimates != estimates[:1]))
    with warnings.catch_warnings(), np.errstate(divide="ignore"):
        warnings.simplefilter("ignore", FutureWarning)  # deprecated in mir_eval 0.8, removed in 0.9 (not allowed)
        # mir_eval catches the error class by its NumPy 1 path, which warns in NumPy 2.0 and is missing later.
        warnings.filterwarnings("error", "The numpy.linalg.linalg", DeprecationWarning)
        try:
            *ratios_db, _ = separation.bss_eval_sources(references, estimates, compute_permutation=permute)
        except (np.linalg.LinAlgError, DeprecationWarning, AttributeError) as error:
            # mir_eval's `except` clause fails for every exception that reaches it, Ctrl-C and lack of memory included.
            if error.__context__ is not None and not isinstance(error.__context__, np.linalg.LinAlgError):
                raise error.__context__ from None
            ratios_db = np.full((3, len(references)), np.nan)
    sdr, sir, sar = np.clip(ratios_db, -LIMIT_DB, LIMIT_DB)
    return sdr, sir, sar


def best_si_sdr(references: np.ndarray, estimates: np.ndarray) -> np.ndarray:
    """Compute SI-SDR for the permutation of the estimates with the largest mean.

    Args:
        references: true sources, float `[S, N]`.
        estimates: separated signals, float `[S, N]`; an estimate that is all zero scores -100 dB.

    Returns:
        SI-SDR, float64 `[S]` in dB, in the order of the references. All values are NaN if a reference is constant.

    Raises:
        ValueError: if shapes differ, or samples are NaN or infinite.
    """
    check_signals(references, estimates)
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
    """Compute the mean SI-SDR of estimates `[S, N]`, in any order, minus that of the mixture `[N]`, in dB."""
    unprocessed = np.broadcast_to(mixture, references.shape)
    return float(best_si_sdr(references, estimates).mean() - best_si_sdr(references, unprocessed).mean())


def score(references: np.ndarray, estimates: np.ndarray, mixture: np.ndarray | None = None) -> dict[str, float]:
    """Score separated signals against the true sources.

    Args:
        references: true sources `[S, N]`, in one unit; floats or integers, see `as_floats`.
        estimates: separated signals in any order, `[S, N]`.
        mixture: unprocessed mixture `[N]`; adds the improvements. By default the sum of the references serves to
            decide which signals are silent, and there are no improvements.

    Returns:
        Mean over the speakers in dB by metric: SDR, SIR, SAR, SI-SDR, and with a mixture also SDRi, SIRi, SARi,
        SI-SDRi. All values are NaN if a reference is silent, or is a filtered copy of another.

    Raises:
        ValueError: if shapes differ, or samples are NaN or infinite.
        UserError: if samples are no numbers, or integers of 64 bits.
    """
    references, estimates = as_floats(references), as_floats(estimates)
    check_signals(references, estimates)
    total = np.sum(references, axis=0) if mixture is None else as_floats(mixture)
    if total.shape != np.shape(references)[1:]:
        raise ValueError(f"the mixture must have the shape [samples] of one reference, got {total.shape} for "
                         f"references {np.shape(references)}")
    rows = score_mixture(references, total, {"estimates": estimates})
    return {metric: value for _, metric, value in rows if mixture is not None or not metric.endswith("i")}


def score_mixture(references: np.ndarray, mixture: np.ndarray,
                  estimates: Mapping[str, np.ndarray]) -> list[tuple[str, str, float]]:
    """Score the estimates of every system for one mixture.

    Args:
        references: true sources, float `[S, N]`.
        mixture: unprocessed mixture, float `[N]`.
        estimates: signals by name of the system, each float `[S, N]`. Estimates that equal the mixture within 1e-5 of
            its peak get the scores of the mixture and improvements of exactly 0 (such as "unprocessed").

    Returns:
        One row (system, metric, value) for each system and each of `METRICS`, in dB, as a mean over the speakers. All
        values are NaN if a reference or the mixture is silent, or if one reference is a filtered copy of another.

    Raises:
        ValueError: if shapes differ, or samples are NaN or infinite; the message names the system.
    """
    unprocessed = np.broadcast_to(mixture, np.shape(references))
    for system, signals in [("mixture", unprocessed), *estimates.items()]:
        try:
            check_signals(references, signals)
        except ValueError as error:
            raise ValueError(f"system {system}: {error}") from error

    unscored = [(system, metric, np.nan) for system in estimates for metric in METRICS]
    if np.ptp(mixture) == 0 or silent(references, mixture).any() or _copied(references):
        return unscored
    rows, baseline = [], _mean_scores(references, unprocessed)
    if np.isnan([*baseline.values()]).any():
        return unscored
    if _is_sum(references, mixture):
        baseline["SAR"] = LIMIT_DB
    for system, signals in estimates.items():
        same = np.allclose(signals, unprocessed, rtol=0, atol=1e-5 * np.max(np.abs(mixture)))
        scores = baseline if same else _mean_scores(references, _fill_silence(signals, mixture))
        for metric, value in scores.items():
            rows += [(system, metric, value), (system, f"{metric}i", value - baseline[metric])]
    return rows


def score_mixtures(jobs: Iterable[tuple], n_jobs: int = -1, total: int | None = None,
                   progress: bool = True, engine: str = "loky") -> pd.DataFrame:
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

    Returns:
        A table with the columns mixture, split, kind, system, metric and value (dB), in the order of the jobs.

    Raises:
        ValueError: if shapes differ, or samples are NaN or infinite; the message names the mixture and the system.
    """
    jobs, rows, scored = iter(jobs), [], []
    # joblib would draw from a generator in another thread, where Keras's global settings do not apply.
    chunks = iter(lambda: list(itertools.islice(jobs, 4 * joblib.effective_n_jobs(n_jobs))), [])
    no_bar = None if progress else True  # None: no bar where stderr is no terminal
    with workers(engine, n_jobs) as run, tqdm(total=total, desc="scoring", unit="mixture", disable=no_bar) as bar:
        for chunk in itertools.chain(chunks, [[]]):
            for mixture_rows in scored:
                rows += mixture_rows
                bar.update()
            scored = run([joblib.delayed(_score_job)(*job) for job in chunk]) if chunk else []
    return pd.DataFrame(rows, columns=[*LABELS, "system", "metric", "value"])


def _centred(signals: np.ndarray) -> np.ndarray:
    """Subtract the mean of each signal."""
    signals = np.asarray(signals, np.float64)
    return signals - signals.mean(axis=-1, keepdims=True)


def _is_sum(references: np.ndarray, mixture: np.ndarray) -> bool:
    """Return whether a mixture is the sum of its sources, each of them in a file of 16 bits or more."""
    difference = mixture - np.sum(references, axis=0)
    step = max(np.max(np.abs(mixture)), 1.0) / 2**15
    return bool(np.max(np.abs(difference)) <= (len(references) + 1) * step and difference.std() <= 0.01 * mixture.std())


def silent(signals: np.ndarray, mixture: np.ndarray) -> np.ndarray:
    """Mark signals that are silent in comparison with the mixture, bool [S]; a constant offset counts as silence."""
    return _centred(signals).std(axis=-1) <= 10 ** (SILENCE_DB / 20) * _centred(mixture).std()


def _copied(references: np.ndarray) -> bool:
    """Return whether a reference is a copy of another one, at any level, to within 60 dB."""
    return bool((np.abs(np.corrcoef(references)) - np.eye(len(references)) > 1 - COPY_TOLERANCE).any())


def _fill_silence(estimates: np.ndarray, mixture: np.ndarray) -> np.ndarray:
    """Replace silent estimates by white noise that is the same in every call."""
    # The seed is unusual on purpose: noise sources drawn from a common seed could equal this noise.
    noise = np.random.default_rng(zlib.crc32(b"silent estimate")).standard_normal(np.shape(estimates))
    return np.where(silent(estimates, mixture)[:, None], noise, estimates)


def _mean_scores(references: np.ndarray, estimates: np.ndarray) -> dict[str, float]:
    """Compute the mean over the speakers of each metric."""
    metrics = (*best_bss_eval(references, estimates), best_si_sdr(references, estimates))
    return {name: float(np.mean(values)) for name, values in zip(METRICS[::2], metrics, strict=True)}


def _score_job(labels: Mapping[str, Any], references: np.ndarray, mixture: np.ndarray,
               estimates: Mapping[str, np.ndarray]) -> list[tuple]:
    """Score one mixture and put its labels before each row."""
    try:
        rows = score_mixture(references, mixture, estimates)
    except ValueError as error:
        raise ValueError(f"mixture {labels['mixture']}, {error}") from error
    return [(*(labels[name] for name in LABELS), *row) for row in rows]

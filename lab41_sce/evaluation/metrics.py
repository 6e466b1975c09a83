"""Separated signals and the true sources become scores in decibels.

    references [S, N], estimates [S, N]                     -> SDR, SIR, SAR, SI-SDR of each speaker
    references, estimates and the unprocessed mixture [N]   -> mean scores and their improvements, if wanted also of
                                                               `PERCEPTUAL_METRICS` (perceptual.py)

Conventions
-----------
All scores but the perceptual ones are in dB; larger is better. Estimates may come in any order: SDR, SIR and SAR use
the permutation with the largest mean SIR, SI-SDR that with the largest mean SI-SDR, and the perceptual metrics the
same. The score of a mixture is the mean over its speakers.
Scores in dB are limited to +-100 dB for each speaker because rounding errors dominate beyond that.
The improvement of a metric (such as "SDRi") is the score of the estimates minus the score of the unprocessed mixture,
where the mixture stands in for the estimate of each speaker.

Metrics
-------
- SDR, SIR, SAR: BSS Eval 3 (Vincent et al. 2006), which allows a distortion filter of 512 taps, as `mir_eval` computes
  them (`bss_eval.py`). The best permutation has the largest mean SIR.
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

import zlib
from collections.abc import Mapping, Sequence

import numpy as np
from scipy.optimize import linear_sum_assignment

from lab41_sce.audio.samples import as_floats
from lab41_sce.evaluation.bss_eval import judged_bss_eval
from lab41_sce.evaluation.definitions import ENERGY_METRICS, PERCEPTUAL_METRICS, with_improvements
from lab41_sce.evaluation.perceptual import perceptual_scores

METRICS = with_improvements(ENERGY_METRICS)  # the usual ones
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


def best_bss_eval(references: np.ndarray, estimates: np.ndarray,
                  in_order: bool = False) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Compute SDR, SIR and SAR for the permutation of the estimates with the largest mean SIR.

    Args:
        references: true sources, float `[S, N]`, none of them all zero.
        estimates: separated signals, float `[S, N]`, none of them all zero.
        in_order: whether the estimates are in the order of the references already.

    Returns:
        SDR, SIR and SAR, each float64 `[S]` in dB, in the order of the references. All values are NaN if the equations
        of the distortion filters have no solution.

    Raises:
        ValueError: if shapes differ, or a signal is all zero or contains NaN or infinite samples.
    """
    check_signals(references, estimates)
    for name, signals in (("references", references), ("estimates", estimates)):
        if not np.any(signals, axis=1).all():
            raise ValueError(f"{name} must not be all zero")
    (ratios_db,) = _bss_eval(references, [estimates])
    sdr, sir, sar = _in_best_order(ratios_db, in_order)
    return sdr, sir, sar


def _bss_eval(references: np.ndarray, systems: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Compute SDR, SIR and SAR of each reference and each estimate `[E, N]` of each system: `[3, S, E]`, or NaN."""
    try:
        ratios_db = np.stack(judged_bss_eval(references, np.concatenate(systems)))
    except np.linalg.LinAlgError:
        return [np.full((3, len(references), len(estimates)), np.nan) for estimates in systems]
    return np.split(ratios_db, np.cumsum([len(estimates) for estimates in systems])[:-1], axis=2)


def _in_best_order(ratios_db: np.ndarray, in_order: bool) -> np.ndarray:
    """Select the pairs with the largest mean SIR from SDR, SIR and SAR `[3, S, S]`: `[3, S]`, limited to +-100 dB."""
    order = np.arange(ratios_db.shape[1])
    if not in_order and not np.isnan(ratios_db).any():
        order = best_pairs(np.nan_to_num(ratios_db[1], posinf=1e4, neginf=-1e4))[1]
    return np.clip(ratios_db[:, np.arange(len(order)), order], -LIMIT_DB, LIMIT_DB)


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
    ratios_db = si_sdr_matrix(references, estimates)
    return np.full(len(references), np.nan) if np.isnan(ratios_db).any() else ratios_db[best_pairs(ratios_db)]


def si_sdr_matrix(references: np.ndarray, estimates: np.ndarray) -> np.ndarray:
    """Compute SI-SDR of each reference `[S, N]` with each estimate `[E, N]`: `[S, E]` in dB, NaN if one is constant."""
    if not np.ptp(references, axis=1).all():
        return np.full((len(references), len(estimates)), np.nan)
    references, estimates = _centred(references), _centred(estimates)
    energies = np.sum(references**2, axis=1, keepdims=True)
    targets = (references @ estimates.T / energies)[..., None] * references[:, None]  # [S, E, N]
    with np.errstate(divide="ignore", invalid="ignore"):
        ratios_db = 10 * np.log10(np.sum(targets**2, axis=-1) / np.sum((estimates - targets) ** 2, axis=-1))
    return np.clip(np.nan_to_num(ratios_db, nan=-LIMIT_DB), -LIMIT_DB, LIMIT_DB)


def best_pairs(ratios_db: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Pair references and estimates so that the sum of their ratios `[S, E]` is largest: two arrays of indices."""
    return linear_sum_assignment(ratios_db, maximize=True)


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


def score_mixture(references: np.ndarray, mixture: np.ndarray, estimates: Mapping[str, np.ndarray],
                  metrics: Sequence[str] = ENERGY_METRICS, sample_rate_hz: int = 0,
                  found: Sequence[int] | None = None) -> list[tuple[str, str, float]]:
    """Score the estimates of every system for one mixture.

    Args:
        references: true sources, float `[S, N]`.
        mixture: unprocessed mixture, float `[N]`.
        estimates: signals by name of the system, each float `[S, N]`. Estimates that equal the mixture within 1e-5 of
            its peak get the scores of the mixture and improvements of exactly 0 (such as "unprocessed").
        metrics: those of `definitions.ALL_METRICS` to compute.
        sample_rate_hz: of the signals; only `PERCEPTUAL_METRICS` need it.
        found: the references to average over, if the estimates are in the order of the references and those of the
            other references are missing (`[]` is not possible). By default the estimates come in any order.

    Returns:
        One row (system, metric, value) for each system, each of the metrics and its improvement, as a mean over the
        speakers. All values are NaN if a reference or the mixture is silent, or if one reference is a filtered copy of
        another.

    Raises:
        ValueError: if shapes differ, or samples are NaN or infinite; the message names the system.
        UserError: a package is missing, or the sample rate is too low for a metric.
    """
    unprocessed = np.broadcast_to(mixture, np.shape(references))
    for system, signals in [("mixture", unprocessed), *estimates.items()]:
        try:
            check_signals(references, signals)
        except ValueError as error:
            raise ValueError(f"system {system}: {error}") from error

    unscored = [(system, metric, np.nan) for system in estimates for metric in with_improvements(metrics)]
    if np.ptp(mixture) == 0 or silent(references, mixture).any() or _copied(references):
        return unscored
    tolerance = 1e-5 * np.max(np.abs(mixture))
    separated = {system: fill_silence(signals, mixture) for system, signals in estimates.items()
                 if not np.allclose(signals, unprocessed, rtol=0, atol=tolerance)}
    ratios_db: list[np.ndarray] = [np.empty(0)] * (1 + len(separated))
    if {"SDR", "SIR", "SAR"} & {*metrics}:
        of_mixture, *others = _bss_eval(references, [unprocessed[:1], *separated.values()])
        ratios_db = [np.repeat(of_mixture, len(references), axis=2), *others]
    baseline, *scores = [_mean_scores(references, signals, ratios, metrics, sample_rate_hz, found)
                         for signals, ratios in zip([unprocessed, *separated.values()], ratios_db, strict=True)]
    if np.isnan([baseline[metric] for metric in ENERGY_METRICS if metric in baseline]).any():
        return unscored
    if _is_sum(references, mixture) and "SAR" in baseline:
        baseline["SAR"] = LIMIT_DB
    by_system = dict.fromkeys(estimates, baseline) | dict(zip(separated, scores, strict=True))
    return [row for system, found_scores in by_system.items() for metric, value in found_scores.items()
            for row in ((system, metric, value), (system, f"{metric}i", value - baseline[metric]))]


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


def white_noise() -> np.random.Generator:
    """Return the generator of the noise that replaces silent estimates, the same in every call."""
    # The seed is unusual on purpose: noise sources drawn from a common seed could equal this noise.
    return np.random.default_rng(zlib.crc32(b"silent estimate"))


def fill_silence(estimates: np.ndarray, mixture: np.ndarray) -> np.ndarray:
    """Replace silent estimates by white noise that is the same in every call."""
    noise = white_noise().standard_normal(np.shape(estimates))
    return np.where(silent(estimates, mixture)[:, None], noise, estimates)


def _mean_scores(references: np.ndarray, estimates: np.ndarray, bss_db: np.ndarray, metrics: Sequence[str],
                 sample_rate_hz: int, found: Sequence[int] | None) -> dict[str, float]:
    """Compute the mean of each metric over the speakers, or over those found; `bss_db` is `[3, S, S]` or empty."""
    scores = {}
    if bss_db.size:
        scores |= dict(zip(("SDR", "SIR", "SAR"), _in_best_order(bss_db, found is not None), strict=True))
    ratios_db = si_sdr_matrix(references, estimates)
    order = np.arange(len(references)) if found is not None or np.isnan(ratios_db).any() else best_pairs(ratios_db)[1]
    scores["SI-SDR"] = ratios_db[np.arange(len(references)), order]
    if {*PERCEPTUAL_METRICS} & {*metrics}:
        scores |= perceptual_scores(references, estimates[order], sample_rate_hz, metrics)
    kept = slice(None) if found is None else list(found)
    return {name: float(np.mean(values[kept])) for name, values in scores.items() if name in metrics}

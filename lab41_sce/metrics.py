"""Turn reference and estimated signals into decibels, and decibels into tables with intervals.

Signals of one mixture `[S, N]` become SDR, SIR, SAR, SI-SDR and their improvement over the unprocessed
mixture; many mixtures become a long table, and that means with 95 % intervals (Figure 6 of the article), of each
system or of its difference from another.

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
A silent source (over 200 dB below the mixture) cannot be scored, nor can sources of which filters make one another
exactly, such as twice the same: every metric of that mixture is NaN, for every system, and summaries leave it out. A
silent estimate is replaced by seeded white noise 60 dB below the
mixture: it scores finitely and badly, whereas leaving it out would reward it.
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

LABELS = ("mixture", "split", "kind")
METRICS = ("SDR", "SDRi", "SIR", "SIRi", "SAR", "SARi", "SI-SDR", "SI-SDRi")
LIMIT_DB = 100.0
SILENCE_DB = -200.0
FILL_DB = -60.0


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
        warnings.simplefilter("ignore", FutureWarning)  # mir_eval 0.9 drops it: pinned below
        try:
            *ratios_db, _ = separation.bss_eval_sources(references, estimates, compute_permutation=permute)
        except (np.linalg.LinAlgError, AttributeError):  # mir_eval 0.8 looks for the first where NumPy 1 had it
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
                   progress: bool = True) -> pd.DataFrame:
    """Score many mixtures on several cores.

    Jobs are drawn in the calling thread, a few at a time, while workers score those before: a generator may
    compute estimates as it goes, and memory stays flat. Workers import this module, so no learning framework.

    Args:
        jobs: tuples (labels, references, mixture, estimates): a dict of "mixture" (a name), "split" ("in-set"
            or "unseen") and "kind" (sexes in order, such as "MF"), then as for `score_mixture`.
        n_jobs: number of processes; -1 takes all cores, 1 stays in this one. Scores do not depend on it.
        total: number of jobs if known, for the bar.
        progress: whether to show a bar.

    Returns:
        A table with columns mixture, split, kind, system, metric, value (dB), in the order of the jobs.

    Raises:
        ValueError: naming mixture and system, if shapes differ or a signal is NaN or infinite.
    """
    jobs, rows, scored = iter(jobs), [], []
    # Arrays travel by pipe (max_nbytes=None): memory maps would stay on disk until the last mixture.
    parallel = joblib.Parallel(n_jobs=n_jobs, return_as="generator", max_nbytes=None)
    # Given a generator, joblib would draw in a thread of its own, where Keras's settings do not hold.
    chunks = iter(lambda: list(itertools.islice(jobs, 4 * joblib.effective_n_jobs(n_jobs))), [])
    with parallel, tqdm(total=total, desc="scoring", unit="mixture", disable=not progress) as bar:
        for chunk in itertools.chain(chunks, [[]]):
            for mixture_rows in scored:
                rows += mixture_rows
                bar.update()
            scored = parallel([joblib.delayed(_score_job)(*job) for job in chunk]) if chunk else []
    return pd.DataFrame(rows, columns=[*LABELS, "system", "metric", "value"])


def summarise(scores: pd.DataFrame, seed: int = 0, n_resamples: int = 2000,
              mixtures: pd.DataFrame | None = None) -> pd.DataFrame:
    """Average scores over mixtures, with 95 % percentile-bootstrap intervals (Efron 1979).

    Resamples are of mixtures: the interval says what other mixtures of these speakers might give. Where it shall say
    what other *speakers* might give, they are resampled, those of each sex apart, and a mixture counts as often as its
    speakers were drawn: the product of these numbers (Owen's "pigeonhole bootstrap", 2007).

    Orderings of a kind are merged: MF and FM both count as FM. Kind "All" is the mean over the ordered kinds:
    the merged kinds weighted by their orderings, (FF + MM + 2 FM) / 4 for two speakers, however many mixtures
    each has; absent kinds drop out of the weights. Its bootstrap resamples within each kind. Systems share
    resamples where they were scored on the same mixtures.

    Args:
        scores: table of `score_mixtures`; rows in any order, those whose value is NaN are left out.
        seed: of the resamples, at least 0.
        n_resamples: number of bootstrap resamples.
        mixtures: evaluation list of these mixtures, to resample speakers; None resamples mixtures.

    Returns:
        A table with columns system, split, kind, metric, mean, low, high (dB), n (number of mixtures).

    Raises:
        ValueError: if a system has two values of one metric for one mixture.
    """
    keys = ["system", "split", "metric"]
    # Sorted, so that resamples meet the same mixtures whatever the order in which they were scored.
    scores = scores.dropna(subset="value").sort_values(["mixture", "kind"])
    if (twice := scores.duplicated([*keys, "mixture", "kind"])).any():
        raise ValueError(f"each score must be given once, got this one again:\n{scores[twice].iloc[0]}")
    scores["kind"] = ["".join(sorted(kind)) for kind in scores["kind"]]
    counts = None if mixtures is None else _speaker_counts(mixtures, seed, n_resamples)
    rows = []
    for (system, split, metric), group in scores.groupby(keys):
        table = {}
        for kind, part in group.groupby("kind"):
            values = part["value"].to_numpy()
            if counts is None:
                draws = _resampled_means(values, kind, seed, n_resamples)
            else:
                draws = _weighted_means(values, counts[part["mixture"]].to_numpy())
            table[kind] = values.mean(), draws, len(values)
        weights = [len(set(itertools.permutations(kind))) for kind in table]
        means, resamples, lengths = zip(*table.values(), strict=True)
        table["All"] = np.average(means, weights=weights), np.average(resamples, 0, weights), sum(lengths)
        for kind, (mean, draws, n) in table.items():
            rows.append((system, split, kind, metric, mean, *np.nanpercentile(draws, [2.5, 97.5]), n))
    return pd.DataFrame(rows, columns=["system", "split", "kind", "metric", "mean", "low", "high", "n"])


def paired_differences(scores: pd.DataFrame, baseline: str, seed: int = 0,
                       mixtures: pd.DataFrame | None = None) -> pd.DataFrame:
    """Average how much better than a baseline each other system is on the same mixtures, with 95 % intervals.

    Mixtures differ in difficulty for every system alike; differences leave that out, so their intervals are narrower
    than those of the two means.

    Args:
        scores: as for `summarise`; mixtures that one of the two lacks, or scores NaN, are left out.
        baseline: name of a system in `scores`.
        seed, mixtures: as for `summarise`.

    Returns:
        A table as that of `summarise`, of value minus the baseline's value (dB; positive is better), without the
        baseline.

    Raises:
        ValueError: if the baseline has no scores, or a system has two values of one metric for one mixture.
    """
    of_baseline = scores["system"] == baseline
    if scores.loc[of_baseline, "value"].isna().all():
        systems = ", ".join(sorted(scores["system"].unique()))
        raise ValueError(f"the baseline '{baseline}' must have scores, got scores of: {systems}")
    same = [*LABELS, "metric"]
    paired = scores[~of_baseline].merge(scores.loc[of_baseline, [*same, "value"]], on=same, suffixes=("", "_baseline"))
    return summarise(paired.assign(value=paired["value"] - paired["value_baseline"]), seed, mixtures=mixtures)


def _centred(signals):
    signals = np.asarray(signals, np.float64)
    return signals - signals.mean(axis=-1, keepdims=True)


def _silent(signals, mixture):
    """Tell which signals are silent beside the mixture, bool [S]; a constant offset is no sound."""
    return _centred(signals).std(axis=-1) <= 10 ** (SILENCE_DB / 20) * _centred(mixture).std()


def _fill_silence(estimates, mixture):
    """Replace silent estimates by white noise, the same in every call, so that scores can be repeated."""
    # A seed of its own: with a common one, synthetic sources might hold this very noise.
    noise = np.random.default_rng(zlib.crc32(b"silent estimate")).standard_normal(np.shape(estimates))
    noise *= 10 ** (FILL_DB / 20) * _centred(mixture).std()
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


def _resampled_means(values, kind, seed, n_resamples):
    """Draw bootstrap means [n_resamples]; kinds draw independently, systems alike."""
    generator = np.random.default_rng([seed, zlib.crc32(kind.encode())])
    return values[generator.integers(len(values), size=(n_resamples, len(values)))].mean(axis=1)


def _speaker_counts(mixtures, seed, n_resamples):
    """Draw speakers anew, those of each sex apart: how often each mixture then counts, a column for each."""
    speakers = mixtures.filter(regex=r"^speaker_\d+$")
    sexes = {name: sex for place, column in enumerate(speakers) for name, sex in
             zip(mixtures[column], mixtures["kind"].str[place])}
    generator, times = np.random.default_rng(seed), {}
    for sex in sorted(set(sexes.values())):
        names = sorted(name for name in sexes if sexes[name] == sex)
        drawn = generator.integers(len(names), size=(n_resamples, len(names)))
        times |= {name: (drawn == place).sum(axis=1) for place, name in enumerate(names)}
    counts = {row[0]: np.prod([times[name] for name in row[1:]], axis=0)
              for row in mixtures[["mixture", *speakers]].itertuples(index=False)}
    return pd.DataFrame(counts, dtype=float)


def _weighted_means(values, counts):
    """Average values `[n]`, each as often as counts `[n_resamples, n]` say; NaN where none counts."""
    totals = counts.sum(axis=1)
    return np.where(totals > 0, counts @ values / np.maximum(totals, 1), np.nan)

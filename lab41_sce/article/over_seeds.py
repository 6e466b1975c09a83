"""Runs that differ only in the seed become one result: means over seeds, with intervals over speakers and seeds.

    summary.csv of each run                  -> one summary (Figure 6)
    mixtures.csv of each run, evaluation.csv -> differences between two systems

An interval has two parts, which are independent and therefore added as squares: one that covers other speakers or
mixtures, and the 95 % interval of Student's t from the standard deviation of the seeds' means, which covers other
trainings. The first part is the bootstrap interval of the mean over seeds for differences, and the mean of the seeds'
own intervals for summaries. The latter is somewhat too wide, since the average over seeds varies less.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import stats

from lab41_sce.data.checksums import file_checksum
from lab41_sce.errors import UserError
from lab41_sce.evaluation.bootstrap import paired_differences
from lab41_sce.evaluation.parallel_scoring import LABELS
from lab41_sce.reporting.run_files import read_table
from lab41_sce.reporting.sweep import differing_settings, read_settings


def check_seeds(runs: Sequence[Path]) -> None:
    """Check that runs differ only in the seed and were scored on the same mixtures.

    Args:
        runs: folders of at least two finished runs.

    Raises:
        UserError: if they have other differences, or two of them have the same seed.
    """
    settings = [read_settings(run) for run in runs]
    names = ", ".join(map(str, runs))
    others = sorted({name for values in differing_settings(settings) for name in values} - {"seed"})
    if others:
        raise UserError(f"The runs {names} differ in {', '.join(others)}; give runs that differ only in the seed.")
    seeds = [values["seed"] for values in settings]
    if repeated := sorted({seed for seed in seeds if seeds.count(seed) > 1}):
        raise UserError(f"Two of the runs {names} have the seed {repeated[0]}; give each seed once.")
    if len({file_checksum(run / "evaluation.csv") for run in runs}) > 1:
        raise UserError(f"The runs {names} were scored on different mixtures (evaluation.csv); give runs with the same "
                        "speech and the same evaluation.seed.")


def mean_summary(runs: Sequence[Path]) -> pd.DataFrame:
    """Average the summaries of runs over their seeds.

    Args:
        runs: folders of one or more runs that `check_seeds` accepts.

    Returns:
        Rows like those of `summary.csv` (mean, low, high in dB), of the systems that all runs have.
    """
    keys = ["system", "split", "kind", "metric"]
    table = pd.concat([read_table(run / "summary.csv") for run in runs])
    groups = table.groupby(keys, sort=False)
    means = groups.agg(mean=("mean", "mean"), low=("low", "mean"), high=("high", "mean"), n=("n", "first"))
    means = widen(means, groups["mean"].std(), len(runs))
    return means[groups.size() == len(runs)].reset_index()


def mean_differences(scores: Sequence[pd.DataFrame], baseline: str, mixtures: pd.DataFrame) -> pd.DataFrame:
    """Average the differences between systems and a baseline over seeds, on the same mixtures.

    Args:
        scores: for each seed the rows of `mixtures.csv`.
        baseline: name of a system in each of them.
        mixtures: rows of `evaluation.csv`, whose speakers are resampled.

    Returns:
        Rows like those of `paired_differences` (dB), whose intervals cover other speakers and, with at least two seeds,
        other trainings; and the columns `deviation` (standard deviation of the seeds' means in dB; NaN for one seed),
        `speakers_db` and `seeds_db` (half the widths of the two parts of the interval in dB).
    """
    keys = ["system", "split", "kind", "metric"]
    averaged = pd.concat(scores).groupby([*LABELS, "system", "metric"], sort=False, as_index=False)["value"].mean()
    means = paired_differences(averaged, baseline, mixtures=mixtures).set_index(keys)
    of_seeds = pd.concat([paired_differences(each, baseline, mixtures=mixtures) for each in scores])
    deviation = of_seeds.groupby(keys)["mean"].std().reindex(means.index)
    widened = widen(means, deviation, len(scores))
    speakers_db = (means["high"] - means["low"]) / 2
    return widened.assign(deviation=deviation, speakers_db=speakers_db,
                          seeds_db=_half_width(deviation, len(scores))).reset_index()


def widen(means: pd.DataFrame, deviation: pd.Series, n_seeds: int) -> pd.DataFrame:
    """Add the part of the seeds to intervals.

    Args:
        means: columns `mean`, `low` and `high`, in dB.
        deviation: standard deviation between seeds for each row, in dB.
        n_seeds: number of seeds; the intervals of a single one stay as they are.

    Returns:
        The table with wider intervals.
    """
    half = _half_width(deviation, n_seeds)
    return means.assign(low=means["mean"] - np.hypot(means["mean"] - means["low"], half),
                        high=means["mean"] + np.hypot(means["high"] - means["mean"], half))


def _half_width(deviation: pd.Series, n_seeds: int) -> pd.Series:
    """Return half the width of Student's 95 % interval of a mean over seeds: 0 for one seed, which shows no spread."""
    if n_seeds == 1:
        return 0 * deviation.fillna(0)
    return stats.t.ppf(0.975, n_seeds - 1) * deviation / np.sqrt(n_seeds)

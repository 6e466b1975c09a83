"""Turn the decibels of many mixtures into means with 95 % intervals: of each system, or of how much better it is.

What goes in is the long table of `metrics.score_mixtures`; what comes out is Figure 6 of the article, in numbers.
"""

import itertools
import zlib

import numpy as np
import pandas as pd

from lab41_sce.evaluation.metrics import LABELS


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

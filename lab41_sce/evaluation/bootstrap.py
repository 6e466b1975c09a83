"""Scores of many mixtures become means with 95 % bootstrap intervals, and mean differences between systems.

    long table of `score_mixtures` -> one row per system, split, kind and metric (Figure 6 of the article)
"""

import itertools
import zlib

import numpy as np
import pandas as pd

from lab41_sce.evaluation.parallel_scoring import LABELS


def summarise(scores: pd.DataFrame, seed: int = 0, n_resamples: int = 2000,
              mixtures: pd.DataFrame | None = None) -> pd.DataFrame:
    """Average scores over mixtures, with 95 % percentile bootstrap intervals (Efron 1979).

    By default mixtures are resampled. The interval then covers other mixtures of the same speakers. With `mixtures`,
    the speakers of each split are resampled instead, women and men separately, and the interval covers other speakers.
    A mixture then counts as often as the product of how often each of its speakers was drawn ("pigeonhole bootstrap",
    Owen 2007).

    Kinds are merged over the order of their speakers: MF counts as FM. The kind "All" is the mean over ordered kinds,
    so the weight of a merged kind is its number of orderings: (FF + MM + 2 FM) / 4 for two speakers, for any number of
    mixtures. Kinds without mixtures have no weight. Systems with scores of the same mixtures share the resamples.

    A kind with one mixture has no interval, and neither has the kind All that contains it.

    Args:
        scores: table of `score_mixtures`, rows in any order; NaN scores are left out.
        seed: seed of the resamples, at least 0.
        n_resamples: number of bootstrap resamples.
        mixtures: evaluation set of these mixtures with the columns `mixture`, `split`, `kind`, `speaker_1` and so on,
            to resample speakers; None resamples mixtures.

    Returns:
        A table with the columns system, split, kind, metric, mean, low, high (dB; NaN without an interval) and n
        (number of mixtures).

    Raises:
        ValueError: if a system has two values of one metric for one mixture.
    """
    keys = ["system", "split", "metric"]
    # Sorted, so that the resamples do not depend on the order of scoring.
    scores = scores.dropna(subset="value").sort_values(["mixture", "kind"])
    if (repeated := scores.duplicated([*keys, "mixture", "kind"])).any():
        raise ValueError(f"each score must be given once, got this one again:\n{scores[repeated].iloc[0]}")
    scores["kind"] = ["".join(sorted(kind)) for kind in scores["kind"]]
    counts = None
    if mixtures is not None:  # the speakers of a split do not depend on those of another
        counts = pd.concat([draw_mixture_counts(of_split, seed, n_resamples)
                            for _, of_split in mixtures.groupby("split", sort=False)], axis=1)
    rows = []
    for (system, split, metric), group in scores.groupby(keys):
        table = {}
        for kind, part in group.groupby("kind"):
            values = part["value"].to_numpy()
            if counts is None:
                draws = resampled_means(values, kind, seed, n_resamples)
            else:
                draws = weighted_means(values, counts[part["mixture"]].to_numpy())
            table[kind] = values.mean(), draws, len(values)
        weights = [len(set(itertools.permutations(kind))) for kind in table]
        means, resamples, lengths = zip(*table.values(), strict=True)
        single = {kind for kind, length in zip(table, lengths, strict=True) if length == 1}
        table["All"] = np.average(means, weights=weights), np.average(resamples, 0, weights), sum(lengths)
        for kind, (mean, draws, n) in table.items():
            # All resamples of one mixture are equal, which shows nothing about other mixtures.
            no_interval = kind in single or kind == "All" and single
            ends = [np.nan, np.nan] if no_interval else np.nanpercentile(draws, [2.5, 97.5])
            rows.append((system, split, kind, metric, mean, *ends, n))
    return pd.DataFrame(rows, columns=["system", "split", "kind", "metric", "mean", "low", "high", "n"])


def paired_differences(scores: pd.DataFrame, baseline: str, seed: int = 0,
                       mixtures: pd.DataFrame | None = None) -> pd.DataFrame:
    """Average the differences between each system and a baseline on the same mixtures, with 95 % intervals.

    Some mixtures are harder than others for every system. Differences cancel that variation, so their intervals are
    narrower than those of the two means.

    Args:
        scores: as for `summarise`; a mixture that one of the two systems lacks, or scores NaN, is left out.
        baseline: name of a system in `scores`.
        seed: as for `summarise`.
        mixtures: as for `summarise`.

    Returns:
        A table like that of `summarise`, of the value minus the baseline's value (dB; positive is better), without rows
        of the baseline.

    Raises:
        ValueError: if the baseline has no scores, or a system has two values of one metric for one mixture.
    """
    is_baseline = scores["system"] == baseline
    if scores.loc[is_baseline, "value"].isna().all():
        systems = ", ".join(sorted(scores["system"].unique()))
        raise ValueError(f"the baseline '{baseline}' must have scores, got scores of: {systems}")
    same = [*LABELS, "metric"]
    paired = scores[~is_baseline].merge(scores.loc[is_baseline, [*same, "value"]], on=same, suffixes=("", "_baseline"))
    return summarise(paired.assign(value=paired["value"] - paired["value_baseline"]), seed, mixtures=mixtures)


def resampled_means(values: np.ndarray, kind: str, seed: int, n_resamples: int) -> np.ndarray:
    """Draw bootstrap means `[n_resamples]` of values `[n]`.

    Args:
        values: scores of the mixtures of one kind, dB.
        kind: each kind has its own random numbers; all systems share them.
        seed: seed of the resamples.
        n_resamples: number of means.

    Returns:
        Means of n values that were drawn with replacement.
    """
    generator = np.random.default_rng([seed, zlib.crc32(kind.encode())])
    return values[generator.integers(len(values), size=(n_resamples, len(values)))].mean(axis=1)


def draw_mixture_counts(mixtures: pd.DataFrame, seed: int, n_resamples: int) -> pd.DataFrame:
    """Resample speakers, women and men separately, and count how often each mixture occurs.

    Args:
        mixtures: evaluation set with the columns `mixture`, `kind`, `speaker_1`, `speaker_2` and so on.
        seed: seed of the resamples.
        n_resamples: number of resamples.

    Returns:
        Counts `[n_resamples, n]`, with one column for each mixture: the product of the counts of its speakers.
    """
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


def weighted_means(values: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Average values `[n]` with weights `[n_resamples, n]`: means `[n_resamples]`, NaN where all weights are 0."""
    totals = counts.sum(axis=1)
    return np.where(totals > 0, counts @ values / np.maximum(totals, 1), np.nan)

"""The scores of runs become verdicts on the quality of separation.

    mixtures.csv of a comparison    -> SCE against deep clustering
    mixtures.csv of an ablation     -> the value of the choices inside SCE
    mixtures.csv of a run in noise  -> robustness to noise
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from lab41_sce.article.claim import (
    AGAINST_DEEP_CLUSTERING,
    CHOICES,
    FAILS,
    HOLDS,
    NOISE,
    UNDECIDED,
    Claim,
    listed,
    too_few,
)
from lab41_sce.article.over_seeds import mean_differences
from lab41_sce.data.splits import base_split, split_snr_db
from lab41_sce.evaluation.bootstrap import paired_differences, summarise
from lab41_sce.evaluation.metrics import MAIN_METRIC
from lab41_sce.reporting.ordering import ordered_kinds, words
from lab41_sce.reporting.tables import ABSENT, Table, decibels, interval

# A variant differs from its baseline in one choice. The baseline is sce unless it is listed here.
BASELINES = {"sce_silence_counts": "sce_equal_weights"}


def judge_against_deep_clustering(scores: Sequence[pd.DataFrame], mixtures: pd.DataFrame,
                                  split: str = "unseen") -> Claim:
    """Judge the claim that SCE beats deep clustering on FF, FM and All, but not on MM.

    Args:
        scores: for each seed the rows of `mixtures.csv` of a run with the systems `sce` and `deep_clustering`.
        mixtures: rows of the `evaluation.csv` of these runs.
        split: split to judge by.

    Returns:
        The claim with its verdict.
    """
    compared = [table[(table["split"] == split) & (table["metric"] == MAIN_METRIC)
                      & table["system"].isin(["sce", "deep_clustering"])] for table in scores]
    rows = mean_differences(compared, "deep_clustering", mixtures).set_index("kind")
    gains = {kind: tuple(rows.loc[kind, ["mean", "low", "high"]]) for kind in ordered_kinds(rows.index)}
    better = {kind for kind, (_, low, _) in gains.items() if low > 0}
    worse = {kind for kind, (_, _, high) in gains.items() if high < 0}
    wanted, few = {"FF", "FM", "All"}, too_few(mixtures, split)
    if few:
        verdict = UNDECIDED
    elif wanted <= better and "MM" in gains and gains["MM"][0] <= 0:
        verdict = HOLDS
    elif wanted & worse or "MM" in better:
        verdict = FAILS
    else:
        verdict = UNDECIDED
    sides = [f"better on {listed(better)}" if better else "", f"worse on {listed(worse)}" if worse else ""]
    found = " and ".join(filter(None, sides)) or "neither better nor worse on any kind"
    reason = (f"On {split} speakers, SCE is {found}; better and worse mean that the interval of the difference "
              "excludes 0. The claim holds if SCE is better on FF, FM and All and its mean on MM is not above that of "
              "deep clustering. It does not hold if SCE is worse on one of FF, FM and All, or better on MM."
              f"{few} {_what_would_change(rows, mixtures[mixtures['split'] == split], len(scores))}")
    table = Table(["kind", f"{MAIN_METRIC} of SCE minus deep clustering (dB)", "± speakers", "± seeds", "n"],
                  [[kind, interval(gain, signed=True), decibels(rows.loc[kind, "speakers_db"]),
                    decibels(rows.loc[kind, "seeds_db"]) if len(scores) > 1 else ABSENT, f"{rows.loc[kind, 'n']:.0f}"]
                   for kind, gain in gains.items()])
    return Claim(AGAINST_DEEP_CLUSTERING, verdict, reason, table)


def _what_would_change(rows: pd.DataFrame, mixtures: pd.DataFrame, n_seeds: int) -> str:
    """Say what the intervals of `mean_differences`, by kind, rest on, and how much more data they would need."""
    speakers = {name for column in mixtures.filter(regex=r"^speaker_\d+$") for name in mixtures[column]}
    text = (f"The intervals rest on {len(speakers)} speakers and {n_seeds} {'seed' if n_seeds == 1 else 'seeds'}."
            + (" One seed does not show what another training would change." if n_seeds == 1 else ""))
    open_kinds = [kind for kind in ordered_kinds(rows.index) if rows.loc[kind, "low"] <= 0 <= rows.loc[kind, "high"]]
    if not open_kinds:
        return text
    needed = []
    for kind in open_kinds:
        mean, low, high = rows.loc[kind, ["mean", "low", "high"]]
        factor = np.inf if mean == 0 else ((mean - low if mean > 0 else high - mean) / mean) ** 2
        needed.append(f"{factor:.1f} times as many on {kind}" if factor < 100 else f"over 100 times as many on {kind}")
    return (f"{text} An interval shrinks with the root of their numbers. If the means stayed the same, the intervals "
            f"that include 0 would exclude it with {listed(needed)}.")


def judge_choices(scores: pd.DataFrame, mixtures: pd.DataFrame, descriptions: dict[str, str],
                  split: str = "unseen") -> Claim:
    """Judge by an ablation whether the choices inside SCE are better than their alternatives.

    Args:
        scores: rows of `mixtures.csv` of a run whose method is `sce` and whose other systems are its variants.
        mixtures: rows of its `evaluation.csv`.
        descriptions: description of `sce` and of each variant by name; other systems of the run are left out.
        split: split to judge by.

    Returns:
        The claim with its verdict.
    """
    scores = scores[(scores["split"] == split) & (scores["metric"] == MAIN_METRIC)
                    & scores["system"].isin(descriptions)]
    means = summarise(scores, mixtures=mixtures).query("kind == 'All'").set_index("system")
    differences = {baseline: paired_differences(scores, baseline, mixtures=mixtures) for baseline in
                   {"sce", *BASELINES.values()} & set(scores["system"])}
    differences = {baseline: rows.query("kind == 'All'").set_index("system") for baseline, rows in differences.items()}
    rows, better, worse = [], [], []
    for system, row in means.sort_values("mean", ascending=False).iterrows():
        baseline, cell = BASELINES.get(system, "sce"), ABSENT
        if system != "sce" and baseline in differences:
            gain = differences[baseline].loc[system]
            cell = interval(gain[["mean", "low", "high"]], signed=True)
            (better if gain["low"] > 0 else worse if gain["high"] < 0 else []).append(words(system))
        rows.append([words(system), descriptions[system], interval(row[["mean", "low", "high"]]), cell,
                     ABSENT if system == "sce" else words(baseline)])
    few, variants = too_few(mixtures, split), len(means.index.drop("sce", errors="ignore"))
    if few or not variants:
        verdict = UNDECIDED
    else:
        verdict = FAILS if better else HOLDS if len(worse) == variants else UNDECIDED
    unclear = variants - len(better) - len(worse)
    reason = " ".join(filter(None, [
        f"Better than the baseline: {listed(better)}." if better else "",
        f"Worse than the baseline: {listed(worse)}." if worse else "",
        f"Neither: {unclear} of {variants} variants (the interval includes 0)." if unclear else "",
        "The claim holds if there are variants and every variant is worse than its baseline. It does not hold if one "
        "variant is better. Each variant was trained once; another seed would also change the results."])) + few
    return Claim(CHOICES, verdict, reason,
                 Table(["variant", "description", f"{MAIN_METRIC} All (dB)", "difference (dB)", "baseline"], rows))


def judge_noise(scores: pd.DataFrame, mixtures: pd.DataFrame, trained_clean: str = "saved",
                split: str = "unseen") -> Claim:
    """Judge whether SCE separates in noise, and whether training with noise helps.

    Args:
        scores: rows of `mixtures.csv` of a run of `+exp=noisy` whose method is `sce`, with splits such as
            "unseen, SNR 5 dB".
        mixtures: rows of its `evaluation.csv`.
        trained_clean: name of the system that was trained without noise; the run may lack it.
        split: split to judge by, at all signal-to-noise ratios.

    Returns:
        The claim with its verdict.
    """
    def means_by_split(table: pd.DataFrame, system: str, metric: str = MAIN_METRIC) -> dict[str, tuple]:
        rows = table[(table["system"] == system) & (table["metric"] == metric) & (table["kind"] == "All")]
        return {row.split: (row.mean, row.low, row.high) for row in rows.itertuples()}

    scores = scores[(scores["split"].map(base_split) == split) & scores["metric"].isin([MAIN_METRIC, "SIRi"])]
    means = summarise(scores, mixtures=mixtures)
    sdri, siri = means_by_split(means, "sce"), means_by_split(means, "sce", "SIRi")
    clean, ideal, gains = means_by_split(means, trained_clean), means_by_split(means, "ideal_binary_mask"), {}
    if clean:
        gains = means_by_split(paired_differences(scores[scores["system"].isin(["sce", trained_clean])], trained_clean,
                                                  mixtures=mixtures), "sce")
    order = sorted(sdri, key=split_snr_db, reverse=True)
    heads = ["input SNR (dB)", f"{MAIN_METRIC}, trained with noise", f"{MAIN_METRIC}, trained without", "difference",
             "SIRi, trained with noise", f"{MAIN_METRIC}, ideal binary mask"]
    rows = []
    for noisy in order:
        cells = [interval(table[noisy]) if noisy in table else ABSENT for table in (sdri, clean)]
        cells += [interval(gains[noisy], signed=True) if noisy in gains else ABSENT]
        cells += [decibels(table[noisy][0]) if noisy in table else ABSENT for table in (siri, ideal)]
        rows.append([f"{split_snr_db(noisy):g}" if np.isfinite(split_snr_db(noisy)) else "no noise", *cells])
    in_noise = [noisy for noisy in order if np.isfinite(split_snr_db(noisy))]
    improved = [noisy for noisy in in_noise if sdri[noisy][1] > 0 and siri[noisy][1] > 0]
    worsened = [noisy for noisy in in_noise if sdri[noisy][2] < 0 or siri[noisy][2] < 0]
    helped = [noisy for noisy in in_noise if noisy in gains and gains[noisy][1] > 0]
    hurt = [noisy for noisy in in_noise if noisy in gains and gains[noisy][2] < 0]
    few = too_few(mixtures, *in_noise[:1])
    if few or not in_noise or not gains:
        verdict = UNDECIDED
    elif len(improved) == len(in_noise) and 2 * len(helped) > len(in_noise):
        verdict = HOLDS
    else:
        verdict = FAILS if worsened or 2 * len(hurt) > len(in_noise) else UNDECIDED
    missing = [f"{verb} at {number} more" for verb, number in (
        ("SCE improved both measures", len(in_noise) - len(improved)),
        ("training with noise were better", len(in_noise) // 2 + 1 - len(helped))) if number > 0 and in_noise]
    change = f"The claim would hold if, of these ratios, {listed(missing)}. " if missing else ""
    reason = (f"Trained with noise, SCE improves both the SDR and the SIR (the suppression of the other speaker) at "
              f"{len(improved)} of {len(in_noise)} signal-to-noise ratios, and makes one of them worse at "
              f"{len(worsened)}. Training with noise is better than training without noise at {len(helped)} ratios and "
              f"worse at {len(hurt)}. Only intervals that exclude 0 count here. The claim holds if SCE "
              "improves both measures at all ratios and training with noise is better at more than half of them. It "
              "does not hold if SCE makes a measure worse at any ratio, or training with noise is worse at more than "
              f"half of them. {change}Improvements are relative to the noisy mixture. The masks sum to one over the "
              f"speakers, so they distribute the noise over the voices and do not remove it.{few}")
    return Claim(NOISE, verdict, reason, Table(heads, rows))


def improvement_by_noise(scores: pd.DataFrame, mixtures: pd.DataFrame, system: str = "sce",
                         split: str = "unseen") -> Table:
    """Arrange the mean improvement by kind of noise and signal-to-noise ratio.

    Args:
        scores: rows of `mixtures.csv`.
        mixtures: rows of `evaluation.csv`, with the columns `noise` and `snr_db`.
        system: name of the system.
        split: split of the speech, at all signal-to-noise ratios.

    Returns:
        One row for each kind of noise and one column for each ratio; means in dB.
    """
    scores = scores[scores["split"].map(base_split) == split]
    rows = scores[(scores["system"] == system) & (scores["metric"] == MAIN_METRIC)].merge(
        mixtures[["mixture", "noise", "snr_db"]].dropna(), on="mixture")
    means = rows.pivot_table(values="value", index="noise", columns="snr_db", aggfunc="mean")
    means = means[sorted(means.columns, reverse=True)]
    return Table(["noise", *(f"{level:g} dB" for level in means.columns)],
                 [[words(kind), *map(decibels, values)] for kind, values in zip(means.index, means.to_numpy())])

"""Tables that runs have written become verdicts on what the article says (arXiv 1705.04662, and Lab41's article).

    differences.csv             -> SCE against deep clustering
    timing.csv                  -> the time of an update
    model.keras                 -> what the model knows of identities
    speakers.csv                -> whether similar voices have similar vectors
    differences.csv of ablation -> what the choices inside SCE are worth
    summary.csv of noisy        -> robustness to noise

A verdict is one of HOLDS, FAILS and UNTOLD, by a rule that the claim's text states; no rule looks at anything but the
numbers. Intervals are those of `metrics.py`: 95 %, over mixtures of these speakers, for this one training.
"""

from typing import NamedTuple

import numpy as np
import pandas as pd

from lab41_sce.figures import is_reference, ordered_kinds
from lab41_sce.tables import Table, decibels, words

HOLDS, FAILS, UNTOLD = "holds", "does not hold", "cannot be told"
METRIC = "SDRi"
ALMOST_HALF = 0.6  # of deep clustering's time, at most
SIGNIFICANT = 0.05
ARTICLE_BATCH, ARTICLE_UPDATES = 256, 92_000


class Claim(NamedTuple):
    """What is claimed, what was measured, and the verdict with its reason."""

    title: str
    verdict: str
    reason: str
    table: Table | None = None


def beats_deep_clustering(differences: pd.DataFrame, split: str = "unseen") -> Claim:
    """Judge "SCE beats deep clustering on FF, FM and All, not on MM".

    Args:
        differences: rows of `differences.csv` of a run whose method is SCE, `deep_clustering` among its systems.
        split: whose mixtures count.
    """
    rows = differences[(differences["system"] == "deep_clustering") & (differences["split"] == split)
                       & (differences["metric"] == METRIC)].set_index("kind")
    kinds = ordered_kinds(rows.index)
    gains = {kind: tuple(-rows.loc[kind, ["mean", "high", "low"]]) for kind in kinds}  # mean, low, high
    better = {kind for kind, (_, low, _) in gains.items() if low > 0}
    worse = {kind for kind, (_, _, high) in gains.items() if high < 0}
    wanted = {"FF", "FM", "All"}
    if wanted <= better and "MM" not in better:
        verdict = HOLDS
    elif wanted & worse or "MM" in better:
        verdict = FAILS
    else:
        verdict = UNTOLD
    clear = [f"better on {_listed(better)}" if better else "", f"worse on {_listed(worse)}" if worse else ""]
    clear = " and ".join(filter(None, clear)) or "neither better nor worse anywhere"
    reason = (f"Beyond its interval, SCE is {clear}. "
              "It holds if it is better on FF, FM and All but not on MM; it does not if it is worse on one of the "
              "three, or better on MM, too.")
    table = Table(["kind", "SCE less deep clustering", "n"],
                  [[kind, _interval(*gain, signed=True), f"{rows.loc[kind, 'n']:.0f}"] for kind, gain in gains.items()])
    return Claim("SCE separates better than deep clustering on FF, FM and All, but not on MM", verdict, reason, table)


def takes_half_the_time(timing: pd.DataFrame) -> Claim:
    """Judge "an update takes almost half the time of deep clustering's" by rows of `timing.csv`."""
    update = timing[timing["what"] == "update"].set_index("system")
    batch, ratio = int(update["batch"].iloc[0]), update.loc["sce", "seconds"] / update.loc["deep_clustering", "seconds"]
    rows = []
    for (what, batch_size, frames), case in timing.groupby(["what", "batch", "frames"], sort=False):
        times = case.drop_duplicates("system").set_index("system")
        if "sce" not in times.index or "deep_clustering" not in times.index:
            continue
        of_sce = times.loc["sce"]
        for system, other in times.drop(index="sce").iterrows():
            rows.append([what, f"{batch_size} x {frames}", words(system), f"{of_sce['seconds']:.4g}",
                         f"{other['seconds']:.4g}", f"{of_sce['seconds'] / other['seconds']:.2f}",
                         f"{of_sce['megabytes']:.0f}", f"{other['megabytes']:.0f}"])
    heads = ["what", "batch x frames", "against", "SCE (s)", "other (s)", "ratio", "SCE (MB)", "other (MB)"]
    verdict = UNTOLD if batch != ARTICLE_BATCH else HOLDS if ratio <= ALMOST_HALF else FAILS
    reason = (f"A whole update of SCE takes {ratio:.2f} of the time of one of deep clustering (low-rank form), at "
              f"batches of {batch}; it holds if that is at most {ALMOST_HALF} at the article's {ARTICLE_BATCH}. "
              "The losses alone differ more; the rest of the update is the network, which both share.")
    if batch != ARTICLE_BATCH:
        reason += " Measured at a smaller batch, it cannot be told."
    return Claim("An update takes almost half the time of one of deep clustering", verdict, reason, Table(heads, rows))


def growth_with_speakers(timing: pd.DataFrame) -> Table:
    """Lay out how the SCE loss grows with known speakers and drawn negatives, by rows of `timing.csv`."""
    rows = timing[timing["what"] == "loss by speakers and negatives"]
    cells = [[f"{row.speakers:,}", f"{row.negatives}", f"{row.batch} x {row.frames}", f"{row.seconds:.4g}",
              f"{row.megabytes:.0f}"] for row in rows.itertuples()]
    return Table(["known speakers", "negatives", "batch x frames", "seconds", "MB"], cells)


def knows_no_identity(model, speakers: list[str]) -> Claim:
    """Judge "identities are needed in training only" by looking into a saved model.

    Args:
        model: the `EmbeddingModel` that a run saved.
        speakers: ids of the P speakers that it was trained with.
    """
    count = len(speakers)
    known = [weight.path for weight in model.weights if count in weight.shape]
    network = model.network.count_params()
    others = model.count_params() - network
    told = [speaker for speaker in speakers if f'"{speaker}"' in str(model.get_config()).replace("'", '"')]
    verdict = FAILS if known or others or told else HOLDS
    reason = (f"Its one input is a waveform. Of its {model.count_params():,} parameters, {network:,} are those of "
              f"the network from {model.front_end.n_bins} bins to vectors of {model.network.output_shape[-1]} numbers; "
              f"{len(known)} of its {len(model.weights)} weights have a dimension of {count}, the number of speakers "
              f"in training, and its settings name {len(told)} of them. The speaker vectors stay with the training. It "
              "holds if there is no other parameter, no such dimension and no name.")
    table = Table(["weight", "shape", "numbers"],
                  [[weight.path, " x ".join(map(str, weight.shape)), f"{np.prod(weight.shape):,}"]
                   for weight in model.weights])
    return Claim("Identities are not needed to separate", verdict, reason, table)


def similar_voices_are_near(speakers: pd.DataFrame) -> Claim:
    """Judge "similar voices have similar vectors".

    Args:
        speakers: rows of `speakers.csv`: `speaker`, `sex`, `pitch_hz`, `vector_*`, `spectrum_*`.
    """
    from sklearn.decomposition import PCA
    from sklearn.metrics import roc_auc_score

    from lab41_sce.article import voices

    vectors = speakers.filter(like="vector_").to_numpy()
    sexes = speakers["sex"].to_numpy()
    cosines = voices.cosines(vectors)
    measures = {"median pitch": voices.pitch_distances(speakers["pitch_hz"].to_numpy()),
                "long-term spectrum": voices.spectrum_distances(speakers.filter(like="spectrum_").to_numpy())}
    rows, chances = [], {}
    for measure, distances in measures.items():
        for pairs, groups in (("all", None), ("of one sex", sexes)):
            correlation, chance = voices.mantel_test(cosines, distances, groups)
            chances.setdefault(pairs, []).append(chance if correlation > 0 else 1.0)
            rows.append([measure, pairs, f"{correlation:+.2f}", f"{chance:.4f}"])
    everyone, within = (max(chances[pairs]) < SIGNIFICANT for pairs in ("all", "of one sex"))
    verdict = HOLDS if everyone and within else UNTOLD if everyone or within else FAILS
    reason = (f"Spearman's correlation of the cosine of two of the {len(speakers)} speaker vectors with how near the "
              "voices are, and how likely one as high is by chance (permutation of speakers). It holds if all four are "
              f"positive with p < {SIGNIFICANT}: those over all pairs could come from the sexes alone; it does not if "
              "neither kind of pairs gives it.")
    if len(set(sexes)) > 1:
        area = roc_auc_score(sexes == "F", PCA(1).fit_transform(vectors)[:, 0])
        reason += (f" The first principal component of the vectors alone puts {100 * max(area, 1 - area):.0f} % of the "
                   "pairs of a woman and a man in the same order (50 % is chance).")
    return Claim("Similar voices have similar vectors", verdict, reason,
                 Table(["likeness of voices by", "pairs", "correlation", "p"], rows))


def choices_inside(differences: pd.DataFrame, summary: pd.DataFrame, about: dict[str, str],
                   split: str = "unseen") -> Claim:
    """Judge what the choices inside SCE are worth, by an ablation.

    Args:
        differences: rows of `differences.csv` of a run whose method is `sce` and whose others are its variants.
        summary: rows of its `summary.csv`.
        about: what each system is.
        split: whose mixtures count.
    """
    of_all = [table[(table["metric"] == METRIC) & (table["split"] == split) & (table["kind"] == "All")]
              .set_index("system") for table in (summary, differences)]
    rows, helps, hurts = [], [], []
    for system, row in of_all[0].sort_values("mean", ascending=False).iterrows():
        if is_reference(system):
            continue
        cell = "–"
        if system in of_all[1].index:
            gain = of_all[1].loc[system]
            cell = _interval(gain["mean"], gain["low"], gain["high"], signed=True)
            (helps if gain["low"] > 0 else hurts if gain["high"] < 0 else []).append(words(system))
        rows.append([words(system), about.get(system, ""), _interval(row["mean"], row["low"], row["high"]), cell])
    verdict = FAILS if helps else HOLDS
    reason = ((f"{_listed(helps).capitalize()} did better than the recipe, beyond the interval. " if helps else "")
              + (f"{_listed(hurts).capitalize()} did worse. " if hurts else "")
              + "All others cannot be told from it. It holds if no variant is better beyond its interval. Each was "
              "trained once; another seed moves a result, too.")
    return Claim("The recipe's choices inside SCE are the better ones", verdict, reason,
                 Table(["system", "what it is", f"{METRIC} All", "less sce"], rows))


def stands_noise(summary: pd.DataFrame, differences: pd.DataFrame, trained_clean: str = "saved") -> Claim:
    """Judge how SCE stands noise, and what training with noise is worth.

    Args:
        summary: rows of `summary.csv` of a run of `+exp=noisy` whose method is `sce`; splits such as
            "unseen, SNR 5 dB".
        differences: rows of its `differences.csv`.
        trained_clean: the system that was trained without noise; may be missing.
    """
    def of_all(table, system):
        rows = table[(table["system"] == system) & (table["metric"] == METRIC) & (table["kind"] == "All")]
        return {split: (row.mean, row.low, row.high) for split, row in zip(rows["split"], rows.itertuples())}

    noisy, clean, unlike = (of_all(*pair) for pair in ((summary, "sce"), (summary, trained_clean),
                                                       (differences, trained_clean)))
    unlike = {split: (-mean, -high, -low) for split, (mean, low, high) in unlike.items()}
    ideal = of_all(summary, "ideal_binary_mask")
    order = sorted(noisy, key=snr_db, reverse=True)
    heads = ["input SNR (dB)", "trained with noise", "trained without", "difference", "ideal binary mask"]
    rows = [[f"{snr_db(split):g}" if np.isfinite(snr_db(split)) else "no noise", _interval(*noisy[split]),
             _interval(*clean[split]) if split in clean else "–",
             _interval(*unlike[split], signed=True) if split in unlike else "–",
             decibels(ideal[split][0]) if split in ideal else "–"] for split in order]
    in_noise = [split for split in order if np.isfinite(snr_db(split))]
    separates = [split for split in in_noise if noisy[split][1] > 0]
    gains = [split for split in in_noise if split in unlike and unlike[split][1] > 0]
    verdict = (UNTOLD if not in_noise or not unlike else
               HOLDS if len(separates) == len(in_noise) and 2 * len(gains) > len(in_noise) else FAILS)
    reason = (f"Trained with noise, SCE improves the SDR at {len(separates)} of {len(in_noise)} ratios, beyond its "
              f"interval; that training beats the one without noise at {len(gains)} of them. It holds if SCE improves "
              "at all ratios and the training helps at more than half of them.")
    return Claim("SCE can stand noise if it is trained with it (left open by the article)", verdict, reason,
                 Table(heads, rows))


def snr_db(split: str) -> float:
    """Return the signal-to-noise ratio of a split such as "unseen, SNR 5 dB"; infinity without noise."""
    return float(split.rpartition("SNR ")[2].removesuffix(" dB")) if "SNR " in split else float("inf")


def _interval(mean: float, low: float, high: float, signed: bool = False) -> str:
    """Write a mean and its interval."""
    return "{} [{}, {}]".format(*(("+" if signed and round(value, 1) > 0 else "") + decibels(value)
                                  for value in (mean, low, high)))


def _listed(names) -> str:
    """Write names as a list of words."""
    names = ordered_kinds(names) if isinstance(names, set) else list(names)
    return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]])) if names else ""

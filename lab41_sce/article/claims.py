"""Tables that runs have written become verdicts on what the article says (arXiv 1705.04662, and Lab41's article).

    mixtures.csv                -> SCE against deep clustering
    timing.csv                  -> the time of an update
    model.keras                 -> what the model knows of identities
    speakers.csv                -> whether similar voices have similar vectors
    mixtures.csv of an ablation -> what the choices inside SCE are worth
    mixtures.csv with noise     -> robustness to noise

A verdict is one of HOLDS, FAILS and UNTOLD, by a rule that the claim's text states; no rule looks at anything but the
numbers. Intervals are those of `metrics.py` with speakers resampled: 95 %, over other speakers, for this one training.
"""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import pandas as pd
from sklearn.decomposition import PCA
from sklearn.metrics import roc_auc_score

from lab41_sce.article import original, voices
from lab41_sce.data.splits import base_split, split_snr_db
from lab41_sce.evaluation.bootstrap import paired_differences, summarise
from lab41_sce.reporting.figures import ordered_kinds
from lab41_sce.reporting.tables import ABSENT, ENOUGH, Table, decibels, words

HOLDS, FAILS, UNTOLD = "holds", "does not hold", "cannot be told"
METRIC = "SDRi"
ALMOST_HALF = 0.6  # of deep clustering's time, at most
SIGNIFICANT = 0.05
ENOUGH_SPEAKERS = 4  # of a sex
BASELINES = {"sce_silence_counts": "sce_equal_weights"}  # what a variant differs from in one thing, if it is not sce


class Claim(NamedTuple):
    """What is claimed, what was measured, and the verdict with its reason."""

    title: str
    verdict: str
    reason: str
    table: Table | None = None


def beats_deep_clustering(scores: pd.DataFrame, mixtures: pd.DataFrame, split: str = "unseen") -> Claim:
    """Judge "SCE beats deep clustering on FF, FM and All, not on MM".

    Args:
        scores: rows of `mixtures.csv` of a run with the systems `sce` and `deep_clustering`.
        mixtures: its `evaluation.csv`.
        split: whose mixtures count.
    """
    scores = scores[(scores["split"] == split) & (scores["metric"] == METRIC)]
    rows = paired_differences(scores[scores["system"].isin(["sce", "deep_clustering"])], "deep_clustering",
                              mixtures=mixtures).set_index("kind")
    gains = {kind: tuple(rows.loc[kind, ["mean", "low", "high"]]) for kind in ordered_kinds(rows.index)}
    better = {kind for kind, (_, low, _) in gains.items() if low > 0}
    worse = {kind for kind, (_, _, high) in gains.items() if high < 0}
    wanted, few = {"FF", "FM", "All"}, _too_few(mixtures, split)
    if few:
        verdict = UNTOLD
    elif wanted <= better and "MM" in gains and gains["MM"][0] <= 0:
        verdict = HOLDS
    elif wanted & worse or "MM" in better:
        verdict = FAILS
    else:
        verdict = UNTOLD
    sides = [f"better on {_listed(better)}" if better else "", f"worse on {_listed(worse)}" if worse else ""]
    clear = " and ".join(filter(None, sides)) or "neither better nor worse anywhere"
    reason = (f"On {split} speakers, beyond its interval, SCE is {clear}. The claim holds if it is better on FF, FM "
              "and All, and its mean on MM is not above deep clustering's; it does not if it is worse on one of the "
              "three, or better on MM, too." + few)
    table = Table(["kind", f"{METRIC} of SCE minus deep clustering (dB)", "n"],
                  [[kind, _interval(gain, signed=True), f"{rows.loc[kind, 'n']:.0f}"] for kind, gain in gains.items()])
    return Claim("SCE separates better than deep clustering on FF, FM and All, but not on MM", verdict, reason, table)


def takes_half_the_time(timing: pd.DataFrame, machine: str = "") -> Claim:
    """Judge "an update takes almost half the time of deep clustering's" by rows of `timing.csv` of some machine."""
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
                         f"{other['seconds']:.4g}", f"{of_sce['seconds'] / other['seconds']:.2g}",
                         f"{of_sce['megabytes']:.0f}", f"{other['megabytes']:.0f}"])
    losses = [row for row in rows if row[0] == "loss by batch"]
    heads = ["what", "batch x frames", "against", "SCE (s)", "other (s)", "ratio", "SCE (MB)", "other (MB)"]
    verdict = UNTOLD if batch != original.BATCH else HOLDS if ratio <= ALMOST_HALF else FAILS
    where = f"batches of {batch}" + (f", on {machine}" if machine else "")
    reason = (f"A whole update of SCE takes {ratio:.2f} of the time of one of deep clustering (low-rank form), at "
              f"{where}. The claim holds if it is {ALMOST_HALF} at most at {original.BATCH}, the article's.")
    if losses:
        reason += f" Of the losses alone, at batches x frames of {losses[-1][1]}, the ratio is {losses[-1][5]}."
    if batch != original.BATCH:
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
    settings = str(model.get_config()).replace("'", '"')
    told = [speaker for speaker in speakers if f'"{speaker}"' in settings]
    inputs = len(model.network.inputs)
    verdict = FAILS if others or told or inputs != 1 else HOLDS
    reason = (f"Between a waveform and its masks there is a network with {inputs} input, the spectrogram. Of the "
              f"model's {model.count_params():,} parameters, {network:,} are those of that network, from "
              f"{model.front_end.n_bins} bins to vectors of {model.network.output_shape[-1]} numbers; {len(known)} of "
              f"{len(model.weights)} weights have a dimension of {count}, the number of speakers in training (a "
              f"coincidence, if any), and the settings name {len(told)} of them. The speaker vectors stay with the "
              "training. The claim holds if there is one input, no other parameter and no name.")
    table = Table(["weight", "shape", "numbers"],
                  [[weight.path, " x ".join(map(str, weight.shape)), f"{np.prod(weight.shape):,}"]
                   for weight in model.weights])
    return Claim("Identities are not needed to separate", verdict, reason, table)


def similar_voices_are_near(speakers: pd.DataFrame) -> Claim:
    """Judge "similar voices have similar vectors".

    Args:
        speakers: rows of `speakers.csv`: `speaker`, `sex`, `pitch_hz`, `vector_*`, `spectrum_*`.
    """
    vectors = speakers.filter(like="vector_").to_numpy()
    sexes = speakers["sex"].to_numpy()
    cosines = voices.cosines(vectors)
    measures = {"median pitch": voices.pitch_distances(speakers["pitch_hz"].to_numpy()),
                "long-term spectrum": voices.spectrum_distances(speakers.filter(like="spectrum_").to_numpy())}
    rows, found = [], []
    for measure, distances in measures.items():
        for pairs, groups in (("all", None), ("of one sex", sexes)):
            try:
                correlation, chance = voices.mantel_test(cosines, distances, groups)
            except ValueError:  # too few pairs
                correlation, chance = float("nan"), 1.0
            found.append((correlation, chance))
            rows.append([measure, pairs, f"{correlation:+.2f}", f"{chance:.4f}"])
    clear = all(correlation > 0 and chance < SIGNIFICANT for correlation, chance in found)
    opposite = all(correlation < 0 and chance > 1 - SIGNIFICANT for correlation, chance in found)
    verdict = HOLDS if clear else FAILS if opposite else UNTOLD
    reason = (f"Spearman's correlation of the cosine of two of the {len(speakers)} speaker vectors (after the last "
              "update) with how near the voices are, and how likely one as high is by chance (permutation of "
              f"speakers). The claim holds if all four are positive with p < {SIGNIFICANT}: those over all pairs could "
              f"come from the sexes alone; it does not if all are negative with p > {1 - SIGNIFICANT}. Mind that a "
              "long-term spectrum also carries the microphone.")
    if len(set(sexes)) > 1:
        def order(sexes):
            area = roc_auc_score(sexes == "F", first)
            return max(area, 1 - area)

        first, rng = PCA(1).fit_transform(vectors)[:, 0], np.random.default_rng(0)
        by_chance = np.mean([order(rng.permutation(sexes)) for _ in range(200)])
        reason += (f" The first principal component of the vectors alone puts {100 * order(sexes):.1f} % of the pairs "
                   f"of a woman and a man in the same order; by chance it would be {100 * by_chance:.1f} %.")
    return Claim("Similar voices have similar vectors", verdict, reason,
                 Table(["likeness of voices by", "pairs", "correlation", "p"], rows))


def choices_inside(scores: pd.DataFrame, mixtures: pd.DataFrame, about: dict[str, str],
                   split: str = "unseen") -> Claim:
    """Judge what the choices inside SCE are worth, by an ablation.

    Args:
        scores: rows of `mixtures.csv` of a run whose method is `sce` and whose others are its variants.
        mixtures: its `evaluation.csv`.
        about: what each variant is; others in the run are left out.
        split: whose mixtures count.
    """
    scores = scores[(scores["split"] == split) & (scores["metric"] == METRIC) & scores["system"].isin(about)]
    means = summarise(scores, mixtures=mixtures).query("kind == 'All'").set_index("system")
    unlike = {baseline: paired_differences(scores, baseline, mixtures=mixtures) for baseline in
              {"sce", *BASELINES.values()} & set(scores["system"])}
    unlike = {baseline: rows.query("kind == 'All'").set_index("system") for baseline, rows in unlike.items()}
    rows, helps, hurts = [], [], []
    for system, row in means.sort_values("mean", ascending=False).iterrows():
        baseline, cell = BASELINES.get(system, "sce"), ABSENT
        if system != "sce" and baseline in unlike:
            gain = unlike[baseline].loc[system]
            cell = _interval(gain[["mean", "low", "high"]], signed=True)
            (helps if gain["low"] > 0 else hurts if gain["high"] < 0 else []).append(words(system))
        rows.append([words(system), about[system], _interval(row[["mean", "low", "high"]]), cell,
                     ABSENT if system == "sce" else words(baseline)])
    few, variants = _too_few(mixtures, split), len(means.index.drop("sce", errors="ignore"))
    verdict = UNTOLD if few or not variants else FAILS if helps else HOLDS if len(hurts) == variants else UNTOLD
    others = variants - len(helps) - len(hurts)
    reason = " ".join(filter(None, [
        f"Better beyond the interval: {_listed(helps)}." if helps else "",
        f"Worse beyond the interval: {_listed(hurts)}." if hurts else "",
        f"{others} of {variants} variants cannot be told from what they differ from." if others else "",
        "The claim holds if there are variants and each is worse, and does not if one is better. Each was trained "
        "once; another seed moves a result, too."])) + few
    return Claim("The recipe's choices inside SCE are the better ones", verdict, reason,
                 Table(["variant", "what it is", f"{METRIC} All (dB)", "difference (dB)", "to"], rows))


def stands_noise(scores: pd.DataFrame, mixtures: pd.DataFrame, trained_clean: str = "saved",
                 split: str = "unseen") -> Claim:
    """Judge how SCE stands noise, and what training with noise is worth.

    Args:
        scores: rows of `mixtures.csv` of a run of `+exp=noisy` whose method is `sce`; splits such as
            "unseen, SNR 5 dB".
        mixtures: its `evaluation.csv`.
        trained_clean: the system that was trained without noise; may be missing.
        split: whose mixtures count, at every ratio.
    """
    def of_all(table, system, metric=METRIC):
        rows = table[(table["system"] == system) & (table["metric"] == metric) & (table["kind"] == "All")]
        return {row.split: (row.mean, row.low, row.high) for row in rows.itertuples()}

    scores = scores[(scores["split"].map(base_split) == split) & scores["metric"].isin([METRIC, "SIRi"])]
    means = summarise(scores, mixtures=mixtures)
    noisy, others_gone = of_all(means, "sce"), of_all(means, "sce", "SIRi")
    clean, ideal, unlike = of_all(means, trained_clean), of_all(means, "ideal_binary_mask"), {}
    if clean:
        unlike = of_all(paired_differences(scores[scores["system"].isin(["sce", trained_clean])], trained_clean,
                                           mixtures=mixtures), "sce")
    order = sorted(noisy, key=split_snr_db, reverse=True)
    heads = ["input SNR (dB)", f"{METRIC}, trained with noise", f"{METRIC}, trained without", "difference",
             "SIRi, trained with noise", f"{METRIC}, ideal binary mask"]
    rows = []
    for ratio in order:
        cells = [_interval(table[ratio]) if ratio in table else ABSENT for table in (noisy, clean)]
        cells += [_interval(unlike[ratio], signed=True) if ratio in unlike else ABSENT]
        cells += [decibels(table[ratio][0]) if ratio in table else ABSENT for table in (others_gone, ideal)]
        rows.append([f"{split_snr_db(ratio):g}" if np.isfinite(split_snr_db(ratio)) else "no noise", *cells])
    in_noise = [ratio for ratio in order if np.isfinite(split_snr_db(ratio))]
    improved = [ratio for ratio in in_noise if noisy[ratio][1] > 0 and others_gone[ratio][1] > 0]
    worsened = [ratio for ratio in in_noise if noisy[ratio][2] < 0 or others_gone[ratio][2] < 0]
    gains = [ratio for ratio in in_noise if ratio in unlike and unlike[ratio][1] > 0]
    losses = [ratio for ratio in in_noise if ratio in unlike and unlike[ratio][2] < 0]
    few = _too_few(mixtures, *in_noise[:1])
    if few or not in_noise or not unlike:
        verdict = UNTOLD
    elif len(improved) == len(in_noise) and 2 * len(gains) > len(in_noise):
        verdict = HOLDS
    else:
        verdict = FAILS if worsened or 2 * len(losses) > len(in_noise) else UNTOLD
    reason = (f"Trained with noise, SCE improves both the SDR and the SIR (how much of the other speaker is gone) at "
              f"{len(improved)} of {len(in_noise)} ratios, beyond the intervals, and worsens one of them at "
              f"{len(worsened)}; that training beats the one without noise at {len(gains)}, and loses to it at "
              f"{len(losses)}. The claim holds if SCE improves both at all ratios and the training helps at more than "
              "half of them; it does not if SCE worsens one at any ratio, or the training hurts at more than half. "
              "Improvements are over the noisy mixture; masks that sum to one over the speakers share the noise out, "
              "they do not remove it." + few)
    return Claim("SCE separates in noise if it is trained with it (left open by the article)", verdict, reason,
                 Table(heads, rows))


def by_noise(scores: pd.DataFrame, mixtures: pd.DataFrame, system: str = "sce", split: str = "unseen") -> Table:
    """Lay out the improvement by kind of noise and ratio: plain means.

    Args:
        scores: rows of `mixtures.csv`.
        mixtures: rows of `evaluation.csv`, with the columns `noise` and `snr_db`.
        system: whose scores.
        split: whose mixtures.
    """
    scores = scores[scores["split"].map(base_split) == split]
    rows = scores[(scores["system"] == system) & (scores["metric"] == METRIC)].merge(
        mixtures[["mixture", "noise", "snr_db"]].dropna(), on="mixture")
    means = rows.pivot_table(values="value", index="noise", columns="snr_db", aggfunc="mean")
    means = means[sorted(means.columns, reverse=True)]
    return Table(["noise", *(f"{level:g} dB" for level in means.columns)],
                 [[words(kind), *map(decibels, values)] for kind, values in zip(means.index, means.to_numpy())])


def _too_few(mixtures: pd.DataFrame, split: str = "unseen") -> str:
    """Say what a split has too little of to be judged by; empty if it has enough."""
    mixtures = mixtures[mixtures["split"] == split]
    if mixtures.empty:
        return " There are no mixtures to judge by."
    by_kind = mixtures["kind"].map(sorted).map("".join).value_counts()
    columns = mixtures.filter(regex=r"^speaker_\d+$")
    by_sex = {sex: set() for sex in "".join(by_kind.index)}
    for place, column in enumerate(columns):
        for sex, names in mixtures[column].groupby(mixtures["kind"].str[place]):
            by_sex[sex] |= set(names)
    if by_kind.min() < ENOUGH:
        return f" Fewer than {ENOUGH} mixtures of a kind cannot tell."
    if min(map(len, by_sex.values())) < ENOUGH_SPEAKERS:
        return f" Fewer than {ENOUGH_SPEAKERS} speakers of a sex cannot tell."
    return ""


def _interval(values: Iterable[float], signed: bool = False) -> str:
    """Write a mean and the two ends of its interval."""
    return "{} [{}, {}]".format(*(("+" if signed and round(value, 1) > 0 else "") + decibels(value)
                                  for value in values))


def _listed(names) -> str:
    """Write names as a list of words."""
    names = ordered_kinds(names) if isinstance(names, set) else list(names)
    return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]])) if names else ""

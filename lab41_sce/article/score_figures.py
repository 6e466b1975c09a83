"""Scores become figures: Figure 6 of the article beside our scores, and the improvement in noise.

    summary.csv and figure6.csv -> improvement by kind of mixture
    summary.csv                 -> improvement over the signal-to-noise ratio
"""

from collections.abc import Mapping
from importlib import resources

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from lab41_sce.data.splits import base_split
from lab41_sce.evaluation.metrics import MAIN_METRIC
from lab41_sce.reporting.figures import COLOURS, new_figure, whiskers
from lab41_sce.reporting.ordering import figure_label

SYSTEMS = {"sce": COLOURS[0], "deep_clustering": COLOURS[1], "pit_cnn": COLOURS[2],  # of Figure 6
           "pit_temporal_cnn": COLOURS[3]}  # ours
KINDS = {"female_female": "FF", "male_male": "MM", "female_male": "FM", "all": "All"}  # columns of figure6.csv


def article_scores() -> pd.DataFrame:
    """Return the values of the article's Figure 6, as read off its bars.

    The figure is labelled SDR, but its authors' code computes the SDR improvement. The two are almost equal for
    mixtures at 0 dB.

    Returns:
        Table with the columns `system`, `kind` and `mean` (dB).
    """
    with resources.files("lab41_sce.article").joinpath("figure6.csv").open(encoding="utf-8") as file:
        table = pd.read_csv(file, comment="#").rename(columns={"method": "system"} | KINDS)
    return table.replace("source_contrastive_estimation", "sce").melt("system", var_name="kind", value_name="mean")


def beside_article(summary: pd.DataFrame, article: pd.DataFrame, split: str = "unseen", metric: str = MAIN_METRIC,
                   article_size: pd.DataFrame | None = None) -> Figure:
    """Draw the scores of a run by kind of mixture, with 95 % intervals, beside those of the article (Figure 6).

    Args:
        summary: rows of `summary.csv`, with the columns `system`, `split`, `kind`, `metric`, and `mean`, `low`, `high`
            in dB. Systems of the article that are missing here are left out.
        article: table of `article_scores`.
        split: split to draw.
        metric: metric to draw.
        article_size: rows of the `summary.csv` of a run with the article's sizes, to be drawn between the two.

    Returns:
        The figure.

    Raises:
        ValueError: if the summary contains no score of a system of the article.
    """
    rows = summary[(summary["split"] == split) & (summary["metric"] == metric)]
    systems = {system: colour for system, colour in SYSTEMS.items() if system in set(rows["system"])}
    kinds = [kind for kind in KINDS.values() if kind in set(rows["kind"])]
    if not systems or not kinds:
        raise ValueError(f"The summary has no {metric!r} in split {split!r} of any of {[*SYSTEMS]}; at least one is "
                         "needed.")
    larger = rows.iloc[:0] if article_size is None else article_size[
        (article_size["split"] == split) & (article_size["metric"] == metric)]
    sources = (("", rows, {}), (", article's size", larger, {"hatch": "...", "alpha": 0.6}),
               (", article", article, {"hatch": "////", "alpha": 0.25}))
    bars = [(system, *source) for system in systems for source in sources if system in set(source[1]["system"])]
    width = min(0.8 / len(bars), 0.2)
    figure = new_figure(height=3.2)
    panel = figure.subplots(subplot_kw={"axisbelow": True})
    for place, (system, which, table, style) in enumerate(bars):
        means = (table[table["system"] == system].drop_duplicates("kind", keep="last").set_index("kind")
                 .reindex(kinds))
        colour = systems[system]
        panel.bar(np.arange(len(kinds)) + (place - (len(bars) - 1) / 2) * width, means["mean"], width,
                  yerr=whiskers(means) if "low" in means else None, capsize=2, color=(colour, style.get("alpha", 1)),
                  edgecolor=colour if style else None, hatch=style.get("hatch"),
                  label=f"{figure_label(system)}{which}")
    panel.set_xticks(range(len(kinds)), kinds)
    panel.set(xlabel="Kind of mixture (F: woman, M: man)",
              ylabel=f"{metric} (dB), {figure_label(split)}\nwith 95 % intervals")
    panel.axhline(0, color="black", linewidth=0.8)
    panel.grid(axis="y", alpha=0.3)
    figure.legend(loc="outside upper center", ncols=len(systems), frameon=False)
    return figure


def improvement_by_snr(summary: pd.DataFrame, labels: Mapping[str, str], split: str = "unseen",
                       metric: str = MAIN_METRIC) -> Figure:
    """Draw the improvement over the signal-to-noise ratio of the mixtures.

    Args:
        summary: rows of `summary.csv`, of splits such as "unseen, SNR 5 dB"; only the kind "All" is drawn.
        labels: label of each curve by name of the system; systems that the summary lacks are left out.
        split: split of the speech to draw, at all ratios.
        metric: metric to draw.

    Returns:
        Figure with 95 % intervals; mixtures without noise are at the right.

    Raises:
        ValueError: if the summary contains no score at a signal-to-noise ratio.
    """
    rows = summary[(summary["metric"] == metric) & (summary["kind"] == "All") & summary["system"].isin([*labels])
                   & (summary["split"].map(base_split) == split)]
    ratios = rows["split"].str.extract(r"SNR (\S+) dB")[0].astype(float)
    if not ratios.notna().any():
        raise ValueError(f"The summary has no {metric!r} of {[*labels]} at any SNR; at least one is needed.")
    clean = ratios.max() + 5
    rows = rows.assign(ratio=ratios.fillna(clean)).sort_values("ratio")
    figure = new_figure(height=3.2)
    panel = figure.subplots()
    for (system, label), colour, marker in zip(labels.items(), COLOURS, "osD^", strict=False):
        own = rows[rows["system"] == system]
        if len(own):
            panel.errorbar(own["ratio"], own["mean"], whiskers(own), color=colour, marker=marker, capsize=3,
                           label=label)
    ticks = sorted(set(rows["ratio"]))
    panel.set_xticks(ticks, ["no noise" if tick == clean else f"{tick:g}" for tick in ticks])
    panel.set(xlabel="Signal-to-noise ratio of the mixture (dB)",
              ylabel=f"{metric} (dB), {figure_label(split)}\nwith 95 % intervals")
    panel.grid(alpha=0.3)
    figure.legend(loc="outside upper center", ncols=len(labels), frameon=False)
    return figure

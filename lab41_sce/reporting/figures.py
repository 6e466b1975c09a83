"""Turn a training history and a summary of scores into figures (`sound_figures.py` draws signals).

    history.csv (one row per validation) -> training curves
    summary.csv (one row per mean)       -> dots with 95 % intervals

Every figure is a `matplotlib.figure.Figure` on the Agg canvas: no window, no pyplot, no global state. Colours
are those of Okabe and Ito, which colour-blind readers tell apart; markers do so in grey print.
"""

from collections.abc import Iterable
from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from lab41_sce.atomic_write import write_whole
from lab41_sce.data.splits import base_split, split_snr_db
from lab41_sce.errors import UserError

DPI = 150
MONITOR = "validation_si_sdri_db"  # column of the history
RANGE_DB = 60  # of spectrograms

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
# Systems that do nothing or see the true sources: they frame the results and come last, in grey.
REFERENCES = ("unprocessed", "oracle_centroids", "ideal_binary_mask", "ideal_ratio_mask", "phase_sensitive_mask")
# How a system comes to its masks, by how its name begins: label, colour and marker. The last two take the rest.
FAMILIES = {
    ("sce", "deep_clustering", "attractor"): ("clusters vectors", "#0072B2", "o"),
    ("pit", "recurrent_mask"): ("network gives masks", "#D55E00", "s"),
    ("nmf",): ("factorises", "#009E73", "^"),
}
OTHER_FAMILY = ("other", "#CC79A7", "P")
REFERENCE_FAMILY = ("for reference", "#8c8c8c", "D")


def is_reference(system: str) -> bool:
    """Tell whether a system is a floor or a ceiling (`..._oracle_centroids` among them), not a separator."""
    return system.endswith(REFERENCES)


def ordered_systems(systems: Iterable[str]) -> list[str]:
    """Order systems for reading, each once: as they come, then the references from floor to ceiling."""

    def rank(system):
        return next((place for place, name in enumerate(REFERENCES, start=1) if system.endswith(name)), 0)

    return sorted(dict.fromkeys(systems), key=rank)


def ranked_systems(rows: pd.DataFrame) -> list[str]:
    """Order the systems in rows of a summary (of one split and metric): by their mean for All, then as above."""
    of_all = rows[rows["kind"] == "All"].sort_values("mean", ascending=False, kind="stable")
    return ordered_systems([*of_all["system"], *rows["system"]])


def ordered_kinds(kinds: Iterable[str]) -> list[str]:
    """Order kinds of mixture for reading, each once: FF, FM, MM and so on, then All."""
    return sorted(set(kinds), key=lambda kind: (kind == "All", len(kind), kind))


def ordered_splits(splits: Iterable[str]) -> list[str]:
    """Order splits for reading, each once: by name, those with noise last and from the cleanest on."""
    return sorted(set(splits), key=lambda split: (base_split(split), -split_snr_db(split)))


def training_curves(history: pd.DataFrame) -> Figure:
    """Draw losses and the validation SI-SDR improvement over minutes of training, with updates above.

    Args:
        history: rows of `history.csv`: `update`, `minutes`, `loss`, `validation_loss`,
            `validation_si_sdri_db[_KIND]` and `system`; of one system, any but the first two may lack or hold NaN.

    Returns:
        Figure with a panel for the losses, and one for the improvement if there is any. Of several systems, whose
            losses and updates cannot be compared, one panel with the improvement of each.

    Raises:
        ValueError: if `history` has no row.
    """
    if history.empty:
        raise ValueError("The history has no row, want one validation at least.")
    if "system" in history and history["system"].nunique() > 1:
        return _compared_curves(history)
    losses = {"loss": "training", "validation_loss": "validation"}
    kinds = ordered_kinds(name.removeprefix(f"{MONITOR}_") for name in history if name.startswith(f"{MONITOR}_"))
    improvements = {f"{MONITOR}_{kind}": kind for kind in kinds} | {MONITOR: "All"}
    curves = [("Loss", losses), ("Validation SI-SDR\nimprovement (dB)", improvements)]
    curves = [(label, columns) for label, columns in curves
              if any(column in history and history[column].notna().any() for column in columns)]

    figure = new_figure(height=0.7 + 2.1 * max(len(curves), 1))
    panels = figure.subplots(max(len(curves), 1), sharex=True, squeeze=False)[:, 0]
    for panel, (label, columns) in zip(panels, curves, strict=False):
        for index, (column, name) in enumerate(columns.items()):
            if column in history and history[column].notna().any():
                _curve(panel, history, column, index, label=name, linewidth=2 if name == "All" else 1.3,
                       linestyle="--" if column == "validation_loss" else "-",
                       **({"color": "black"} if name == "All" else {}))
        panel.set_ylabel(label)
        panel.grid(alpha=0.3)
        panel.legend(frameon=False, ncols=4)
    panels[-1].set_xlabel("Training time (minutes)")

    updates = panels[0].twiny()
    first, last = history["update"].min(), history["update"].max()
    ticks = MaxNLocator(5, integer=True).tick_values(first, last) if last > first else np.array([last])
    ticks = ticks[(ticks >= first) & (ticks <= last)]
    minutes = np.interp(ticks, history["update"], history["minutes"])
    updates.set_xticks(minutes, [f"{tick:,.0f}" for tick in ticks])
    updates.set_xlim(panels[0].get_xlim())
    updates.set_xlabel("Updates")
    return figure


def scores(summary: pd.DataFrame, metric: str = "SDRi") -> Figure:
    """Draw the mean of one metric for each system: a row of panels for each split, a panel for each kind of mixture.

    Args:
        summary: rows of `summary.csv`: `system`, `split`, `kind`, `metric`, and `mean`, `low`, `high` in dB.
        metric: which metric to draw.

    Returns:
        Figure with 95 % intervals as whiskers; in each row of panels the best system on top, references below a line.

    Raises:
        ValueError: if `summary` has no such metric.
    """
    rows = summary[summary["metric"] == metric]
    if rows.empty:
        raise ValueError(f"The summary has no metric {metric!r}, only {sorted(set(summary['metric']))}.")
    if metric.endswith("i") and not (rows["system"] == "unprocessed").all():
        rows = rows[rows["system"] != "unprocessed"]  # improves on itself by 0 dB, by definition
    splits, kinds = ordered_splits(rows["split"]), ordered_kinds(rows["kind"])
    systems = [ranked_systems(rows[rows["split"] == split]) for split in splits]
    heights = [len(names) + 1 for names in systems]

    figure = new_figure(height=0.9 + sum(0.35 + 0.19 * height for height in heights))
    panels = figure.subplots(len(splits), len(kinds), sharex=True, sharey="row", squeeze=False, height_ratios=heights)
    families = {}
    for line, split, names in zip(panels, splits, systems, strict=True):
        for panel, kind in zip(line, kinds, strict=True):
            cells = rows[(rows["split"] == split) & (rows["kind"] == kind)].drop_duplicates("system", keep="last")
            cells = cells.set_index("system").reindex(names)
            whiskers = np.maximum([cells["mean"] - cells["low"], cells["high"] - cells["mean"]], 0)
            for place, name in enumerate(names):
                family, colour, marker = _family(name)
                families[family] = panel.errorbar(
                    cells["mean"].iloc[place], place, xerr=whiskers[:, [place]], color=colour, marker=marker,
                    markersize=3.5, linestyle="none", elinewidth=1, capsize=3)  # caps overtop the markers
            panel.axvline(0, color="black", linewidth=0.8)
            n_separators = sum(not is_reference(name) for name in names)
            if 0 < n_separators < len(names):
                panel.axhline(n_separators - 0.5, color="black", linewidth=0.6, linestyle=":")
            panel.grid(alpha=0.3)
            panel.set_axisbelow(True)
            panel.xaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
            panel.set_title(kind, fontsize="medium")
            panel.tick_params(labelsize="small")
        line[0].set_yticks(range(len(names)), [name.replace("_", " ") for name in names])
        line[0].set_ylim(len(names) - 0.4, -0.6)  # the best on top
        line[0].set_ylabel(split, fontweight="bold", parse_math=False)
    figure.supxlabel(f"{metric} (dB) with 95 % intervals; F woman, M man", fontsize="medium")
    figure.legend(families.values(), families, loc="outside upper center", frameon=False, ncols=len(families))
    return figure


def new_figure(height: float) -> Figure:
    """Make an empty figure.

    Args:
        height: in inches.

    Returns:
        Figure as wide as a page of text, with a layout that keeps its parts apart.
    """
    figure = Figure(figsize=(7.2, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def save(figure: Figure, path: str | Path) -> None:
    """Write a figure to a file, whole or not at all.

    Args:
        figure: what to write.
        path: `.png` or `.svg` file in a folder that exists; replaced if it exists.

    Raises:
        UserError: if the name ends otherwise, or the file cannot be written.
    """
    path = Path(path)
    kind = path.suffix.lower().removeprefix(".")
    if kind not in ("png", "svg"):
        raise UserError(f"Cannot write a figure to {path.name!r}: end the name in .png or .svg.")
    metadata = {"Date": None} if kind == "svg" else None
    # Neither date nor random ids in an SVG: the same numbers give the same bytes.
    with matplotlib.rc_context({"svg.hashsalt": "lab41_sce"}):
        write_whole(path, lambda file: figure.savefig(file, format=kind, dpi=DPI, metadata=metadata))


def _compared_curves(history: pd.DataFrame) -> Figure:
    """Draw the validation SI-SDR improvement of several systems; they are named in the order of their last values."""
    last = history.dropna(subset=[MONITOR]).groupby("system")[MONITOR].last().sort_values(ascending=False)
    figure = new_figure(height=3.6)
    panel = figure.subplots()
    for index, system in enumerate(last.index):
        _curve(panel, history[history["system"] == system], MONITOR, index, label=system.replace("_", " "),
               linewidth=1.3, linestyle="-" if index < len(COLOURS) else "--")
    panel.set_ylabel("Validation SI-SDR improvement (dB)")
    panel.set_xlabel("Training time of each system (minutes)")
    panel.grid(alpha=0.3)
    figure.legend(loc="outside right upper", frameon=False)
    return figure


def _curve(panel, history: pd.DataFrame, column: str, index: int, **style) -> None:
    """Draw one column over minutes; the curve goes on over validations that did not measure it."""
    rows = history.dropna(subset=[column])
    style = {"color": COLOURS[index % len(COLOURS)]} | style
    panel.plot(rows["minutes"], rows[column], marker=MARKERS[index % len(MARKERS)], markersize=4,
               markevery=max(1, len(rows) // 12), **style)


def _family(system: str) -> tuple[str, str, str]:
    """Return label, colour and marker of the family of a system."""
    if is_reference(system):
        return REFERENCE_FAMILY
    return next((family for names, family in FAMILIES.items() if system.startswith(names)), OTHER_FAMILY)

"""A training history and a summary of scores become figures (`sound_figures.py` draws signals).

    history.csv (one row per validation) -> training curves
    summary.csv (one row per mean)       -> dots with 95 % intervals

Each figure is a `matplotlib.figure.Figure` on the Agg canvas, without a window, pyplot or global state. The colours are
those of Okabe and Ito, which colour-blind readers can distinguish. Markers distinguish the curves in grey print.
"""

from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from lab41_sce.atomic_write import write_whole
from lab41_sce.errors import UserError
from lab41_sce.evaluation.metrics import MAIN_METRIC
from lab41_sce.reporting.ordering import figure_label, is_reference, ordered_kinds, ordered_splits, ranked_systems
from lab41_sce.training.history import MONITOR

DPI = 150
RANGE_DB = 60  # between the darkest and the brightest level of a spectrogram

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
# Families of systems by the beginning of their names: label, colour and marker.
FAMILIES = {
    ("sce", "deep_clustering", "attractor"): ("clusters embeddings", "#0072B2", "o"),
    ("pit", "recurrent_mask"): ("network outputs masks", "#D55E00", "s"),
    ("nmf",): ("factorises spectrograms", "#009E73", "^"),
}
OTHER_FAMILY = ("other", "#CC79A7", "P")
REFERENCE_FAMILY = ("reference", "#8c8c8c", "D")


def training_curves(history: pd.DataFrame) -> Figure:
    """Draw losses and the validation SI-SDR improvement over minutes of training.

    Args:
        history: rows of `history.csv`, with the columns `update`, `minutes`, `loss`, `validation_loss`,
            `validation_si_sdri_db[_KIND]` and `system`. For a single system all columns but the first two are optional
            and may contain NaN.

    Returns:
        For one system a figure with a panel for the losses and one for the improvement, and the number of updates on
        the upper axis. For several systems a figure with one panel for the improvement of each, because their losses
        and updates cannot be compared.

    Raises:
        ValueError: if `history` has no row.
    """
    if history.empty:
        raise ValueError("The history has no row; it needs at least one validation.")
    if "system" in history and history["system"].nunique() > 1:
        return _compared_curves(history)
    losses = {"loss": "training", "validation_loss": "validation"}
    prefix = f"{MONITOR}_"
    kinds = ordered_kinds(name.removeprefix(prefix) for name in history if name.startswith(prefix))
    improvements = {f"{prefix}{kind}": kind for kind in kinds} | {MONITOR: "All"}
    curves = [("Loss", losses), ("Validation SI-SDR\nimprovement (dB)", improvements)]
    curves = [(label, columns) for label, columns in curves
              if any(column in history and history[column].notna().any() for column in columns)]

    figure = new_figure(height=0.7 + 2.1 * max(len(curves), 1))
    panels = figure.subplots(max(len(curves), 1), sharex=True, squeeze=False)[:, 0]
    for panel, (label, columns) in zip(panels, curves, strict=False):
        for index, (column, name) in enumerate(columns.items()):
            if column in history and history[column].notna().any():
                _curve(panel, history, column, index, label=figure_label(name), linewidth=2 if name == "All" else 1.3,
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


def scores(summary: pd.DataFrame, metric: str = MAIN_METRIC) -> Figure:
    """Draw the mean of one metric for each system, with one row of panels per split and one panel per kind of mixture.

    Args:
        summary: rows of `summary.csv`, with the columns `system`, `split`, `kind`, `metric`, and `mean`, `low`, `high`
            in dB.
        metric: name of the metric.

    Returns:
        Figure with 95 % intervals as whiskers. In each row of panels the best system is on top and the references are
        below a dotted line.

    Raises:
        ValueError: if `summary` does not contain the metric.
    """
    rows = summary[summary["metric"] == metric]
    if rows.empty:
        raise ValueError(f"The summary has no metric {metric!r}, only {sorted(set(summary['metric']))}.")
    if metric.endswith("i") and not (rows["system"] == "unprocessed").all():
        rows = rows[rows["system"] != "unprocessed"]  # its improvement is 0 dB by definition
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
            ends = whiskers(cells)
            for place, name in enumerate(names):
                family, colour, marker = _family(name)
                families[family] = panel.errorbar(
                    cells["mean"].iloc[place], place, xerr=ends[:, [place]], color=colour, marker=marker,
                    markersize=3.5, linestyle="none", elinewidth=1, capsize=3)  # wider than the markers
            panel.axvline(0, color="black", linewidth=0.8)
            n_separators = sum(not is_reference(name) for name in names)
            if 0 < n_separators < len(names):
                panel.axhline(n_separators - 0.5, color="black", linewidth=0.6, linestyle=":")
            panel.grid(alpha=0.3)
            panel.set_axisbelow(True)
            panel.xaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
            panel.set_title(figure_label(kind), fontsize="medium")
            panel.tick_params(labelsize="small")
        line[0].set_yticks(range(len(names)), [*map(figure_label, names)])
        line[0].set_ylim(len(names) - 0.4, -0.6)  # the best on top
        line[0].set_ylabel(split, fontweight="bold", parse_math=False)
    figure.supxlabel(f"{metric} (dB) with 95 % intervals; F: woman, M: man", fontsize="medium")
    figure.legend(families.values(), families, loc="outside upper center", frameon=False, ncols=len(families))
    return figure


def new_figure(height: float) -> Figure:
    """Create an empty figure on the Agg canvas.

    Args:
        height: height in inches.

    Returns:
        Figure with the width of a page of text and a layout without overlaps.
    """
    figure = Figure(figsize=(7.2, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def whiskers(rows: pd.DataFrame) -> np.ndarray:
    """Return the distances `[2, n]` from the means of a summary down to `low` and up to `high`, in dB."""
    return np.maximum([rows["mean"] - rows["low"], rows["high"] - rows["mean"]], 0)


def save(figure: Figure, path: str | Path) -> None:
    """Write a figure to a file, which is complete or not there at all.

    Args:
        figure: figure to write.
        path: `.png` or `.svg` file in an existing folder; an existing file is replaced.

    Raises:
        UserError: if the name has another suffix, or the file cannot be written.
    """
    path = Path(path)
    kind = path.suffix.lower().removeprefix(".")
    if kind not in ("png", "svg"):
        raise UserError(f"{path.name} is not a name for a figure; give a name that ends in .png or .svg.")
    metadata = {"Date": None} if kind == "svg" else None
    # No date and no random ids in an SVG, so that the same numbers give the same bytes.
    with matplotlib.rc_context({"svg.hashsalt": "lab41_sce"}):
        write_whole(path, lambda file: figure.savefig(file, format=kind, dpi=DPI, metadata=metadata))


def _compared_curves(history: pd.DataFrame) -> Figure:
    """Draw the validation SI-SDR improvement of several systems, in the legend by their last values."""
    last = history.dropna(subset=[MONITOR]).groupby("system")[MONITOR].last()
    last = last.sort_values(ascending=False)
    figure = new_figure(height=3.6)
    panel = figure.subplots()
    for index, system in enumerate(last.index):
        _curve(panel, history[history["system"] == system], MONITOR, index, label=figure_label(system),
               linewidth=1.3, linestyle="-" if index < len(COLOURS) else "--")
    panel.set_ylabel("Validation SI-SDR improvement (dB)")
    panel.set_xlabel("Training time of each system (minutes)")
    panel.grid(alpha=0.3)
    figure.legend(loc="outside right upper", frameon=False)
    return figure


def _curve(panel: Axes, history: pd.DataFrame, column: str, index: int, **style: Any) -> None:
    """Draw one column over minutes; the curve connects the rows that contain a value."""
    rows = history.dropna(subset=[column])
    style = {"color": COLOURS[index % len(COLOURS)]} | style
    panel.plot(rows["minutes"], rows[column], marker=MARKERS[index % len(MARKERS)], markersize=4,
               markevery=max(1, len(rows) // 12), **style)


def _family(system: str) -> tuple[str, str, str]:
    """Return label, colour and marker of the family that a system belongs to."""
    if is_reference(system):
        return REFERENCE_FAMILY
    return next((family for names, family in FAMILIES.items() if system.startswith(names)), OTHER_FAMILY)

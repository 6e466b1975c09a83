"""Turn signals, a training history and a summary of scores into figures.

    signals {name: [N]}                  -> spectrograms
    history.csv (one row per validation) -> training curves
    summary.csv (one row per mean)       -> bars with 95 % intervals

Every figure is a `matplotlib.figure.Figure` on the Agg canvas: no window, no pyplot, no global state. Colours
are those of Okabe and Ito, which colour-blind readers tell apart; markers and hatches do so in grey print.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from lab41_sce.errors import UserError
from lab41_sce.files import write_whole

DPI = 150
RANGE_DB = 60
WINDOW_SECONDS = 0.0512  # the article's STFT frame
# Bounds on what is computed, so that an hour of sound costs no more than a few minutes.
MAXIMUM_COLUMNS = 1200
MAXIMUM_FRAMES_PER_COLUMN = 8

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
# Systems that do nothing or see the true sources: they frame the results and come last, in greys.
REFERENCES = ("unprocessed", "true_centres", "ideal_binary_mask", "ideal_ratio_mask")
REFERENCE_STYLES = (("#e6e6e6", "////"), ("#bdbdbd", "...."), ("#8c8c8c", ""), ("#f7f7f7", "xxxx"))


def is_reference(system: str) -> bool:
    """Tell whether a system is a floor or a ceiling (`..._true_centres` among them), not a separator."""
    return system.endswith(REFERENCES)


def ordered_systems(systems: Iterable[str]) -> list[str]:
    """Order systems for reading, each once: as they come, then the references from floor to ceiling."""

    def rank(system):
        return next((place for place, name in enumerate(REFERENCES, start=1) if system.endswith(name)), 0)

    return sorted(dict.fromkeys(systems), key=rank)


def ordered_kinds(kinds: Iterable[str]) -> list[str]:
    """Order kinds of mixture for reading, each once: FF, FM, MM and so on, then All."""
    return sorted(set(kinds), key=lambda kind: (kind == "All", len(kind), kind))


def spectrograms(signals: Mapping[str, np.ndarray], sample_rate_hz: int, title: str | None = None) -> Figure:
    """Draw one spectrogram below the other, on one scale of levels.

    Args:
        signals: name and samples `[N]` of each panel, real; lengths may differ, silence is allowed.
        sample_rate_hz: rate of all signals.
        title: text above the panels.

    Returns:
        Figure with levels in dB relative to the loudest bin of all panels, over 60 dB. Its size follows
            from how many signals there are, not from their length.

    Raises:
        ValueError: if there is no signal, or one is not of shape `[N]`.
    """
    if not signals:
        raise ValueError("Got no signal to draw, want one at least.")
    for name, signal in signals.items():
        if np.ndim(signal) != 1:
            raise ValueError(f"Signal {name!r} has shape {np.shape(signal)}, want [N]: draw single channels.")
    powers = [_power(np.asarray(signal, np.float32), sample_rate_hz) for signal in signals.values()]
    loudest = max(power.max() for power in powers) or 1.0  # all silent: everything lies at the floor

    figure = _figure(height=0.7 + 1.2 * len(signals))
    panels = figure.subplots(len(signals), sharex=True, sharey=True, squeeze=False)[:, 0]
    for panel, (name, signal), power in zip(panels, signals.items(), powers, strict=True):
        level_db = 10 * np.log10(np.maximum(power / loudest, 10 ** (-RANGE_DB / 10)))
        seconds = max(len(signal), 1) / sample_rate_hz
        image = panel.imshow(level_db, origin="lower", aspect="auto", cmap="magma", vmin=-RANGE_DB, vmax=0,
                             extent=(0, seconds, 0, sample_rate_hz / 2000))
        panel.set_title(name, loc="left", fontsize="medium", parse_math=False)
    panels[-1].set_xlim(0, max(max(map(len, signals.values())), 1) / sample_rate_hz)
    panels[-1].set_xlabel("Time (s)")
    figure.supylabel("Frequency (kHz)", fontsize="medium")
    figure.colorbar(image, ax=list(panels), label="Level (dB re loudest)", aspect=12 * len(signals), pad=0.02)
    if title:
        figure.suptitle(title, parse_math=False)
    return figure


def training_curves(history: pd.DataFrame) -> Figure:
    """Draw losses and the validation SI-SDR improvement over minutes of training, with updates above.

    Args:
        history: rows of `history.csv`: `update`, `minutes`, `loss`, `validation_loss` and
            `validation_si_sdri_db[_KIND]`; any but the first two may lack or hold NaN.

    Returns:
        Figure with a panel for the losses, and one for the improvement if there is any.

    Raises:
        ValueError: if `history` has no row.
    """
    if history.empty:
        raise ValueError("The history has no row, want one validation at least.")
    losses = {"loss": "training", "validation_loss": "validation"}
    mean = "validation_si_sdri_db"
    kinds = ordered_kinds(name.removeprefix(f"{mean}_") for name in history if name.startswith(f"{mean}_"))
    improvements = {f"{mean}_{kind}": kind for kind in kinds} | {mean: "All"}
    curves = [("Loss", losses), ("Validation SI-SDR\nimprovement (dB)", improvements)]
    curves = [(label, columns) for label, columns in curves
              if any(column in history and history[column].notna().any() for column in columns)]

    figure = _figure(height=0.7 + 2.1 * max(len(curves), 1))
    panels = figure.subplots(max(len(curves), 1), sharex=True, squeeze=False)[:, 0]
    for panel, (label, columns) in zip(panels, curves, strict=False):
        for index, (column, name) in enumerate(columns.items()):
            if column not in history or history[column].isna().all():
                continue
            rows = history.dropna(subset=[column])  # a curve goes on over validations that did not measure it
            panel.plot(rows["minutes"], rows[column], label=name, linewidth=2 if name == "All" else 1.3,
                       color="black" if name == "All" else COLOURS[index % len(COLOURS)],
                       linestyle="--" if column == "validation_loss" else "-", markersize=4,
                       marker=MARKERS[index % len(MARKERS)], markevery=max(1, len(rows) // 12))
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
    """Draw the mean of one metric for each kind of mixture and system, a panel for each split.

    Args:
        summary: rows of `summary.csv`: `system`, `split`, `kind`, `metric`, and `mean`, `low`, `high` in dB.
        metric: which metric to draw.

    Returns:
        Figure with 95 % intervals as whiskers.

    Raises:
        ValueError: if `summary` has no such metric.
    """
    rows = summary[summary["metric"] == metric]
    if rows.empty:
        raise ValueError(f"The summary has no metric {metric!r}, only {sorted(set(summary['metric']))}.")
    if metric.endswith("i") and not (rows["system"] == "unprocessed").all():
        rows = rows[rows["system"] != "unprocessed"]  # improves on itself by 0 dB, by definition
    systems, kinds = ordered_systems(rows["system"]), ordered_kinds(rows["kind"])
    splits = list(dict.fromkeys(rows["split"]))
    references = [system for system in systems if is_reference(system)]
    width = 0.84 / len(systems)

    figure = _figure(height=0.9 + 2.0 * len(splits))
    panels = figure.subplots(len(splits), sharex=True, sharey=True, squeeze=False)[:, 0]
    for panel, split in zip(panels, splits, strict=True):
        for index, system in enumerate(systems):
            cells = rows[(rows["split"] == split) & (rows["system"] == system)]
            cells = cells.drop_duplicates("kind", keep="last").set_index("kind").reindex(kinds)
            if system in references:
                colour, hatch = REFERENCE_STYLES[references.index(system) % len(REFERENCE_STYLES)]
            else:
                colour, hatch = COLOURS[index % len(COLOURS)], ""
            whiskers = np.maximum([cells["mean"] - cells["low"], cells["high"] - cells["mean"]], 0)
            panel.bar(np.arange(len(kinds)) + (index - (len(systems) - 1) / 2) * width, cells["mean"], width,
                      yerr=whiskers, capsize=2, color=colour, hatch=hatch, edgecolor="black", linewidth=0.6,
                      error_kw={"elinewidth": 0.9}, label=system.replace("_", " "))
        panel.axhline(0, color="black", linewidth=0.8)
        panel.grid(axis="y", alpha=0.3)
        panel.set_axisbelow(True)
        panel.set_title(split, loc="left", fontsize="medium", parse_math=False)
        panel.set_ylabel(f"{metric} (dB)")
    panels[-1].set_xticks(np.arange(len(kinds)), kinds)
    panels[-1].set_xlabel("Kind of mixture (F woman, M man)")
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside upper center", frameon=False, ncols=4)
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
    # Neither date nor random ids in an SVG: the same figure gives the same bytes.
    with matplotlib.rc_context({"svg.hashsalt": "lab41_sce"}):
        write_whole(path, lambda file: figure.savefig(file, format=kind, dpi=DPI, metadata=metadata))


def _figure(height: float) -> Figure:
    """Make an empty figure as wide as a page of text, `height` inches high."""
    figure = Figure(figsize=(7.2, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def _power(signal: np.ndarray, sample_rate_hz: int) -> np.ndarray:
    """Turn samples [N] into power [F, columns], each column the mean of frames in its share of the time."""
    window = max(int(round(WINDOW_SECONDS * sample_rate_hz)), 2)
    frames = max(-(-len(signal) * 8 // window), 1)  # an eighth of a window apart, unless that makes too many
    group = min(-(-frames // MAXIMUM_COLUMNS), MAXIMUM_FRAMES_PER_COLUMN)
    columns = min(-(-frames // group), MAXIMUM_COLUMNS)
    centres = ((np.arange(columns * group) + 0.5) * len(signal) / (columns * group)).astype(int)
    padded = np.pad(signal, (window // 2, window))
    excerpts = np.lib.stride_tricks.sliding_window_view(padded, window)[centres]
    power = np.abs(np.fft.rfft(excerpts * np.hanning(window).astype(np.float32))) ** 2
    return power.reshape(columns, group, -1).mean(axis=1).T

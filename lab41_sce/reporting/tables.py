"""Turn the numbers of a run into tables of text, and those into Markdown and HTML.

    summary.csv                      -> scores
    differences.csv                  -> differences to the run's method
    config.yaml and systems.csv      -> systems: what each is, and what its training took
    a `Table`                        -> markdown, html

Both ways of writing show the very same cells.
"""

import itertools
from collections.abc import Mapping, Sequence
from html import escape
from typing import NamedTuple

import numpy as np
import pandas as pd

from lab41_sce.errors import UserError
from lab41_sce.reporting import figures

METRICS = ("SDRi", "SIRi", "SAR", "SI-SDRi")
ABSENT = "–"
ENOUGH = 10  # mixtures of a kind to judge by: the bootstrap interval of fewer is too narrow, that of one has no width
SUMMARY_COLUMNS = ("system", "split", "kind", "metric", "mean", "low", "high", "n")
TRAINING = {"parameters": "{:,.0f}", "updates": "{:,.0f}", "seconds_per_update": "{:.3g}", "minutes": "{:.1f}",
            "best_update": "{:,.0f}"}  # columns of systems.csv


class Table(NamedTuple):
    """Heads and rows of text; a column `system` holds names."""

    heads: list[str]
    rows: list[list[str]]


class Bold(str):
    """The text of a cell that is to stand out."""


def scores(summary: pd.DataFrame, metrics: Sequence[str] = METRICS) -> Table:
    """Lay a summary out: a row for each split and system, the best first, references last.

    Args:
        summary: rows of `summary.csv`, with the columns `SUMMARY_COLUMNS`; means and intervals in dB.
        metrics: the first is shown for each kind of mixture with its 95 % interval, and ranks the systems; the others
            for All, if the summary has them.

    Returns:
        Columns split, system, metrics, n.

    Raises:
        UserError: if the summary lacks a column or the first metric.
    """
    return _by_kind(summary, metrics)


def differences(paired: pd.DataFrame, metric: str = METRICS[0]) -> Table:
    """Lay the differences of separators to the run's method out, as `scores` does the scores.

    Args:
        paired: rows of `differences.csv`, with the columns `SUMMARY_COLUMNS`; references are left out.
        metric: the one to show.

    Returns:
        Columns split, system, metric by kind, n; bold where the 95 % interval of `ENOUGH` mixtures excludes 0.

    Raises:
        UserError: if the differences lack a column or the metric.
    """
    return _by_kind(paired[~paired["system"].map(figures.is_reference)], [metric], signed=True)


def systems(config: Mapping, trained: pd.DataFrame) -> Table:
    """Say what each system is, and what its training took.

    Args:
        config: of the run; `method` and `others` have a `name` each, and perhaps `about`.
        trained: rows of `systems.csv`; empty if there is none.

    Returns:
        Columns system, what it is, and those of `TRAINING`; no row if nothing is known of any system.
    """
    method, others = config.get("method") or {}, config.get("others") or {}
    about = {system["name"]: system.get("about") for system in (method, *others.values()) if "name" in system}
    numbers = trained.set_index("system").to_dict("index")
    rows = []
    for name in figures.ordered_systems([*about, *numbers]):
        values = [numbers.get(name, {}).get(column, np.nan) for column in TRAINING]
        cells = [shape.format(value) if np.isfinite(value) else ABSENT
                 for value, shape in zip(values, TRAINING.values(), strict=True)]
        rows.append([name, about.get(name) or ABSENT, *cells])
    known = any(cell != ABSENT for row in rows for cell in row[1:])
    heads = ["system", "what it is", "parameters", "updates", "seconds per update", "minutes", "best at update"]
    return Table(heads, rows if known else [])


def markdown(table: Table) -> str:
    """Write a table in GitHub's Markdown, aligned so that it also reads well in a terminal; no newline at the end."""
    named = [head == "system" for head in table.heads]
    lines = [table.heads, *([words(cell) if name else cell for cell, name in zip(row, named, strict=True)]
                            for row in table.rows)]
    lines = [[f"**{cell}**" if isinstance(cell, Bold) else cell.replace("|", "\\|") for cell in line] for line in lines]
    widths = [max(3, *map(len, column)) for column in zip(*lines, strict=True)]
    texts = [any(map(str.isalpha, "".join(cells))) for cells in zip(*lines[1:], strict=True)] or [True] * len(widths)
    rule = ["-" * width if text else "-" * (width - 1) + ":" for width, text in zip(widths, texts, strict=True)]
    justify = [str.ljust if text else str.rjust for text in texts]
    padded = [[put(cell, width) for put, cell, width in zip(justify, line, widths, strict=True)] for line in lines]
    return "\n".join(f"| {' | '.join(line)} |" for line in [padded[0], rule, *padded[1:]])


def html(table: Table) -> str:
    """Write a table in HTML; rows stand below their split, if the table has splits."""
    place = table.heads.index("system")
    columns = "".join(f'<th scope="col">{escape(head)}</th>' for head in table.heads[place:])
    text = f"<thead><tr>{columns}</tr></thead>"
    for splits, rows in itertools.groupby(table.rows, key=lambda row: row[:place]):
        text += "<tbody>"
        for split in splits:
            text += f'<tr><th scope="rowgroup" colspan="{len(table.heads) - place}">{escape(split)}</th></tr>'
        for system, *cells in (row[place:] for row in rows):
            style = ' class="reference"' if figures.is_reference(system) else ""
            columns = "".join(f"<td>{'<b>{}</b>' if isinstance(cell, Bold) else '{}'}</td>".format(escape(cell))
                              for cell in cells)
            text += f'<tr{style}><th scope="row">{escape(words(system))}</th>{columns}</tr>'
        text += "</tbody>"
    return f'<table class="{"by-split" if place else "systems"}">{text}</table>'


def words(name: str) -> str:
    """Turn an identifier into words."""
    return name.replace("_", " ")


def decibels(value: float) -> str:
    """Round to a tenth of a decibel, without the sign of a negative zero."""
    return f"{round(value, 1) + 0.0:.1f}"


def _by_kind(summary: pd.DataFrame, metrics: Sequence[str], signed: bool = False) -> Table:
    """Make a table of means; signed: those of differences, bold where the interval excludes 0."""
    missing = [column for column in SUMMARY_COLUMNS if column not in summary]
    if missing:
        raise UserError(f"The summary of scores lacks {', '.join(missing)}: evaluate the run again.")
    first, others = metrics[0], [metric for metric in metrics[1:] if metric in set(summary["metric"])]
    kinds = figures.ordered_kinds(summary.loc[summary["metric"] == first, "kind"])
    if not kinds:
        raise UserError(f"The summary of scores has no {first}: evaluate the run again.")
    columns = [*((first, kind) for kind in kinds), *((metric, "All") for metric in others)]
    means = {(row.split, row.system, row.metric, row.kind): row for row in summary.itertuples()}
    rows = []
    for split in figures.ordered_splits(summary["split"]):
        for system in figures.ranked_systems(summary[(summary["split"] == split) & (summary["metric"] == first)]):
            found = [means.get((split, system, *column)) for column in columns]
            cells = [_mean(row, place < len(kinds), signed) for place, row in enumerate(found)]
            of_all = means.get((split, system, first, "All"))
            rows.append([split, system, *cells, f"{of_all.n:.0f}" if of_all else ABSENT])
    return Table(["split", "system", *(f"{first} {kind}" for kind in kinds), *others, "n"], rows)


def _mean(row, with_interval: bool, signed: bool) -> str:
    """Turn a row of the summary into text such as `5.3 [4.9, 5.7]`, or signed `+5.3 [+4.9, +5.7]`."""
    if row is None or not np.isfinite(row.mean):
        return ABSENT
    mean, low, high = (f"{'+' if signed and round(value, 1) > 0 else ''}{decibels(value)}"
                       for value in (row.mean, row.low, row.high))
    if not (with_interval and np.isfinite([row.low, row.high]).all()):
        return mean
    text = f"{mean} [{low}, {high}]"
    return Bold(text) if signed and row.n >= ENOUGH and (row.low > 0 or row.high < 0) else text

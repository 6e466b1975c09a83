"""The numbers of a run become tables of text, in Markdown and in HTML.

    summary.csv                 -> scores
    differences.csv             -> differences from the run's method
    config.yaml, systems.csv    -> systems: a description of each, and its training in numbers
    a `Table`                   -> markdown, html (with the same cells)
"""

import itertools
import re
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from lab41_sce.errors import UserError
from lab41_sce.evaluation.definitions import PERCEPTUAL_METRICS, digits
from lab41_sce.evaluation.metrics import MAIN_METRIC
from lab41_sce.printable import printable
from lab41_sce.reporting.ordering import (
    is_reference,
    ordered_kinds,
    ordered_splits,
    ordered_systems,
    ranked_systems,
    words,
)

METRICS = (MAIN_METRIC, "SIRi", "SAR", "SI-SDRi", *PERCEPTUAL_METRICS)
ABSENT = "–"
MIN_MIXTURES = 10  # of a kind, for a conclusion: with fewer, bootstrap intervals are too narrow
SUMMARY_COLUMNS = ("system", "split", "kind", "metric", "mean", "low", "high", "n")
TRAINING_COLUMNS = {"parameters": "{:,.0f}", "updates": "{:,.0f}", "seconds_per_update": "{:.3g}", "minutes": "{:.1f}",
            "best_update": "{:,.0f}"}  # of systems.csv, with their formats


MARKDOWN = re.compile(r"[\\`*<>&|]|~~|\](?=[(\[:])|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])")
ENTITIES = {"<": "&lt;", ">": "&gt;", "&": "&amp;"}


LATEX = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "–": "--",
         "[": "{[}", "<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}"}


class Table(NamedTuple):
    """Heads and rows of text; the cells of a column `system` are names."""

    heads: list[str]
    rows: list[list[str]]


class Bold(str):
    """Text of a cell that is shown in bold."""


class Markup(str):
    """Text of a cell that is Markdown already."""


def scores(summary: pd.DataFrame, metrics: Sequence[str] = METRICS) -> Table:
    """Arrange a summary with one row for each split and system: the best system first, references last.

    Args:
        summary: rows of `summary.csv`, with the columns `SUMMARY_COLUMNS`; means and intervals in dB.
        metrics: the first one ranks the systems and is shown for each kind of mixture with its 95 % interval. The
            others are shown for All, if the summary contains them.

    Returns:
        Columns split, system, metrics, n.

    Raises:
        UserError: if the summary lacks a column or the first metric.
    """
    return _by_kind(summary, metrics)


def differences(paired: pd.DataFrame, metric: str = METRICS[0]) -> Table:
    """Arrange the differences between each system and the run's method, without references.

    Args:
        paired: rows of `differences.csv`, with the columns `SUMMARY_COLUMNS`, in dB.
        metric: name of the metric.

    Returns:
        Columns split, system, metric by kind, n. A cell is bold if its 95 % interval excludes 0 and it has at least
        `MIN_MIXTURES` mixtures.

    Raises:
        UserError: if the differences lack a column or the metric.
    """
    return _by_kind(paired[~paired["system"].map(is_reference)], [metric], signed=True)


def systems(config: Mapping, trained: pd.DataFrame) -> Table:
    """Describe each system and the length of its training.

    Args:
        config: settings of the run; `method` and each of `others` have a `name` and optionally `about`.
        trained: rows of `systems.csv`; empty if no system was trained.

    Returns:
        Columns system, description, and those of `TRAINING_COLUMNS`; no rows if all cells would be empty.
    """
    method, others = config.get("method") or {}, config.get("others") or {}
    about = {system["name"]: system.get("about") for system in (method, *others.values()) if "name" in system}
    numbers = trained.set_index("system").to_dict("index")
    rows = []
    for name in ordered_systems([*about, *numbers]):
        values = [numbers.get(name, {}).get(column, np.nan) for column in TRAINING_COLUMNS]
        cells = [shape.format(value) if np.isfinite(value) else ABSENT
                 for value, shape in zip(values, TRAINING_COLUMNS.values(), strict=True)]
        rows.append([name, about.get(name) or ABSENT, *cells])
    known = any(cell != ABSENT for row in rows for cell in row[1:])
    heads = ["system", "description", "parameters", "updates", "seconds per update", "minutes", "best at update"]
    return Table(heads, rows if known else [])


def markdown(table: Table) -> str:
    """Write a table in GitHub's Markdown, aligned for a terminal, without a newline at the end."""
    named = [head == "system" for head in table.heads]
    lines = [table.heads, *([words(cell) if name else cell for cell, name in zip(row, named, strict=True)]
                            for row in table.rows)]
    lines = [[_markdown_cell(cell) for cell in line] for line in lines]
    widths = [max(3, *map(len, column)) for column in zip(*lines, strict=True)]
    texts = [any(map(str.isalpha, "".join(cells))) for cells in zip(*lines[1:], strict=True)] or [True] * len(widths)
    rule = ["-" * width if text else "-" * (width - 1) + ":" for width, text in zip(widths, texts, strict=True)]
    justify = [str.ljust if text else str.rjust for text in texts]
    padded = [[put(cell, width) for put, cell, width in zip(justify, line, widths, strict=True)] for line in lines]
    return "\n".join(f"| {' | '.join(line)} |" for line in [padded[0], rule, *padded[1:]])


def _markdown_cell(cell: str) -> str:
    """Write a cell in Markdown."""
    if isinstance(cell, Markup):
        return cell.replace("|", "\\|")
    return f"**{escape_markdown(cell)}**" if isinstance(cell, Bold) else escape_markdown(cell)


def escape_markdown(text: str) -> str:
    """Write text so that Markdown shows it as it is, on one line; underscores between letters mean nothing there."""
    return MARKDOWN.sub(lambda found: ENTITIES.get(found[0], f"\\{found[0]}"), printable(text))


def markdown_code(text: str) -> str:
    """Write text as code in Markdown, between more backticks than it has in a row."""
    text = printable(text)
    fence = "`" * (1 + max((len(run) for run in re.findall("`+", text)), default=0))
    space = " " if "`" in text else ""
    return f"{fence}{space}{text}{space}{fence}"


def html(table: Table) -> str:
    """Write a table in HTML; if it has splits, each split is a heading above its rows."""
    place = table.heads.index("system")
    columns = "".join(f'<th scope="col">{escape(head)}</th>' for head in table.heads[place:])
    text = f"<thead><tr>{columns}</tr></thead>"
    for splits, rows in itertools.groupby(table.rows, key=lambda row: row[:place]):
        text += "<tbody>"
        for split in splits:
            text += f'<tr><th scope="rowgroup" colspan="{len(table.heads) - place}">{escape(split)}</th></tr>'
        for system, *cells in (row[place:] for row in rows):
            style = ' class="reference"' if is_reference(system) else ""
            columns = "".join(f"<td>{'<b>{}</b>' if isinstance(cell, Bold) else '{}'}</td>".format(escape(cell))
                              for cell in cells)
            text += f'<tr{style}><th scope="row">{escape(words(system))}</th>{columns}</tr>'
        text += "</tbody>"
    return f'<table class="{"by-split" if place else "systems"}">{text}</table>'


def latex(table: Table, caption: str) -> str:
    """Write a table in LaTeX, with its caption, without other packages; ends in a newline."""
    texts = [any(map(str.isalpha, "".join(cells))) for cells in zip(*table.rows, strict=True)]
    columns = "".join("l" if text else "r" for text in texts) or "l" * len(table.heads)
    head, *rows = (" & ".join(map(escape_latex, cells)) + r" \\" for cells in [table.heads, *table.rows])
    return "\n".join([r"\begin{table}", r"\centering", rf"\begin{{tabular}}{{{columns}}}", r"\hline", head, r"\hline",
                      *rows, r"\hline", r"\end{tabular}", rf"\caption{{{escape_latex(caption)}}}", r"\end{table}", ""])


def escape_latex(text: str) -> str:
    """Write text so that LaTeX shows it as it is."""
    return re.sub(r"[\\{}$&#%_~^<>|–\[]", lambda found: LATEX.get(found[0], f"\\{found[0]}"), printable(text))


def decibels(value: float) -> str:
    """Format a value to a tenth of a decibel, without the sign of a negative zero."""
    return f"{round(value, 1) + 0.0:.1f}"


def interval(values: Iterable[float], signed: bool = False) -> str:
    """Format a mean and the ends of its interval to a tenth: `5.3 [4.9, 5.7]`, or `5.3` if the ends are NaN or absent.

    Args:
        values: mean, low, high, in dB or percent.
        signed: whether values above 0 have a sign, as differences do: `+5.3 [+4.9, +5.7]`.
    """
    mean, *ends = [_signed(value) if signed else decibels(value) for value in values]
    return mean if not ends or "nan" in ends else f"{mean} [{', '.join(ends)}]"


def _signed(value: float) -> str:
    """Format a difference to a tenth of a decibel."""
    return ("+" if round(value, 1) > 0 else "") + decibels(value)


def _by_kind(summary: pd.DataFrame, metrics: Sequence[str], signed: bool = False) -> Table:
    """Arrange means by kind; with `signed` as differences, in bold if the interval excludes 0."""
    missing = [column for column in SUMMARY_COLUMNS if column not in summary]
    if missing:
        raise UserError(f"The summary of scores has no column {', '.join(missing)}; run the experiment again with "
                        "resume=true.")
    first, others = metrics[0], [metric for metric in metrics[1:] if metric in set(summary["metric"])]
    kinds = ordered_kinds(summary.loc[summary["metric"] == first, "kind"])
    if not kinds:
        raise UserError(f"The summary of scores has no metric {first}; run the experiment again with resume=true.")
    columns = [*((first, kind) for kind in kinds), *((metric, "All") for metric in others)]
    means = {(row.split, row.system, row.metric, row.kind): row for row in summary.itertuples()}
    rows = []
    for split in ordered_splits(summary["split"]):
        for system in ranked_systems(summary[(summary["split"] == split) & (summary["metric"] == first)]):
            found = [means.get((split, system, *column)) for column in columns]
            cells = [_mean(row, place < len(kinds), signed) for place, row in enumerate(found)]
            of_all = means.get((split, system, first, "All"))
            rows.append([split, system, *cells, f"{of_all.n:.0f}" if of_all else ABSENT])
    return Table(["split", "system", *(f"{first} {kind}" for kind in kinds), *others, "n"], rows)


def _mean(row: Any, with_interval: bool, signed: bool) -> str:
    """Format a row of the summary as `5.3 [4.9, 5.7]`, or with `signed` as `+5.3 [+4.9, +5.7]`."""
    if row is None or not np.isfinite(row.mean):
        return ABSENT
    if not (with_interval and np.isfinite([row.low, row.high]).all()):
        return _signed(row.mean) if signed else f"{round(row.mean, digits(row.metric)) + 0.0:.{digits(row.metric)}f}"
    text = interval((row.mean, row.low, row.high), signed)
    return Bold(text) if signed and row.n >= MIN_MIXTURES and (row.low > 0 or row.high < 0) else text

"""Tables of scores of separated voices in files become a report: summary, differences, Markdown and LaTeX.

    scores of one system or two -> summary.csv, differences.csv, not_scored.csv, table.md, table.tex
"""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from lab41_sce.atomic_write import make_folder, write_csv, write_text
from lab41_sce.evaluation.bootstrap import paired_differences, summarise
from lab41_sce.evaluation.definitions import caption, digits
from lab41_sce.evaluation.folder_means import METRICS_IN_ORDER, count_voices, read_scores
from lab41_sce.reporting import tables

COLUMNS = ["system", "metric", "mean", "low", "high", "n"]


class ScoredSystem(NamedTuple):
    """Hold the name of a system, its table, the names of the mixtures to score, and an error for each not scored."""

    name: str
    table: Path
    mixtures: list[str]
    errors: dict[str, str]

    @property
    def scored(self) -> set[str]:
        """Return the names of the mixtures that are scored."""
        return {*self.mixtures} - self.errors.keys()


def write_score_report(folder: Path, systems: Sequence[ScoredSystem]) -> None:
    """Write the report of one system, or of a system and its baseline.

    Args:
        folder: is made if necessary; files of an earlier report are replaced.
        systems: the system, and optionally the baseline, under another name.

    Raises:
        UserError: a file cannot be written.
    """
    make_folder(folder)
    names = [system.name for system in systems]
    scores = pd.concat([read_scores(system.table, name, system.scored)
                        for system, name in zip(systems, names, strict=True)])
    summary = _of_all(summarise(scores))
    metrics = [metric for metric in METRICS_IN_ORDER if metric in set(summary["metric"])]
    about = f"Means over n mixtures, with 95 % intervals. {caption(metrics)}"
    parts = [("Scores", _table(summary, metrics, names), about)]
    differences = pd.DataFrame(columns=COLUMNS)
    if set(names) == set(summary["system"]) and len(names) == 2:
        differences = _of_all(paired_differences(scores, names[1]))
        about = f"Mean score of {names[0]} minus that of {names[1]} on the same n mixtures, with 95 % intervals."
        parts.append((f"Differences from {names[1]}", _table(differences, metrics, names[:1], signed=True), about))
    notes = [note for system, name in zip(systems, names, strict=True) for note in _notes(system, name)]
    write_csv(summary, folder / "summary.csv")
    write_csv(differences, folder / "differences.csv")
    write_csv(pd.DataFrame([(name, *error) for system, name in zip(systems, names, strict=True)
                            for error in system.errors.items()], columns=["system", "mixture", "reason"]),
              folder / "not_scored.csv")
    texts = [f"### {title}\n\n{tables.markdown(table)}\n\n{about}\n" for title, table, about in parts]
    write_text(folder / "table.md", "\n".join([*texts, *(f"{tables.escape_markdown(note)}\n" for note in notes)]))
    captions = [" ".join([about, *notes]) for *_, about in parts]
    write_text(folder / "table.tex", "\n".join(tables.latex(table, text) for (_, table, _), text in
                                               zip(parts, captions, strict=True)))


def voices_sentence(system: ScoredSystem) -> str:
    """Count surplus and missing voices of a system in one sentence; an empty string if there are none."""
    counts = count_voices(system.table, system.scored)
    found = [f"{counted(counts[kind].sum(), f'{kind} voice')} in {counted((counts[kind] > 0).sum(), 'mixture')}"
             for kind in ("surplus", "missing") if counts[kind].any()]
    return f"{' and '.join(found)}: their best subset of voices and references is scored." if found else ""


def counted(number: int, noun: str) -> str:
    """Return a number with a noun, such as "1 voice" or "2 voices"."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _notes(system: ScoredSystem, name: str) -> list[str]:
    """Return sentences about the mixtures of a system that are not scored, and about its number of voices."""
    notes = []
    if system.errors:
        not_scored = ", ".join(system.errors)
        notes.append(f"{name}: {len(system.errors)} of {len(system.mixtures)} mixtures are not scored ({not_scored}).")
    if sentence := voices_sentence(system):
        notes.append(f"{name}: {sentence}")
    return notes


def _of_all(summary: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of all mixtures together, of a summary or of differences."""
    return summary.loc[summary["kind"] == "All", COLUMNS].reset_index(drop=True)


def _table(summary: pd.DataFrame, metrics: Sequence[str], systems: Sequence[str], signed: bool = False) -> tables.Table:
    """Arrange means and intervals: a row for each system and metric."""
    found = {(row.system, row.metric): row for row in summary.itertuples()}
    rows = []
    for system in systems:
        for metric in metrics:
            if row := found.get((system, metric)):
                mean, low, high = (_number(value, digits(metric), signed) for value in (row.mean, row.low, row.high))
                limits = f"[{low}, {high}]" if np.isfinite(row.low) else tables.ABSENT
                rows.append([system, metric, mean, limits, f"{row.n:.0f}"])
    return tables.Table(["system", "metric", "mean", "95 % interval", "n"], rows)


def _number(value: float, n_digits: int, signed: bool) -> str:
    """Format a number, without the sign of a negative zero."""
    value = round(value, n_digits) + 0.0
    return tables.ABSENT if not np.isfinite(value) else f"{value:{'+' if signed and value else ''}.{n_digits}f}"

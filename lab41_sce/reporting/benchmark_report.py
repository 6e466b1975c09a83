"""The summary and the paired differences of a benchmark set become `table.md` and `table.tex`.

    summary.csv, differences.csv -> a table of SI-SDRi by kind, one of SDRi, and the differences from the first system
    the same of recordings       -> a table of error rates and counts, and the differences from the first system
"""

from pathlib import Path
from typing import Any

import pandas as pd

from lab41_sce.atomic_write import write_text
from lab41_sce.evaluation import definitions
from lab41_sce.evaluation.folder_means import METRICS_IN_ORDER
from lab41_sce.reporting import tables
from lab41_sce.reporting.ordering import is_reference

MAIN_METRIC, SECOND_METRIC = "SI-SDRi", "SDRi"


def write_benchmark_report(folder: Path, summary: pd.DataFrame, differences: pd.DataFrame, baseline: str,
                           n_mixtures: int) -> str:
    """Write the tables in Markdown and in LaTeX.

    Args:
        folder: of the benchmark.
        summary: rows of `summary.csv`.
        differences: rows of `differences.csv`.
        baseline: the system from which the others differ.
        n_mixtures: number of mixtures of the set.

    Returns:
        The text of `table.md`.
    """
    shown = set(summary["metric"]) - {MAIN_METRIC, SECOND_METRIC, "SARi"}  # SARi is SAR minus a constant
    others = [metric for metric in METRICS_IN_ORDER if metric in shown]
    about = (f"Means over n of the {n_mixtures} mixtures, with 95 % intervals in brackets; All is the mean over all of "
             f"them. {definitions.caption({MAIN_METRIC, *others})}")
    parts = [("Scores", tables.scores(summary, (MAIN_METRIC, *others)), about)]
    if SECOND_METRIC in set(summary["metric"]):
        parts.append(("SDR", tables.scores(summary, (SECOND_METRIC,)), f"{SECOND_METRIC}, as above."))
    if not differences["system"].map(is_reference).all():  # references are not shown
        parts.append((f"Differences from {baseline}", tables.differences(differences, MAIN_METRIC),
                      f"Mean {MAIN_METRIC} of each system minus that of {baseline} on the same mixtures, in dB, with "
                      f"95 % intervals over mixtures. Bold: the interval excludes 0, and n is at least "
                      f"{tables.MIN_MIXTURES}."))
    text = "\n".join(f"### {tables.escape_markdown(title)}\n\n{tables.markdown(table)}\n\n"
                     f"{tables.escape_markdown(about)}\n" for title, table, about in parts)
    write_text(folder / "table.md", text)
    write_text(folder / "table.tex", "\n".join(tables.latex(table, about) for _, table, about in parts))
    return text


def write_recordings_report(folder: Path, summary: pd.DataFrame, differences: pd.DataFrame, baseline: str) -> str:
    """Write `table.md` and `table.tex` of recordings without true voices.

    Args:
        folder: of the benchmark.
        summary: second result of `recordings_benchmark.score_recordings`.
        differences: third result.
        baseline: the system from which the others differ.

    Returns:
        The text of `table.md`.
    """
    rates = ["system", "collar (s)", "DER (%)", "JER (%)"]
    rows = [[row.system, f"{row.collar_seconds:g}", _percent(row.der, row.low, row.high), _percent(row.jer),
             f"{row.right:.0f}", f"{row.within_one:.0f}", f"{row.n:.0f}"] for row in summary.itertuples()]
    parts = [("Recordings", tables.Table([*rates, "right count", "within one", "n"], rows),
              "Diarisation error rate (DER) of all speech of n recordings, overlapping speech included, with its 95 % "
              "interval over recordings; mean Jaccard error rate (JER). Nothing within the collar of a boundary of a "
              "true turn is scored. The number of speakers is counted by each system: how often it is right, and how "
              "often it differs by at most one.")]
    rows = [[row.system, f"{row.collar_seconds:g}", _difference(row), _percent(row.jer, signed=True), f"{row.n:.0f}"]
            for row in differences.itertuples()]
    if rows:
        parts.append((f"Differences from {baseline}", tables.Table([*rates, "n"], rows),
                      f"DER and JER of each system minus those of {baseline} on the same recordings, in percentage "
                      "points, with the 95 % interval of the DER over recordings; negative is better. Bold: the "
                      f"interval excludes 0, and n is at least {tables.MIN_MIXTURES}."))
    text = "\n".join(f"### {tables.escape_markdown(title)}\n\n{tables.markdown(table)}\n\n"
                     f"{tables.escape_markdown(about)}\n" for title, table, about in parts)
    write_text(folder / "table.md", text)
    write_text(folder / "table.tex", "\n".join(tables.latex(table, about) for _, table, about in parts))
    return text


def _percent(share: float, *ends: float, signed: bool = False) -> str:
    """Format a share in percent, with the ends of its interval if it has one."""
    return tables.interval([100 * value for value in (share, *ends)], signed)


def _difference(row: Any) -> str:
    """Format a row of `compare_turns`, in bold if its interval excludes 0 and it has enough recordings."""
    text = _percent(row.der, row.low, row.high, signed=True)
    return tables.Bold(text) if row.n >= tables.MIN_MIXTURES and (row.low > 0 or row.high < 0) else text

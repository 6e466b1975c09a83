"""The summary and the paired differences of a benchmark set become `table.md` and `table.tex`.

    summary.csv, differences.csv -> a table of SI-SDRi by kind, one of SDRi, and the differences from the first system
"""

from pathlib import Path

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
                      "95 % intervals over mixtures. Bold: the interval excludes 0."))
    text = "\n".join(f"### {tables.escape_markdown(title)}\n\n{tables.markdown(table)}\n\n"
                     f"{tables.escape_markdown(about)}\n" for title, table, about in parts)
    write_text(folder / "table.md", text)
    write_text(folder / "table.tex", "\n".join(tables.latex(table, about) for _, table, about in parts))
    return text

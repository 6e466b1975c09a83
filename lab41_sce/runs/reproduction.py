"""Compare the means of a run with expected means, each within its tolerance: the end of `make reproduce`.

    python -m lab41_sce.runs.reproduction runs/reproduce EXPECTED.csv [--write]

The same seed gives the same mixtures, so a system that is not trained scores the same to `UNTRAINED_DB` on every
machine. A trained system does not: another number of cores adds up in another order, and training amplifies rounding
errors.
"""

import sys
from collections.abc import Collection, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from lab41_sce.atomic_write import write_csv
from lab41_sce.command_line import Parser, command
from lab41_sce.errors import UserError, reason
from lab41_sce.runs.renamed_settings import renamed_systems

UNTRAINED_DB, TRAINED_DB = 0.05, 1.0  # tolerances of a mean over all mixtures
KEYS = ["system", "split", "kind", "metric"]
COLUMNS = [*KEYS, "mean", "tolerance"]
METRIC, KIND = "SDRi", "All"


def expectations(summary: pd.DataFrame, trained: Collection[str]) -> pd.DataFrame:
    """Make the expected means from those of a run.

    Args:
        summary: rows of `summary.csv`.
        trained: the systems that were trained in this run; "X_oracle_centroids" counts as X.

    Returns:
        A table with the `COLUMNS`; mean and tolerance in dB.

    Raises:
        UserError: the run has no such means, or one of them is no finite number.
    """
    chosen = summary[(summary["metric"] == METRIC) & (summary["kind"] == KIND)].sort_values(KEYS)
    if chosen.empty or not np.isfinite(chosen["mean"]).all():
        raise UserError(f"the run has no {METRIC} of the kind {KIND}, or one that is no finite number; give a finished "
                        "run.")
    learned = chosen["system"].str.removesuffix("_oracle_centroids").isin(trained)
    return chosen.assign(tolerance=learned.map({True: TRAINED_DB, False: UNTRAINED_DB}))[COLUMNS].round(3)


def differences(summary: pd.DataFrame, expected: pd.DataFrame) -> list[str]:
    """List the expected means that a run does not reproduce.

    Args:
        summary: rows of `summary.csv`.
        expected: table with the `COLUMNS`.

    Returns:
        One sentence for each difference.
    """
    found = summary.set_index(KEYS)["mean"]
    sentences = []
    for row in expected.to_dict("records"):
        name = f"{row['system']}, {row['split']}, {row['kind']}: {row['metric']}"
        mean = found.get(tuple(row[key] for key in KEYS))
        if mean is None:
            sentences.append(f"{name} is missing")
        elif not abs(mean - row["mean"]) <= row["tolerance"]:  # NaN differs, too
            sentences.append(f"{name} {mean:.2f} dB, expected {row['mean']:.2f} within {row['tolerance']:g}")
    return sentences


def _read(path: Path, columns: list[str]) -> pd.DataFrame:
    """Read a table that must have these columns, at least one row, and numbers as means and tolerances."""
    try:
        table = pd.read_csv(path, dtype={"mean": float, "tolerance": float})
    except (OSError, ValueError) as error:
        raise UserError(f"{path} cannot be read as a table ({reason(error)}); give a finished run, and its expected "
                        "means.") from None
    if missing := set(columns) - set(table):
        raise UserError(f"{path} lacks {', '.join(sorted(missing))}; it needs the columns {', '.join(columns)}.")
    if table.empty:
        raise UserError(f"{path} has no rows, so nothing can be compared; give a finished run, and its expected means.")
    return table.assign(system=renamed_systems(table["system"].astype(str)))


def _read_means(path: Path, columns: list[str]) -> pd.DataFrame:
    """Read a table of means, each of which must be there once."""
    table = _read(path, columns)
    if (twice := table.duplicated(KEYS)).any():
        raise UserError(f"{path} has more than one mean of {', '.join(map(str, table.loc[twice, KEYS].iloc[0]))}; "
                        "leave one of them.")
    return table


@command()
def main(arguments: Sequence[str] | None = None) -> int:
    """Print "reproduced" or "differs: ..."; return 1 where a mean differs or a file cannot be read, else 0."""
    parser = Parser(prog="python -m lab41_sce.runs.reproduction", description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path, help="folder of a finished run")
    parser.add_argument("expected", type=Path, help=f"CSV file with the columns {', '.join(COLUMNS)}")
    parser.add_argument("--write", action="store_true", help="make the expected means from those of the run")
    options = parser.parse_args(arguments)
    summary = _read_means(options.run / "summary.csv", [*KEYS, "mean"])
    if options.write:
        systems = _read(options.run / "systems.csv", ["system", "updates"]).dropna(subset="updates")["system"]
        write_csv(expectations(summary, set(systems)), options.expected)
        return 0
    expected = _read_means(options.expected, COLUMNS)
    if unusable := expected[~np.isfinite(expected[["mean", "tolerance"]]).all(axis=1)].to_dict("records"):
        raise UserError(f"{options.expected} has a mean or a tolerance that is no finite number (the first: system "
                        f"{unusable[0]['system']}, {unusable[0]['split']}); write the file again with --write.")
    if sentences := differences(summary, expected):
        print("differs: " + "; ".join(sentences))
        return 1
    print(f"reproduced: {len(expected)} means are as expected in {options.expected}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

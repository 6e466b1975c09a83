"""Compare a run's means with those that are expected, each within its tolerance: the end of `make reproduce`.

    python -m lab41_sce.runs.reproduction runs/reproduce results/comparisons/reproduce/expected.csv [--write]

The same seed gives the same mixtures, so a system that is not trained scores the same to `UNTRAINED_DB` on every
machine. A trained one does not: another number of cores adds up in another order, and training lets rounding grow.
"""

import argparse
import sys
from pathlib import Path

import pandas as pd

from lab41_sce.errors import UserError
from lab41_sce.runs import run_directory

UNTRAINED_DB, TRAINED_DB = 0.05, 1.0  # how far a mean over all mixtures may be from the expected one
KEYS = ["system", "split", "kind", "metric"]
COLUMNS = [*KEYS, "mean", "tolerance"]
METRIC, KIND = "SDRi", "All"


def expectations(summary: pd.DataFrame, trained: set[str]) -> pd.DataFrame:
    """Take a run's means over all mixtures as the expected ones.

    Args:
        summary: rows of `summary.csv`.
        trained: the systems whose vectors or masks were trained in this run; "X true centres" counts as X.

    Returns:
        A table with the `COLUMNS`; mean and tolerance in dB.
    """
    chosen = summary[(summary["metric"] == METRIC) & (summary["kind"] == KIND)].sort_values(KEYS)
    learned = chosen["system"].str.removesuffix("_oracle_centroids").isin(trained)
    return chosen.assign(tolerance=learned.map({True: TRAINED_DB, False: UNTRAINED_DB}))[COLUMNS].round(3)


def differences(summary: pd.DataFrame, expected: pd.DataFrame) -> list[str]:
    """List what is expected and not so, a sentence for each; empty if all is as expected."""
    found = summary.set_index(KEYS)["mean"]
    sentences = []
    for row in expected.itertuples():
        what = f"{row.system}, {row.split}, {row.kind}: {row.metric}"
        mean = found.get((row.system, row.split, row.kind, row.metric))
        if mean is None:
            sentences.append(f"{what} is missing")
        elif not abs(mean - row.mean) <= row.tolerance:  # NaN differs, too
            sentences.append(f"{what} {mean:.2f} dB, expected {row.mean:.2f} within {row.tolerance:g}")
    return sentences


def _read(path: Path, columns: list[str]) -> pd.DataFrame:
    """Read a table that must have these columns."""
    try:
        table = pd.read_csv(path)
    except (OSError, ValueError) as error:
        raise UserError(f"{path} cannot be read as a table ({error}): name a finished run, and its expectations.") \
            from None
    if missing := set(columns) - set(table):
        raise UserError(f"{path} lacks {', '.join(sorted(missing))}: it wants the columns {', '.join(columns)}.")
    return table


def main(arguments: list[str] | None = None) -> int:
    """Say "reproduced" or "differs: ..."; the exit status is 1 where it differs."""
    parser = argparse.ArgumentParser(prog="python -m lab41_sce.runs.reproduction", description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path, help="a finished run")
    parser.add_argument("expected", type=Path, help=f"a CSV with the columns {', '.join(COLUMNS)}")
    parser.add_argument("--write", action="store_true", help="take the run's means as the expected ones")
    options = parser.parse_args(arguments)
    try:
        summary = _read(options.run / "summary.csv", [*KEYS, "mean"])
        if options.write:
            systems = _read(options.run / "systems.csv", ["system", "updates"]).dropna(subset="updates")["system"]
            run_directory.write_csv(expectations(summary, set(systems)), options.expected)
            return 0
        expected = _read(options.expected, COLUMNS)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    if sentences := differences(summary, expected):
        print("differs: " + "; ".join(sentences))
        return 1
    print(f"reproduced: {len(expected)} means are as expected in {options.expected}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

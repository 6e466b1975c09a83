"""Run the benchmarks, each in a separate process, and write one table: `make bench`.

    python -m benchmarks RESULTS [--parts training separation ...] [--quick] [--before COMMIT [--repeats 3]]

`summary.csv` has the columns name, value, unit, reference, ratio. The reference is the same figure of an earlier
version (`--before`): of a `summary.csv`, or of a commit whose benchmarks run here, each directly before the present
one, because the speed of a machine changes within minutes. The ratio is value / reference. `table.md` holds the same
table, `machine.json` describes the machine and the versions. No other program should run meanwhile.
"""

import argparse
import contextlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from benchmarks.timing import COLUMNS, machine, markdown
from lab41_sce.atomic_write import write_text
from lab41_sce.runs.run_directory import write_csv

PARTS = ("training", "losses", "separation", "lengths", "corpus", "peers", "reference")
ROOT = Path(__file__).parents[1]


@contextlib.contextmanager
def checkout(commit: str) -> Iterator[Path]:
    """Check out a commit of this repository into a temporary folder."""
    with tempfile.TemporaryDirectory() as folder:
        git = ["git", "-C", str(ROOT), "worktree"]
        subprocess.run([*git, "add", "--quiet", "--detach", folder, commit], check=True)
        try:
            yield Path(folder)
        finally:
            subprocess.run([*git, "remove", "--force", folder], check=True)


def run_part(part: str, quick: bool, root: Path = ROOT) -> pd.DataFrame:
    """Run a benchmark of a checkout in a separate process; return its rows."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "part.csv"
        subprocess.run([sys.executable, "-m", f"benchmarks.{part}", out, *["--quick"] * quick], check=True, cwd=root,
                       env={**os.environ, "PYTHONPATH": str(root)})
        return pd.read_csv(out)


def merge(measured: list[pd.DataFrame], earlier: list[pd.DataFrame]) -> pd.DataFrame:
    """Return the median of each measurement, with reference and ratio."""
    table = pd.concat(measured).groupby(["name", "unit"], sort=False)["value"].median().reset_index()[COLUMNS]
    before = pd.concat(earlier).groupby("name")["value"].median() if earlier else pd.Series(dtype=float)
    table["reference"] = table["name"].map(before)
    table["ratio"] = (table["value"] / table["reference"]).round(3)
    return table


def write(results: Path, table: pd.DataFrame) -> str:
    """Replace the measured rows of `summary.csv`, write the other files; return the table as text."""
    if (results / "summary.csv").exists():
        old = pd.read_csv(results / "summary.csv")
        table = pd.concat([old[~old["name"].isin(table["name"])], table], ignore_index=True)
    results.mkdir(parents=True, exist_ok=True)
    write_csv(table, results / "summary.csv")
    write_text(results / "machine.json", json.dumps(machine(), indent=2) + "\n")
    text = markdown(table.dropna(axis="columns", how="all"))
    write_text(results / "table.md", text)
    return text


def main() -> None:
    """Run the benchmarks and write the table after each."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("results", type=Path, help="folder to write to")
    parser.add_argument("--parts", nargs="+", default=PARTS, choices=PARTS)
    parser.add_argument("--quick", action="store_true", help="one small case each: to check that they work")
    parser.add_argument("--before", help="commit, or summary.csv, to compare with")
    parser.add_argument("--repeats", type=int, default=1, help="runs of each benchmark, of which medians are taken")
    options = parser.parse_args()
    earlier, measured, text = [], [], ""
    with contextlib.ExitStack() as stack:
        old_root = None
        if options.before and Path(options.before).is_file():
            earlier.append(pd.read_csv(options.before))
        elif options.before:
            old_root = stack.enter_context(checkout(options.before))
        for part in options.parts * options.repeats:
            if old_root and (old_root / "benchmarks" / f"{part}.py").exists():
                earlier.append(run_part(part, options.quick, old_root))
            measured.append(run_part(part, options.quick))
            if "reference" in measured[-1]:  # measured beside each other by the part itself
                earlier.append(measured[-1].assign(value=measured[-1]["reference"]))
            text = write(options.results, merge(measured, earlier))
    print(text)


if __name__ == "__main__":
    main()

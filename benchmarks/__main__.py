"""Measure what training, separation, scoring and starting cost on this machine, and write one table: `make bench`.

    python tools/bench.py results/bench [--parts training separation corpus start] [--quick] [--before OLD [--turns 3]]

Each part is a script of its own, `bench_PART.py`, and runs in a process of its own. `summary.csv` has the columns
name, value, unit, reference, ratio: reference is the same figure of an earlier version (`--before`), ratio what the
value is of it. The earlier version is a `summary.csv`, or a checkout with such scripts of its own, each of which then
runs just before ours: a machine that is slower some minutes later says nothing of the code. `machine.json` describes
the machine and the versions. Nothing else should run meanwhile.
"""

import argparse
import json
import os
import platform
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

import pandas as pd

from lab41_sce.atomic_write import write_text
from lab41_sce.runs import run_directory

PARTS = ("training", "deterministic", "losses", "separation", "scoring", "corpus", "store", "start", "speakers",
         "peers")
MORE_PARTS = ("turns",)  # for `--before`
COLUMNS = ["name", "value", "unit"]


class Rows(list):
    """Collect measurements of a part, told as they come; `folder` is where it may leave further tables."""

    folder: Path | None = None

    def add(self, name: str, value: float, unit: str) -> None:
        """Append a row; four digits are more than a measurement knows."""
        self.append((name, float(f"{value:.4g}"), unit))
        print(f"{name}: {self[-1][1]:g} {unit}", file=sys.stderr, flush=True)


def part_main(measure) -> None:
    """Run a part's `measure(rows, quick)` from the command line, and write its rows."""
    parser = argparse.ArgumentParser()
    parser.add_argument("out", type=Path)
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    rows = Rows()
    rows.folder = options.out.parent
    measure(rows, options.quick)
    run_directory.write_csv(pd.DataFrame(rows, columns=COLUMNS), options.out)


def peak_megabytes() -> float:
    """Return the most memory that this process ever had; `getrusage` would tell of the one that started it, too."""
    return int(Path("/proc/self/status").read_text("utf-8").partition("VmHWM:")[2].split()[0]) / 1024


def machine() -> dict:
    """Describe the machine and the software."""
    lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines() if Path("/proc/cpuinfo").exists() else []
    processor = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")),
                     platform.processor())
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    command = shlex.join(["python", f"tools/{Path(sys.argv[0]).name}", *sys.argv[1:]])
    return {"processor": processor, "cores": os.cpu_count(), "memory_gb": round(memory, 1),
            **run_directory.versions(command)}


def measure_part(part: str, quick: bool, tools: Path = Path(__file__).parent) -> pd.DataFrame:
    """Run the script of a part, in a checkout whose `tools` these are, in a process of its own; return its rows."""
    environment = {**os.environ, "PYTHONPATH": str(tools.resolve().parent)}
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "part.csv"
        script = tools.resolve() / f"bench_{part}.py"
        subprocess.run([sys.executable, script, out, *["--quick"] * quick], check=True, env=environment,
                       cwd=tools.resolve().parent)  # where `python -m` looks for the package first
        return pd.read_csv(out)


def write(results: Path, tables: list[pd.DataFrame], earlier: list[pd.DataFrame]) -> str:
    """Write what has been measured so far, medians where more than once, among the rows that are there; return it."""
    table = pd.concat(tables).groupby(["name", "unit"], sort=False)["value"].median().reset_index()[COLUMNS]
    before = pd.concat(earlier).groupby("name")["value"].median() if earlier else pd.Series(dtype=float)
    table["reference"] = table["name"].map(before)
    table["ratio"] = (table["value"] / table["reference"]).round(3)
    if (results / "summary.csv").exists():
        old = pd.read_csv(results / "summary.csv")
        table = pd.concat([old[~old["name"].isin(table["name"])], table], ignore_index=True)
    results.mkdir(parents=True, exist_ok=True)
    run_directory.write_csv(table, results / "summary.csv")
    write_text(results / "machine.json", json.dumps(machine(), indent=2) + "\n")
    shown = table.dropna(axis="columns", how="all").astype(object).fillna("")
    lines = [shown.columns, ["---", "--:", "---", "--:", "--:"][: len(shown.columns)], *shown.to_numpy().tolist()]
    text = "".join(f"| {' | '.join(f'{cell:g}' if isinstance(cell, float) else str(cell) for cell in line)} |\n"
                   for line in lines)
    write_text(results / "table.md", text)
    return text


def main():
    """Measure part after part, and write after each."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("results", type=Path, help="folder to write to")
    parser.add_argument("--parts", nargs="+", default=PARTS, choices=(*PARTS, *MORE_PARTS))
    parser.add_argument("--quick", action="store_true", help="small cases, once: to see that it works")
    parser.add_argument("--before", type=Path, help="an earlier summary.csv to compare with, or an earlier checkout")
    parser.add_argument("--turns", type=int, default=1, help="measure so often, and take medians")
    options = parser.parse_args()
    earlier, tables, text = [], [], ""
    if options.before and options.before.is_file():
        earlier.append(pd.read_csv(options.before))
    for part in options.parts * options.turns:
        if options.before and (options.before / "tools" / f"bench_{part}.py").exists():
            earlier.append(measure_part(part, options.quick, options.before / "tools"))
        tables.append(measure_part(part, options.quick))
        text = write(options.results, tables, earlier)
    print(text)


if __name__ == "__main__":
    main()

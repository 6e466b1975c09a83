"""Helpers of all benchmarks: rows of measurements, times, peak memory, tables, the description of the machine."""

import argparse
import os
import platform
import shlex
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd

from lab41_sce.runs.run_directory import write_csv
from lab41_sce.runs.versions import versions

COLUMNS = ["name", "value", "unit"]


class Rows(list):
    """Measurements of one benchmark.

    Args:
        folder: of the table of the rows, for further files.
    """

    def __init__(self, folder: Path):
        super().__init__()
        self.folder = folder

    def add(self, name: str, value: float, unit: str) -> None:
        """Append and print a row with four digits."""
        self.append((name, float(f"{value:.4g}"), unit))
        print(f"{name}: {self[-1][1]:g} {unit}", file=sys.stderr, flush=True)


def part_main(measure: Callable[..., None], parser: argparse.ArgumentParser | None = None) -> None:
    """Run the `measure(rows, quick)` of a benchmark from the command line: OUT.csv [--quick].

    Args:
        measure: adds the rows; it receives the further options of the parser, too, by their names.
        parser: of further options.
    """
    parser = parser or argparse.ArgumentParser()
    parser.add_argument("out", type=Path)
    parser.add_argument("--quick", action="store_true", help="one small case, to check that the benchmark works")
    options = vars(parser.parse_args())
    out = options.pop("out")
    rows = Rows(out.parent)
    measure(rows, **options)
    write_csv(pd.DataFrame(rows, columns=COLUMNS), out)


def seconds(call: Callable[..., Any], *arguments: Any) -> float:
    """Return the duration of one call in seconds."""
    start = time.perf_counter()
    call(*arguments)
    return time.perf_counter() - start


def peak_megabytes() -> float:
    """Return the peak memory of this process (`getrusage` would include that of its parent)."""
    return int(Path("/proc/self/status").read_text("utf-8").partition("VmHWM:")[2].split()[0]) / 1024


def markdown(table: pd.DataFrame, digits: str = "g") -> str:
    """Format a table in Markdown; `digits` is the format of its floats."""
    cells = [[format(cell, digits) if isinstance(cell, float) else str(cell) for cell in row]
             for row in table.astype(object).fillna("").to_numpy()]
    numeric = [pd.api.types.is_numeric_dtype(kind) for kind in table.dtypes]
    lines = [[*table.columns], ["--:" if number else "---" for number in numeric], *cells]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def machine() -> dict:
    """Describe the machine and the software."""
    lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines() if Path("/proc/cpuinfo").exists() else []
    processor = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")),
                     platform.processor())
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    program = Path(sys.argv[0])
    command = shlex.join(["python", "-m", f"{program.parent.name}.{program.stem}", *sys.argv[1:]])
    return {"processor": processor, "memory_gb": round(memory, 1), **versions(command.replace(".__main__", ""))}

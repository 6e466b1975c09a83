"""Helpers of all benchmarks: rows of measurements, times, peak memory, the description of the machine."""

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
from hydra import compose, initialize_config_dir

from lab41_sce.runs import run_directory
from lab41_sce.runs.config_schema import CONFIG_PATH

COLUMNS = ["name", "value", "unit"]


class Rows(list):
    """Measurements of one benchmark.

    Args:
        folder: for further tables; None: the benchmark writes none.
    """

    def __init__(self, folder: Path | None = None):
        super().__init__()
        self.folder = folder

    def add(self, name: str, value: float, unit: str) -> None:
        """Append and print a row; four digits are more than a measurement is accurate to."""
        self.append((name, float(f"{value:.4g}"), unit))
        print(f"{name}: {self[-1][1]:g} {unit}", file=sys.stderr, flush=True)


def part_main(measure: Callable[[Rows, bool], None]) -> None:
    """Run the `measure(rows, quick)` of a benchmark from the command line: OUT.csv [--quick]."""
    parser = argparse.ArgumentParser()
    parser.add_argument("out", type=Path)
    parser.add_argument("--quick", action="store_true", help="one small case: to check that the benchmark works")
    options = parser.parse_args()
    rows = Rows(options.out.parent)
    measure(rows, options.quick)
    run_directory.write_csv(pd.DataFrame(rows, columns=COLUMNS), options.out)


def seconds(call: Callable[..., Any], *arguments: Any) -> float:
    """Return the duration of one call in seconds."""
    start = time.perf_counter()
    call(*arguments)
    return time.perf_counter() - start


def peak_megabytes() -> float:
    """Return the peak memory of this process (`getrusage` would include that of its parent)."""
    return int(Path("/proc/self/status").read_text("utf-8").partition("VmHWM:")[2].split()[0]) / 1024


def machine() -> dict:
    """Describe the machine and the software."""
    lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines() if Path("/proc/cpuinfo").exists() else []
    processor = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")),
                     platform.processor())
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    program = Path(sys.argv[0])
    command = shlex.join(["python", "-m", f"{program.parent.name}.{program.stem}", *sys.argv[1:]])
    return {"processor": processor, "cores": os.cpu_count(), "memory_gb": round(memory, 1),
            **run_directory.versions(command.replace(".__main__", ""))}


def compose_config(overrides: list[str]) -> Any:
    """Compose the configuration of an experiment from the overrides of its command line."""
    with initialize_config_dir(str(CONFIG_PATH.resolve()), version_base="1.3"):
        return compose("config", overrides)

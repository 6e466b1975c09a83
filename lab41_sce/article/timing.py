"""Measure time and memory of updates and losses of SCE and deep clustering at the article's sizes.

    python -m lab41_sce.article.timing --out timing.csv [--batch 256] [--rounds 5]

`timed_steps.py` contains the measured steps. The naive form of deep clustering lists all pairs of bins, and is left out
where these do not fit into memory. Compared systems take turns, and each time is a median over the rounds. Memory is
measured in a separate process, which returns freed memory to the system at once.
"""

import gc
import itertools
import json
import os
import shlex
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from tqdm import tqdm

from lab41_sce.article import sizes
from lab41_sce.atomic_write import lock, write_csv, write_text
from lab41_sce.command_line import Parser, command
from lab41_sce.errors import UserError
from lab41_sce.runs.versions import versions

COLUMNS = ("what", "system", "batch", "frames", "speakers", "negatives", "seconds", "fastest", "slowest", "megabytes",
           "rounds")
SYSTEMS = ("sce", "deep_clustering")
NAIVE = (*SYSTEMS, "naive_deep_clustering")
# Otherwise TensorFlow and the C library keep freed memory, and another call of a step takes no additional memory.
FRUGAL = {"TF_ENABLE_ONEDNN_OPTS": "0", "MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "65536"}


def cases(batch: int) -> list[tuple[str, dict[str, Any]]]:
    """List the measurements.

    Args:
        batch: largest batch.

    Returns:
        Name of each measurement, and the arguments of `update_steps` or `loss_steps` for it.
    """
    listed: list[tuple[str, dict]] = [("update", {"batch": batch})]
    listed += [("loss by batch", {"batch": batch // ratio}) for ratio in (16, 8, 4, 2, 1) if batch >= ratio]
    listed += [("loss by frames", {"batch": max(batch // 8, 1), "frames": frames})
               for frames in (sizes.FRAMES, *sizes.MORE_FRAMES)]
    listed += [("loss by speakers and negatives", {"batch": max(batch // 4, 1), "speakers": speakers,
                                                   "negatives": negatives, "systems": ("sce",)})
               for speakers, negatives in itertools.product((sizes.SPEAKERS, *sizes.MORE_SPEAKERS),
                                                            (0, *sizes.MORE_NEGATIVES))]
    pairs_bytes = 4 * (sizes.FRAMES * sizes.BINS) ** 2
    # Forward and backward need several such matrices at once, and freed memory is kept for later.
    fitting = [size for size in (1, 2, 4, 8) if size <= batch and 12 * size * pairs_bytes < _free_bytes()]
    listed += [("loss, with the naive form", {"batch": size, "systems": NAIVE}) for size in fitting]
    listed += [("update, with the naive form", {"batch": size, "systems": NAIVE}) for size in fitting[-1:]]
    defaults = {"frames": sizes.FRAMES, "speakers": sizes.SPEAKERS, "systems": SYSTEMS}
    return [(what, defaults | options) for what, options in listed]


def steps_of(what: str, options: dict[str, Any]) -> dict[str, Callable[[], Any]]:
    """Build the steps of a measurement by system, and call each once to build its graph."""
    from lab41_sce.article.timed_steps import loss_steps, update_steps

    steps = update_steps(**options) if what.startswith("update") else loss_steps(**options)
    for step in steps.values():
        step()
    return steps


def measure_seconds(steps: dict[str, Callable[[], Any]], rounds: int) -> dict[str, list[float]]:
    """Run steps in turns and measure each call.

    Args:
        steps: functions without arguments by name.
        rounds: number of calls of each function.

    Returns:
        Seconds of each call by name.
    """
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(rounds):
        for name, step in steps.items():
            started = time.perf_counter()
            step()
            seconds[name].append(time.perf_counter() - started)
    return seconds


def measure_megabytes(listed: list[tuple[str, dict[str, Any]]]) -> list[dict[str, float]]:
    """Measure by how much one call of each step raises the peak memory of this process.

    Args:
        listed: measurements, as `cases` returns them.

    Returns:
        MB by system for each measurement; NaN on a GPU, whose memory is separate, and on systems without /proc.
    """
    import tensorflow as tf

    on_gpu = bool(tf.config.list_physical_devices("GPU"))
    return [{system: float("nan") if on_gpu else _extra_megabytes(step) for system, step in steps_of(*case).items()}
            for case in tqdm(listed, "memory", unit=" cases", disable=None)]


def run(batch: int, rounds: int) -> pd.DataFrame:
    """Run all measurements.

    Args:
        batch: largest batch.
        rounds: number of calls of each step.

    Returns:
        Table with the columns `COLUMNS`; seconds are medians.
    """
    rows, listed = [], cases(batch)
    before = {name: os.environ.get(name) for name in FRUGAL}
    os.environ |= FRUGAL
    try:  # in a new process, which reads these variables at its start, and before this process keeps memory for itself
        with ProcessPoolExecutor(1, get_context("spawn")) as pool:
            megabytes = pool.submit(measure_megabytes, listed).result()
    finally:
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.__setitem__(name, value)
    for what, options in tqdm(listed, "timing", unit=" cases", disable=None):
        for system, seconds in measure_seconds(steps_of(what, options), rounds).items():
            rows.append({"what": what, "negatives": 0, **options, "system": system, "seconds": np.median(seconds),
                         "fastest": min(seconds), "slowest": max(seconds), "rounds": rounds})
    table = pd.DataFrame(rows).assign(megabytes=[extra for case in megabytes for extra in case.values()])
    return table[list(COLUMNS)].round({"seconds": 5, "fastest": 5, "slowest": 5, "megabytes": 1})


def _extra_megabytes(step: Callable[[], Any]) -> float:
    """Measure by how much a call raises the peak memory of this process above its memory before the call, in MB."""
    try:
        gc.collect()
        Path("/proc/self/clear_refs").write_text("5")  # resets the peak to the current memory
        before = _status_megabytes("VmRSS")
        step()
        return _status_megabytes("VmHWM") - before
    except OSError:
        return float("nan")


def _status_megabytes(name: str) -> float:
    """Read a line of /proc/self/status, in MB."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(name))
    return float(line.split()[1]) / 1024


def _free_bytes() -> float:
    """Return the memory that is free for this process; 4 GB if the system has no /proc."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        free = 1024 * float(next(line for line in lines if line.startswith("MemAvailable")).split()[1])
        limit = Path("/sys/fs/cgroup/memory.max")  # of a container
        bound = limit.read_text().strip() if limit.exists() else "max"
        return free if bound == "max" else min(free, float(bound))
    except (StopIteration, OSError):
        return 4e9


@command()
def main(arguments: Sequence[str] | None = None) -> int:
    """Run all measurements, print the table and write it; return the exit status."""
    parser = Parser("python -m lab41_sce.article.timing", description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="table to write (CSV)")
    parser.add_argument("--batch", type=int, default=256, help="largest batch (default: 256, as in the article)")
    parser.add_argument("--rounds", type=int, default=5, help="number of calls of each step (default: 5)")
    options = parser.parse_args(arguments)
    if options.batch < 1 or options.rounds < 1:
        raise UserError(f"--batch {options.batch} and --rounds {options.rounds} must be at least 1.")
    if options.out.suffix != ".csv":
        raise UserError(f"--out {options.out} is not a name for a table; give a name that ends in .csv.")
    if not options.out.parent.is_dir():
        raise UserError(f"--out {options.out}: the folder {options.out.parent} does not exist; make it, or choose "
                        "another.")
    if not os.access(options.out.parent, os.W_OK):
        raise UserError(f"--out {options.out}: the folder {options.out.parent} is not writable; choose another.")
    about = versions(shlex.join(["python", "-m", "lab41_sce.article.timing", *(arguments or sys.argv[1:])]))
    with lock(options.out.with_name(f".{options.out.name}.lock"), f"another process measures times for {options.out}; "
              "wait until it has finished, or choose another --out."):
        table = run(options.batch, options.rounds)
        write_csv(table, options.out)
        write_text(options.out.with_suffix(".json"), json.dumps(about, indent=2))
    print(table.to_string(index=False))
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Updates of a training with and without the memory that `training/memory.py` keeps.

    python -m benchmarks.kept_memory results/performance/kept_memory/summary.csv

Processes with the setting (value) and without it (reference) run in turns, because the speed of a machine changes
within minutes. Each makes updates on one prepared batch of the embedded corpus, of the size of the experiment. The
figures are medians of the processes; ratio is value / reference.
"""

import argparse
import json
import resource
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.__main__ import ROOT
from benchmarks.timing import peak_megabytes
from lab41_sce.runs.run_directory import write_csv

EXPERIMENTS = ("two_speaker", "reproduce")
UPDATES = 12
UNITS = {"seconds": "s", "kernel seconds": "s", "peak memory": "MB"}


def measure_here(experiment: str, keep: bool) -> dict[str, float]:
    """Measure an update of an experiment in this process; the first two do not count."""
    from benchmarks.training import Trainee
    from lab41_sce.training.memory import keep_freed_memory

    if keep and not keep_freed_memory():
        raise RuntimeError("this C library has no such setting")
    trainee = Trainee([f"+exp={experiment}"])
    mixtures = trainee.prepared.settings.mixtures
    front_end = trainee.prepared.setup.front_end
    frames = round(mixtures.seconds * front_end.sample_rate_hz / front_end.hop_length)
    ready = trainee.ready(mixtures.batch_size, frames)
    trainee.update_ends(ready, 2)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_stime
    ends = trainee.update_ends(ready, UPDATES)
    kernel = resource.getrusage(resource.RUSAGE_SELF).ru_stime - before
    return {"seconds": float(np.median(np.diff(ends))), "kernel seconds": kernel / UPDATES,
            "peak memory": peak_megabytes()}


def main() -> None:
    """Run the processes in turns and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--here", nargs=2, metavar=("EXPERIMENT", "KEEP"), help="measure in this process and print")
    options = parser.parse_args()
    if options.here:
        print(json.dumps(measure_here(options.here[0], options.here[1] == "keep")))
        return
    rows = []
    for _ in range(options.rounds):
        for experiment in EXPERIMENTS:
            for memory in ("free", "keep"):
                command = [sys.executable, "-m", "benchmarks.kept_memory", options.out, "--here", experiment, memory]
                printed = subprocess.run(command, check=True, cwd=ROOT, stdout=subprocess.PIPE).stdout
                rows.append({"experiment": experiment, "memory": memory, **json.loads(printed.splitlines()[-1])})
                print(rows[-1], file=sys.stderr, flush=True)
    medians = pd.DataFrame(rows).groupby(["experiment", "memory"]).median()
    summary = []
    for experiment in EXPERIMENTS:
        value, reference = (medians.loc[experiment, memory] for memory in ("keep", "free"))
        for figure, unit in UNITS.items():
            summary.append({"name": f"update of {experiment}: {figure}", "value": value[figure], "unit": unit,
                            "reference": reference[figure], "ratio": value[figure] / reference[figure]})
    options.out.parent.mkdir(parents=True, exist_ok=True)
    write_csv(pd.DataFrame(summary).round(3), options.out)


if __name__ == "__main__":
    main()

"""Updates of a training with and without the memory that `training/memory.py` keeps.

    python -m benchmarks.kept_memory results/performance/kept_memory/summary.csv

Processes with the setting (value) and without it (reference) run in turns, because the speed of a machine changes
within minutes. Each makes updates on one prepared batch of the embedded corpus, of the size of the experiment. The
figures are medians of the processes; ratio is value / reference.
"""

import resource

import numpy as np

from benchmarks.timing import peak_megabytes
from benchmarks.turns import compare_in_turns

EXPERIMENTS = ("two_speaker", "reproduce")
UPDATES = 12
UNITS = {"seconds": "s", "kernel seconds": "s", "peak memory": "MB"}


def measure_here(experiment: str, memory: str) -> dict[str, float]:
    """Measure an update of an experiment in this process; memory is "keep" or "free". The first two do not count."""
    from benchmarks.training import Trainee
    from lab41_sce.training.memory import keep_freed_memory

    if memory == "keep" and not keep_freed_memory():
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


if __name__ == "__main__":
    compare_in_turns(__doc__.splitlines()[0], "benchmarks.kept_memory", measure_here,
                     {name: f"update of {name}" for name in EXPERIMENTS}, ("free", "keep"), UNITS, rounds=3)

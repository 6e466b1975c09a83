"""Start: the time until commands have said their help, or a short recording's voices are there."""

import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from bench import part_main

from lab41_sce.examples import __file__ as examples

COMMANDS = {"separate --help": ["lab41_sce.separate", "--help"],
            "experiment --help": ["lab41_sce.experiment", "--help"],
            "separate the example of 7 s": ["lab41_sce.separate", Path(examples).with_name("mixture.wav")]}


def measure(rows, quick: bool) -> None:
    """Run each command several times, in turns."""
    taken = {name: [] for name in COMMANDS}
    for _ in range(1 if quick else 5):
        for name, (module, *arguments) in COMMANDS.items():
            with tempfile.TemporaryDirectory() as folder:
                start = time.perf_counter()
                subprocess.run([sys.executable, "-m", module, *arguments], cwd=folder, check=True, capture_output=True)
                taken[name].append(time.perf_counter() - start)
    for name, seconds in taken.items():
        rows.add(f"command: {name}", np.median(seconds), "s")


if __name__ == "__main__":
    part_main(measure)

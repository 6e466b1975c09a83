"""Measure the time and the memory that separating long recordings takes.

    python tools/bench_separation.py RUN_OR_MODEL RECORDING [--minutes 3 12]

Repeats the recording to each length, separates it with the command line, and prints wall-clock time and peak memory.
"""

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from lab41_sce import audio


def main():
    """Measure and print; lengths ascend, since the system reports the largest peak so far."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model")
    parser.add_argument("recording")
    parser.add_argument("--minutes", type=int, nargs="+", default=[3, 12])
    options = parser.parse_args()
    channels, rate_hz = audio.read(options.recording)
    for minutes in sorted(options.minutes):
        with tempfile.TemporaryDirectory() as folder:
            audio.write(Path(folder) / "long.wav", np.resize(channels[0], 60 * minutes * rate_hz), rate_hz)
            start = time.perf_counter()
            subprocess.run([sys.executable, "-m", "lab41_sce.separate", f"{folder}/long.wav", "--model", options.model,
                            "--out-dir", folder], check=True, capture_output=True)
            seconds = time.perf_counter() - start
        peak_mb = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
        print(f"{minutes} minutes at {rate_hz} Hz: {seconds:.1f} s, peak memory {peak_mb:.0f} MB", flush=True)


if __name__ == "__main__":
    main()

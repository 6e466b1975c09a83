"""Measure the time and the memory that separating recordings takes, from the command's start to its end.

    python tools/bench_separation.py RECORDING results/bench_separation

Repeats the recording to each length, and separates it with the command line: TensorFlow's import, reading and writing
are included.
"""

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
import shipped

from lab41_sce import audio


def main():
    """Measure and print; lengths ascend, since the system reports the largest peak of memory so far."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("recording")
    parser.add_argument("results", type=Path, help="folder to write to")
    parser.add_argument("--model", help="default: the one that is shipped")
    parser.add_argument("--seconds", type=int, nargs="+", default=[10, 60, 600, 3600])
    parser.add_argument("--speakers", default="2")
    options = parser.parse_args()
    channels, rate_hz = audio.read(options.recording)
    rows = []
    for seconds in sorted(options.seconds):
        with tempfile.TemporaryDirectory() as folder:
            audio.write(Path(folder) / "long.wav", np.resize(channels[0], seconds * rate_hz), rate_hz)
            model = ["--model", options.model] if options.model else []
            start = time.perf_counter()
            subprocess.run([sys.executable, "-m", "lab41_sce.separate", f"{folder}/long.wav", "--out-dir", folder,
                            "--speakers", options.speakers, *model], check=True, capture_output=True)
            took = time.perf_counter() - start
        rows.append({"seconds": seconds, "took_seconds": round(took, 1), "times_real_time": round(seconds / took, 1),
                     "peak_memory_mb": round(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024)})
        print(rows[-1], file=sys.stderr)
    options.results.mkdir(parents=True, exist_ok=True)
    shipped.write_summary(pd.DataFrame(rows), options.results)


if __name__ == "__main__":
    main()

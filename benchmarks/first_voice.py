"""Time and memory of `lab41-sce separate` for a short recording: whole processes, beside those of another commit.

    python -m benchmarks.first_voice results/performance/first_voice/summary.csv --before 789e35f

Processes of both versions and of `--runtime keras` run in turns, because the speed of a machine changes within minutes.
The table has the columns name, value, unit, reference and ratio; values and references are medians, and the ratio is
value / reference. `rounds.csv` beside it has the figures of each process. CPU seconds depend less than seconds on other
programs that run meanwhile.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pandas as pd

from benchmarks.__main__ import ROOT, checkout
from lab41_sce.examples import EXAMPLES
from lab41_sce.runs.run_directory import write_csv

UNITS = {"seconds": "s", "cpu_seconds": "s", "peak_megabytes": "MB"}
# The command in an earlier version had no `lab41_sce.cli`.
SEPARATE = "import sys; from lab41_sce.separate import main; sys.exit(main(sys.argv[1:]))"


def measure(package: Path, options: list[str], recording: Path = EXAMPLES[0]) -> dict[str, float]:
    """Separate a recording in a process that uses the package of a checkout."""
    environment = os.environ | {"PYTHONPATH": str(package), "TF_CPP_MIN_LOG_LEVEL": "3"}
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-c", SEPARATE, str(recording), "--out-dir", folder, *options]
        start = time.perf_counter()
        process = subprocess.Popen(command, env=environment, cwd=package, stdout=subprocess.DEVNULL,
                                   stderr=subprocess.DEVNULL)
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - start
    if status:
        raise RuntimeError(f"the command of {package} ended with status {status}")
    return {"seconds": seconds, "cpu_seconds": usage.ru_utime + usage.ru_stime,
            "peak_megabytes": usage.ru_maxrss / 1024}


def main() -> None:
    """Run the processes in turns and write the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--before", required=True, help="commit of the version to compare with")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    rows = []
    with checkout(options.before) as before:
        versions = {"before": (before, []), "onnx": (ROOT, []), "keras": (ROOT, ["--runtime", "keras"])}
        for number in range(-1, options.rounds):
            for version, (package, given) in versions.items():
                figures = measure(package, given)
                if number >= 0:  # the first round fills the caches of the file system
                    rows.append({"round": number, "version": version, **figures})
                    print(rows[-1], file=sys.stderr, flush=True)
    rounds = pd.DataFrame(rows)
    medians = rounds.groupby("version")[[*UNITS]].median()
    summary = []
    for version, name in (("onnx", "onnxruntime"), ("keras", "Keras")):
        for figure, unit in UNITS.items():
            value, reference = medians.loc[version, figure], medians.loc["before", figure]
            summary.append({"name": f"command: separate 7 s, {name}, {figure.replace('_', ' ')}", "value": value,
                            "unit": unit, "reference": reference, "ratio": value / reference})
    options.out.parent.mkdir(parents=True, exist_ok=True)
    write_csv(rounds.round(3), options.out.with_name("rounds.csv"))
    write_csv(pd.DataFrame(summary).round(3), options.out)


if __name__ == "__main__":
    main()

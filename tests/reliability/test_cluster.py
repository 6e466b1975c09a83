"""Cluster: a folder of mixtures is separated and scored by two processes of a Dask cluster, one of which is killed.

The scheduler and the processes are programs of their own, as on a real cluster, here on one machine. What they write is
compared, sample by sample, with what one process writes. Wants `pip install -e ".[dask]"`.
"""

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pandas as pd
from torture import part_main

from lab41_sce import audio
from lab41_sce.data import librispeech, splits
from lab41_sce.data.evaluation_set import draw_evaluation_set, load_mixture
from lab41_sce.data.speech import Speech

RATE_HZ, SECONDS = 10_000, 4.0
PATIENCE_SECONDS = 900.0


def make_mixtures(folder: Path, per_kind: int) -> int:
    """Write mixtures of two unseen speakers of the embedded corpus and their sources; return how many."""
    table = splits.split(librispeech.load(None, [librispeech.EMBEDDED_SUBSET], check="headers"), 2)
    speech = Speech(table[table["split"] == "unseen"], RATE_HZ)
    listed = draw_evaluation_set(speech, table, "unseen", 2, per_kind, SECONDS, pre_emphasis=0.95)
    for name in ("mixtures", "references"):
        (folder / name).mkdir()
    for _, row in listed.iterrows():
        mixture = load_mixture(speech, row)
        scale = 0.5 / abs(mixture.signal).max()
        audio.write(folder / "mixtures" / f"{row['mixture']}.wav", mixture.signal * scale, RATE_HZ, "FLOAT")
        for number, source in enumerate(mixture.sources, start=1):
            audio.write(folder / "references" / f"{row['mixture']}_{number}.wav", source * scale, RATE_HZ, "FLOAT")
    return len(listed)


def commands(folder: Path, name: str, *options: str) -> list[list[str]]:
    """Return the command that separates the mixtures into `name`, and the one that scores them to `name.csv`."""
    python, mixtures, voices = [sys.executable, "-m"], folder / "mixtures", folder / name
    return [[*python, "lab41_sce.separate", mixtures, "--speakers", "2", "--out-dir", voices, *options],
            [*python, "lab41_sce.score", mixtures, folder / "references", voices, "--out", folder / f"{name}.csv",
             *options]]


class Cluster:
    """Run a Dask scheduler and two processes; `environment` leads to them."""

    def __init__(self, folder: Path):
        folder.mkdir()
        self._started, file = [], folder / "scheduler.json"
        self._log = (folder / "cluster.log").open("w")
        self._start("scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard", "--scheduler-file", file)
        deadline = time.monotonic() + 60
        while not file.exists() and time.monotonic() < deadline:
            time.sleep(0.1)
        address = json.loads(file.read_text("utf-8"))["address"]
        self.workers = [self._start("worker", address, "--nthreads", "1", "--no-nanny", "--no-dashboard",
                                    "--local-directory", folder) for _ in range(2)]
        self.environment = {**os.environ, "DASK_SCHEDULER_ADDRESS": address}

    def _start(self, what, *arguments):
        command = [sys.executable, "-m", f"distributed.cli.dask_{what}", *map(str, arguments)]
        self._started.append(subprocess.Popen(command, stdout=self._log, stderr=self._log))
        return self._started[-1]

    def close(self) -> None:
        """End what is left."""
        for process in reversed(self._started):
            process.kill()
            process.wait()
        self._log.close()


def outcome(folder: Path, name: str, expected: int) -> tuple[int, int]:
    """Count the mixtures with the voices and scores of the serial run, and those with no or half voices."""
    same = lost = 0
    scores = {run: pd.read_csv(folder / f"{run}.csv") if (folder / f"{run}.csv").exists() else
              pd.DataFrame(columns=["mixture", "value"]) for run in ("serial", name)}
    for mixture in sorted((folder / "mixtures").glob("*.wav")):
        voices = {run: [audio.read(path)[0].tobytes() for path in sorted((folder / run).glob(f"{mixture.stem}_?.wav"))]
                  for run in ("serial", name)}
        values = {run: table.loc[table["mixture"] == mixture.name, "value"].to_list() for run, table in scores.items()}
        same += voices["serial"] == voices[name] and values["serial"] == values[name] != []
        lost += len(voices[name]) != 2 or not values[name]
    assert same + lost <= expected
    return same, lost


def run(campaigns, quick: bool) -> None:
    """Separate and score as one process does, by a cluster, and by a cluster that loses a process meanwhile."""
    with tempfile.TemporaryDirectory() as temporary, contextlib.ExitStack() as stack:
        folder = Path(temporary)
        n_mixtures = make_mixtures(folder, 2 if quick else 10)
        for command in commands(folder, "serial", "--jobs", "1"):
            subprocess.run(command, check=True, capture_output=True)
        for name, killed in (("cluster", False), ("killed", True)):
            cluster = Cluster(folder / f"{name}_cluster")
            stack.callback(cluster.close)
            start, said, hangs, when = time.monotonic(), "", 0, ""
            for command in commands(folder, name, "--parallel-backend", "dask"):
                process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
                                           env=cluster.environment)
                while killed and cluster.workers[0].poll() is None and process.poll() is None:
                    done = len([*(folder / name).glob("*_2.wav")])
                    if done >= n_mixtures // 4:
                        cluster.workers[0].kill()
                        when = f"; killed when {done} were done"
                    time.sleep(0.02)
                try:
                    said += process.communicate(timeout=PATIENCE_SECONDS)[1]
                except subprocess.TimeoutExpired:
                    process.kill()
                    hangs += 1
            taken = time.monotonic() - start
            cluster.close()
            same, lost = outcome(folder, name, n_mixtures)
            what = ", one of which is killed -9 on the way" if killed else ""
            campaigns.add(f"mixtures separated and scored by a Dask cluster of two processes{what}", n_mixtures, same,
                          lost, said.count("Traceback"), hangs, f"{taken:.0f} s{when}")


if __name__ == "__main__":
    part_main(run)

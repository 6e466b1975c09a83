"""Mixtures are separated and scored by two processes of a Dask cluster, one of which is killed.

Scheduler and workers are programs of their own, as on a real cluster, here on one machine. Their results are compared,
sample by sample, with those of one process. Needs `pip install -e ".[dask]"`.
"""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest

from lab41_sce import audio
from lab41_sce.data import splits
from lab41_sce.data.corpus import EMBEDDED_SUBSET, load_corpus
from lab41_sce.data.evaluation_set import draw_evaluation_set, load_mixture
from lab41_sce.data.speech import Speech

pytestmark = pytest.mark.torture(part="cluster")
RATE_HZ, MIXTURE_SECONDS = 10_000, 4.0
MAX_SECONDS = 900.0


def commands(folder, name, *options):
    """Return the command that separates the mixtures into `name`, and the one that scores them to `name.csv`."""
    python, mixtures, voices = [sys.executable, "-m"], folder / "mixtures", folder / name
    return [[*python, "lab41_sce.separate", mixtures, "--speakers", "2", "--out-dir", voices, *options],
            [*python, "lab41_sce.score", mixtures, folder / "references", voices, "--out", folder / f"{name}.csv",
             *options]]


@pytest.fixture(scope="module")
def mixtures(tmp_path_factory, quick):
    """Write mixtures of two unseen speakers, their sources, and the results of one process; return the folder."""
    folder = tmp_path_factory.mktemp("cluster")
    table = splits.split(load_corpus(None, [EMBEDDED_SUBSET], check="headers"), 2)
    speech = Speech(table[table["split"] == "unseen"], RATE_HZ)
    listed = draw_evaluation_set(speech, table, "unseen", 2, 2 if quick else 10, MIXTURE_SECONDS, pre_emphasis=0.95)
    for name in ("mixtures", "references"):
        (folder / name).mkdir()
    for _, row in listed.iterrows():
        mixture = load_mixture(speech, row)
        scale = 0.5 / abs(mixture.signal).max()
        audio.write(folder / "mixtures" / f"{row['mixture']}.wav", mixture.signal * scale, RATE_HZ, "FLOAT")
        for number, source in enumerate(mixture.sources, start=1):
            audio.write(folder / "references" / f"{row['mixture']}_{number}.wav", source * scale, RATE_HZ, "FLOAT")
    for command in commands(folder, "serial", "--jobs", "1"):
        subprocess.run(command, check=True, capture_output=True)
    return folder


class Cluster:
    """A Dask scheduler and two workers; `environment` leads commands to them."""

    def __init__(self, folder: Path):
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

    def _start(self, program, *arguments):
        command = [sys.executable, "-m", f"distributed.cli.dask_{program}", *map(str, arguments)]
        self._started.append(subprocess.Popen(command, stdout=self._log, stderr=self._log))
        return self._started[-1]

    def close(self) -> None:
        """End the programs that still run."""
        for process in reversed(self._started):
            process.kill()
            process.wait()
        self._log.close()


@pytest.fixture
def cluster(tmp_path):
    cluster = Cluster(tmp_path)
    yield cluster
    cluster.close()


def count_equal(campaign, folder, name):
    """Count the mixtures with the voices and scores of one process, and those without."""
    scores = {run: pd.read_csv(folder / f"{run}.csv") if (folder / f"{run}.csv").exists() else
              pd.DataFrame(columns=["mixture", "value"]) for run in ("serial", name)}
    for mixture in sorted((folder / "mixtures").glob("*.wav")):
        voices = {run: [audio.read(path)[0].tobytes() for path in sorted((folder / run).glob(f"{mixture.stem}_?.wav"))]
                  for run in ("serial", name)}
        values = {run: table.loc[table["mixture"] == mixture.name, "value"].to_list() for run, table in scores.items()}
        campaign.count(voices["serial"] == voices[name] and values["serial"] == values[name] != [],
                       lost=len(voices[name]) != 2 or not values[name])


@pytest.mark.parametrize("name", ["cluster", "killed"])
def test_the_cluster_gives_the_results_of_one_process(campaign, mixtures, cluster, name):
    n_mixtures, start, when = len([*(mixtures / "mixtures").iterdir()]), time.monotonic(), ""
    for command in commands(mixtures, name, "--parallel-backend", "dask"):
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
                                   env=cluster.environment)
        while name == "killed" and cluster.workers[0].poll() is None and process.poll() is None:
            done = len([*(mixtures / name).glob("*_2.wav")])
            if done >= n_mixtures // 4:
                cluster.workers[0].kill()
                when = f"; killed when {done} were done"
            time.sleep(0.02)
        try:
            campaign.tracebacks += process.communicate(timeout=MAX_SECONDS)[1].count("Traceback")
        except subprocess.TimeoutExpired:
            process.kill()
            campaign.hangs += 1
    taken = time.monotonic() - start
    count_equal(campaign, mixtures, name)
    one_killed = ", one of which is killed -9 on the way" if name == "killed" else ""
    campaign.record(f"mixtures separated and scored by a Dask cluster of two processes{one_killed}",
                    f"{taken:.0f} s{when}")

"""Several workers against one process: the same loss curve, the rate for each core, a killed worker that comes back.

    python tools/bench_workers.py results/workers/summary.csv

All of them are on this machine, on the loopback interface, and make the same 100 updates of batches of the same size.
`loss_curves.csv`, beside the table, has the mean loss of every ten updates. Where rates are compared, each process has
a core to itself. A quarter of an hour in which nothing else should run.
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pandas as pd
from bench import part_main

from lab41_sce.runs import run_directory
from lab41_sce.training.distributed import free_ports

UPDATES, EVERY, WORKERS = 100, 10, 2
EXPERIMENTS = {"smoke": [], "two_speaker": ["training.minutes=null"]}
SHORT = ["validation.per_kind=1", "validation.seconds=1", "evaluation.per_kind=1", "evaluation.seconds=1",
         "evaluation.splits=[unseen]", "evaluation.examples_per_kind=0", "evaluation.jobs=1", "training.patience=null",
         f"training.validate_every={EVERY}", "training.tensorboard=false", "~method@others.unprocessed",
         "~method@others.ideal_binary_mask", "~method@others.ideal_ratio_mask"]


def start(experiment: str, folder: Path, *more: str, core: int | None = None, **environment: str) -> subprocess.Popen:
    """Start an experiment, perhaps as one worker of several, perhaps on one core only."""
    command = [sys.executable, "-m", "lab41_sce.experiment", f"+exp={experiment}", f"run_dir={folder}",
               f"training.updates={UPDATES}", *EXPERIMENTS[experiment], *SHORT, *more]
    pin = [] if core is None else ["taskset", "--cpu-list", str(core)]
    return subprocess.Popen([*pin, *command], env=os.environ | environment, stdout=subprocess.DEVNULL)


def start_workers(experiment: str, folder: Path, pinned: bool = False) -> list:
    """Start all workers; return functions that start each (again, with more settings)."""
    cluster = {"worker": [f"127.0.0.1:{port}" for port in free_ports(WORKERS)]}

    def starter(rank):
        place = json.dumps({"cluster": cluster, "task": {"type": "worker", "index": rank}})
        return lambda *more: start(experiment, folder, "training.strategy=multi_worker", *more,
                                   core=rank if pinned else None, TF_CONFIG=place)

    return [starter(rank) for rank in range(WORKERS)]


def finish(*processes: subprocess.Popen) -> None:
    """Wait for processes to come to a good end."""
    if any([process.wait() for process in processes]):
        raise RuntimeError("an experiment failed; see above")


def history(folder: Path) -> pd.DataFrame:
    """Read the history of a run's system, as far as it is."""
    path = folder / "systems" / "sce" / "history.csv"
    return pd.read_csv(path) if path.exists() else pd.DataFrame(columns=["update", "loss"])


def worst(curve: pd.Series, reference: pd.Series) -> float:
    """Return how far a loss curve is from another at most, in percent of it."""
    return float(100 * (curve / reference - 1).abs().max())


def kill_one(rows, experiment: str, folder: Path, rank: int, reference: pd.Series) -> pd.Series:
    """Kill a worker in the middle, start it again, and wait for the end; return the loss curve."""
    starters = start_workers(experiment, folder)
    processes = [starter() for starter in starters]
    while len(history(folder)) < 3:
        if processes[rank].poll() is not None:
            raise RuntimeError("a worker ended before it could be killed; see above")
        time.sleep(0.05)
    at, killed = history(folder)["update"].iloc[-1], time.monotonic()
    processes[rank].send_signal(signal.SIGKILL)
    processes[rank].wait()
    processes[rank] = starters[rank]("resume=true")
    while history(folder)["update"].iloc[-1] == at and processes[rank].poll() is None:
        time.sleep(0.05)
    case = f"{experiment}, {'the chief' if rank == 0 else 'another worker'} killed and started again"
    rows.add(f"{case}: until there are {EVERY} more updates", time.monotonic() - killed, "s")
    finish(*processes)
    curve = history(folder).set_index("update")["loss"]
    rows.add(f"{case}: updates in the end", curve.index[-1], "updates")
    rows.add(f"{case}: loss, largest difference from one process", worst(curve, reference), "%")
    return curve


def measure(rows, quick: bool) -> None:
    """Compare curves and rates, then kill."""
    curves = {}
    for experiment in ["smoke"] if quick else EXPERIMENTS:
        with tempfile.TemporaryDirectory() as root:
            root = Path(root)
            finish(start(experiment, root / "alone", core=0))
            finish(*(starter() for starter in start_workers(experiment, root / "together", pinned=True)))
            alone, together = (history(root / name).set_index("update") for name in ("alone", "together"))
            curves[experiment] = table = pd.DataFrame({"one_process": alone["loss"], "two_workers": together["loss"]})
            rows.add(f"{experiment}, {WORKERS} workers: loss, largest difference from one process",
                     worst(table["two_workers"], table["one_process"]), "%")
            before, now = (history["seconds_per_update"].median() for history in (alone, together))
            rows.add(f"{experiment}, one process on one core: update", 1e3 * before, "ms")
            rows.add(f"{experiment}, {WORKERS} workers, a core each: update", 1e3 * now, "ms")
            rows.add(f"{experiment}, {WORKERS} workers: times as fast as one process", before / now, "1")
            for rank, name in [(1, "worker_killed"), (0, "chief_killed")]:
                table[name] = kill_one(rows, experiment, root / name, rank, table["one_process"])
        if rows.folder is not None:
            table = pd.concat(curves, names=["experiment"]).reset_index()
            run_directory.write_csv(table, rows.folder / "loss_curves.csv")


if __name__ == "__main__":
    part_main(measure)

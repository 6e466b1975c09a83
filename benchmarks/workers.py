"""Several workers against one process: loss curves, the rate of each core, recovery of a killed worker.

    python -m benchmarks.workers results/performance/workers/summary.csv

All workers run on this machine, connected by the loopback interface, and make the same 100 updates with batches of the
same size. `loss_curves.csv`, beside the table, holds the mean loss of every ten updates. Where rates are compared, each
process has a separate core. Takes 15 minutes, in which no other program should run.
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import pandas as pd

from benchmarks.timing import part_main
from lab41_sce.runs.run_directory import write_csv
from lab41_sce.training.launcher import free_ports

UPDATES, VALIDATE_EVERY, WORKERS = 100, 10, 2
EXPERIMENTS = {"smoke": [], "two_speaker": ["training.minutes=null"]}
SHORT = ["validation.per_kind=1", "validation.seconds=1", "evaluation.per_kind=1", "evaluation.seconds=1",
         "evaluation.splits=[unseen]", "evaluation.examples_per_kind=0", "evaluation.jobs=1", "training.patience=null",
         f"training.validate_every={VALIDATE_EVERY}", "training.tensorboard=false", "~method@others.unprocessed",
         "~method@others.ideal_binary_mask", "~method@others.ideal_ratio_mask"]


def start(experiment: str, folder: Path, *more: str, core: int | None, **environment: str) -> subprocess.Popen:
    """Start an experiment, on one core only unless `core` is None."""
    command = [sys.executable, "-m", "lab41_sce.experiment", f"+exp={experiment}", f"run_dir={folder}",
               f"training.updates={UPDATES}", *EXPERIMENTS[experiment], *SHORT, *more]
    pin = [] if core is None else ["taskset", "--cpu-list", str(core)]
    return subprocess.Popen([*pin, *command], env=os.environ | environment, stdout=subprocess.DEVNULL)


def worker_starters(experiment: str, folder: Path, pinned: bool) -> list[Callable[..., subprocess.Popen]]:
    """Return a function for each worker that starts it, with more settings if given."""
    cluster = {"worker": [f"127.0.0.1:{port}" for port in free_ports(WORKERS)]}

    def starter(rank):
        place = json.dumps({"cluster": cluster, "task": {"type": "worker", "index": rank}})
        return lambda *more: start(experiment, folder, "training.strategy=multi_worker", *more,
                                   core=rank if pinned else None, TF_CONFIG=place)

    return [starter(rank) for rank in range(WORKERS)]


def wait(*processes: subprocess.Popen) -> None:
    """Wait for the successful end of processes."""
    if any([process.wait() for process in processes]):
        raise RuntimeError("an experiment failed; see above")


def history(folder: Path) -> pd.DataFrame:
    """Read the history of a run so far, by update."""
    path = folder / "systems" / "sce" / "history.csv"
    return (pd.read_csv(path) if path.exists() else pd.DataFrame(columns=["update", "loss"])).set_index("update")


def max_difference_percent(curve: pd.Series, reference: pd.Series) -> float:
    """Return the largest difference of two loss curves, in percent of the second."""
    return float(100 * (curve / reference - 1).abs().max())


def kill_one(rows, experiment: str, folder: Path, rank: int, reference: pd.Series) -> pd.Series:
    """Kill a worker during the training and start it again; return the loss curve of the run."""
    starters = worker_starters(experiment, folder, pinned=False)
    processes = [starter() for starter in starters]
    while len(history(folder)) < 3:
        if processes[rank].poll() is not None:
            raise RuntimeError("a worker ended before it could be killed; see above")
        time.sleep(0.05)
    last_update, killed = history(folder).index[-1], time.monotonic()
    processes[rank].send_signal(signal.SIGKILL)
    processes[rank].wait()
    processes[rank] = starters[rank]("resume=true")
    while history(folder).index[-1] == last_update and processes[rank].poll() is None:
        time.sleep(0.05)
    case = f"{experiment}, {'the chief' if rank == 0 else 'another worker'} killed and started again"
    rows.add(f"{case}: until there are {VALIDATE_EVERY} more updates", time.monotonic() - killed, "s")
    wait(*processes)
    curve = history(folder)["loss"]
    rows.add(f"{case}: updates in the end", curve.index[-1], "updates")
    rows.add(f"{case}: loss, largest difference from one process", max_difference_percent(curve, reference), "%")
    return curve


def measure(rows, quick: bool) -> None:
    """Compare loss curves and rates, then kill workers."""
    curves = {}
    for experiment in ["smoke"] if quick else EXPERIMENTS:
        with tempfile.TemporaryDirectory() as name:
            root = Path(name)
            wait(start(experiment, root / "alone", core=0))
            wait(*(starter() for starter in worker_starters(experiment, root / "together", pinned=True)))
            alone, together = history(root / "alone"), history(root / "together")
            rows.add(f"{experiment}, {WORKERS} workers: loss, largest difference from one process",
                     max_difference_percent(together["loss"], alone["loss"]), "%")
            before, now = (table["seconds_per_update"].median() for table in (alone, together))
            rows.add(f"{experiment}, one process on one core: update", 1e3 * before, "ms")
            rows.add(f"{experiment}, {WORKERS} workers, a core each: update", 1e3 * now, "ms")
            rows.add(f"{experiment}, {WORKERS} workers: times as fast as one process", before / now, "1")
            table = pd.DataFrame({"one_process": alone["loss"], "two_workers": together["loss"]})
            for rank, column in [(1, "worker_killed"), (0, "chief_killed")]:
                table[column] = kill_one(rows, experiment, root / column, rank, alone["loss"])
            curves[experiment] = table
    write_csv(pd.concat(curves, names=["experiment"]).reset_index(), rows.folder / "loss_curves.csv")


if __name__ == "__main__":
    part_main(measure)

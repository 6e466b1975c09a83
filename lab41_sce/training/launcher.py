"""One command becomes several workers on this machine, one for each GPU; a killed worker is started again."""

import contextlib
import json
import logging
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence

from lab41_sce.errors import UserError
from lab41_sce.training.distributed import TRIES_VARIABLE

MAX_TRIES = 3  # starts in a row without an update
MAX_REVIVALS = 20  # of killed workers

logger = logging.getLogger(__name__)


def restart_process() -> None:
    """Replace this process by one with the same command that resumes; after `MAX_TRIES` without an update, return."""
    tries = int(os.environ.get(TRIES_VARIABLE, 0)) + 1
    if tries < MAX_TRIES:
        os.environ[TRIES_VARIABLE] = str(tries)
        sys.stdout.flush()
        again = [] if "resume=true" in sys.argv else ["resume=true"]
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:], *again])


def launch(command: Sequence[str], count: int | None = None) -> int:
    """Run a command once for each GPU of this machine, as workers of one training; a killed worker restarts.

    Args:
        command: of one worker, which gets TF_CONFIG in its environment.
        count: number of workers; None for one on each GPU.

    Returns:
        0 if all workers succeeded, else the exit status of the first that failed (128 + signal for a killed one); the
        other workers are killed then.

    Raises:
        UserError: there is no GPU, and no count.
    """
    gpus = _gpus()
    count = count or len(gpus)
    if not count:
        raise UserError("training.strategy=mirrored finds no GPU on this machine; give the number of processes by "
                        "training.workers=N, or set training.strategy=null.")
    addresses = [f"127.0.0.1:{port}" for port in free_ports(count)]
    workers: dict[int, subprocess.Popen] = {}

    def start(rank: int, *more: str) -> None:
        cluster = {"cluster": {"worker": addresses}, "task": {"type": "worker", "index": rank}}
        environment = os.environ | {"TF_CONFIG": json.dumps(cluster)}
        if gpus:
            environment["CUDA_VISIBLE_DEVICES"] = gpus[rank % len(gpus)]
        workers[rank] = subprocess.Popen([*command, *more], env=environment)

    # So that `finally` below runs
    before = signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    revivals = 0
    try:
        for rank in range(count):
            start(rank)
        while any(worker.poll() != 0 for worker in workers.values()):
            for rank, state in [(rank, worker.poll()) for rank, worker in workers.items()]:
                if state and (state > 0 or revivals == MAX_REVIVALS):
                    return state if state > 0 else 128 - state
                if state:
                    logger.warning("Worker %d was killed by signal %d; it restarts.", rank + 1, -state)
                    for other, worker in [*workers.items()]:
                        if other == rank or worker.poll() == 0:  # a finished worker must answer the restarted one, too
                            start(other, "resume=true")
                    revivals += 1
            time.sleep(0.5)
        return 0
    finally:
        for worker in workers.values():
            worker.kill()  # TensorFlow ignores SIGTERM
        for worker in workers.values():
            worker.wait()
        signal.signal(signal.SIGTERM, before)


def free_ports(count: int) -> list[int]:
    """Find ports of this machine that no process listens on."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


def _gpus() -> list[str]:
    """List the GPUs of this machine that may be used, as CUDA_VISIBLE_DEVICES names them."""
    import tensorflow as tf

    count = len(tf.config.list_physical_devices("GPU"))
    allowed = [name for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name]
    return (allowed or [str(number) for number in range(count)])[:count]

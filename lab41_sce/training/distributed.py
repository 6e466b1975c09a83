"""Several processes train one model: each computes the gradient of its rows of a batch, and all take the same step.

A *worker* is a process that runs the same command as the others, on this machine or another one. It holds all weights,
draws its own rows of every batch and gives the mean of all workers' gradients (an all-reduce of `tf.distribute`) to its
own optimiser: so all stay alike, and batch, learning rate and loss are those that one process would have. The first
worker, the *chief*, validates and writes the run's folder; what it alone knows, such as the time, it tells the others.

A worker that loses another one begins anew and waits for it: the training goes on from the last checkpoint.
"""

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

import numpy as np

from lab41_sce.errors import UserError
from lab41_sce.models.all_reduce import all_reduce

STRATEGIES = ("mirrored", "multi_worker")
TRIES = 3  # beginnings in a row without an update
REVIVALS = 20  # of killed workers, before `launch` gives up

logger = logging.getLogger(__name__)


class WorkerLost(UserError):
    """Another worker does not answer any more."""


class Workers:
    """The processes that train together; one that is alone may use all of this, too.

    Args:
        strategy: None for one process; else the environment variable TF_CONFIG says who the others are, as
            TensorFlow documents it, and `connect` must be called before TensorFlow computes anything.

    Attributes:
        count: how many there are.
        rank: the number of this one, from 0.

    Raises:
        UserError: TF_CONFIG is missing, or cannot be understood.
    """

    def __init__(self, strategy: str | None = None):
        self.count, self.rank = 1, 0
        self._strategy = self._add_up = None
        if strategy is not None:
            self.rank, self.count = _place_in_cluster(os.environ.get("TF_CONFIG", ""), strategy)

    @property
    def is_chief(self) -> bool:
        """Whether this is the worker that validates and writes."""
        return self.rank == 0

    def rows(self, batch_size: int) -> slice:
        """Return which rows of a batch are this worker's.

        Raises:
            UserError: they cannot be shared out in equal parts.
        """
        if batch_size % self.count:
            raise UserError(f"mixtures.batch_size={batch_size} cannot be shared by {self.count} workers in equal "
                            f"parts; give a multiple of {self.count}.")
        return slice(self.rank, None, self.count)

    def connect(self) -> None:
        """Wait for the others; each takes the first GPU that it sees, if any."""
        if self.count == 1:
            return
        import tensorflow as tf

        logger.info("Worker %d of %d waits for the others.", self.rank + 1, self.count)
        tf.config.set_visible_devices(tf.config.list_physical_devices("GPU")[:1], "GPU")
        with _watched():
            self._strategy = tf.distribute.MultiWorkerMirroredStrategy()

        @tf.function(input_signature=[tf.TensorSpec([None], tf.float64)])
        def add_up(mine):
            return self._strategy.run(all_reduce, args=("SUM", mine))

        self._add_up = add_up

    def broadcast(self, *values):
        """Return the chief's numbers and arrays to every worker, in a list; float64 on their way."""
        if self.count == 1:
            return list(values)
        arrays = [np.asarray(value, np.float64) for value in values]
        flat = np.concatenate([array.ravel() for array in arrays])
        with _watched():
            flat = self._add_up(flat if self.is_chief else np.zeros_like(flat)).numpy()
        parts = np.split(flat, np.cumsum([array.size for array in arrays])[:-1])
        return [part.reshape(array.shape) for part, array in zip(parts, arrays, strict=True)]

    def barrier(self) -> None:
        """Wait until all are at their end: a chief that is killed while it scores finds the others when it is back."""
        self.broadcast(0.0)

    def train_function(self, method):
        """Make what `keras.Model.fit` calls for an update of a compiled `Method`, as Keras does for one process."""
        import tensorflow as tf

        weights = method.trainable_variables

        def mean_gradients(batch):
            with tf.GradientTape() as tape:
                loss = method(batch, training=True)
            gradients = tape.gradient(loss, weights)
            return all_reduce("MEAN", [loss, *gradients])

        @tf.function
        def update(batch):
            loss, *gradients = self._strategy.run(mean_gradients, args=(batch,))
            method.optimizer.apply(gradients, weights)  # which clips them: after the mean, as in one process
            return loss

        def train_function(iterator):
            with _watched():
                method.metrics[0].update_state(update(next(iterator)))
            os.environ.pop("LAB41_SCE_TRIES", None)
            return method.get_metrics_result()

        return train_function


def restart_process() -> None:
    """Become a new process with the same command, that resumes; do nothing after `TRIES` without an update."""
    tries = int(os.environ.get("LAB41_SCE_TRIES", 0)) + 1
    if tries < TRIES:
        os.environ["LAB41_SCE_TRIES"] = str(tries)
        sys.stdout.flush()
        again = [] if "resume=true" in sys.argv else ["resume=true"]
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:], *again])


def launch(command: Sequence[str], count: int | None = None) -> int:
    """Run a command once for each GPU of this machine, as workers of each other; one that is killed begins anew.

    Args:
        command: of one worker; it finds TF_CONFIG in its environment.
        count: workers, if not one for each GPU.

    Returns:
        0 if all came to their end, else the exit status of the first that did not, as the shell has it: the others are
        ended then.

    Raises:
        UserError: there is no GPU, and no count.
    """
    gpus = _gpus()
    count = count or len(gpus)
    if not count:
        raise UserError("training.strategy=mirrored finds no GPU here; say how many processes there shall be by "
                        "training.workers=N, or set training.strategy=null.")
    addresses = [f"127.0.0.1:{port}" for port in free_ports(count)]
    workers = {}

    def start(rank, *more):
        cluster = {"cluster": {"worker": addresses}, "task": {"type": "worker", "index": rank}}
        environment = os.environ | {"TF_CONFIG": json.dumps(cluster)}
        if gpus:
            environment["CUDA_VISIBLE_DEVICES"] = gpus[rank % len(gpus)]
        workers[rank] = subprocess.Popen([*command, *more], env=environment)

    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # and so to the end of this function
    revivals = 0
    try:
        for rank in range(count):
            start(rank)
        while any(worker.poll() != 0 for worker in workers.values()):
            for rank, state in [(rank, worker.poll()) for rank, worker in workers.items()]:
                if state and (state > 0 or revivals == REVIVALS):
                    return state if state > 0 else 128 - state
                if state:
                    logger.warning("Worker %d was ended by signal %d; it begins anew.", rank + 1, -state)
                    for other, worker in [*workers.items()]:
                        if other == rank or worker.poll() == 0:  # whoever is at its end has to answer it, too
                            start(other, "resume=true")
                    revivals += 1
            time.sleep(0.5)
        return 0
    finally:
        for worker in workers.values():
            worker.kill()  # TensorFlow does not let go at SIGTERM
        for worker in workers.values():
            worker.wait()


@contextlib.contextmanager
def _watched():
    """Tell in one sentence that another worker is gone."""
    import tensorflow as tf

    errors = tf.errors
    try:
        yield
    except (errors.UnavailableError, errors.AbortedError, errors.DeadlineExceededError, errors.CancelledError,
            errors.InternalError, errors.FailedPreconditionError) as error:
        reason = str(error.message).partition("\n")[0][:200]
        raise WorkerLost(f"another worker does not answer any more ({reason}); the same command with resume=true, on "
                         "all of them, goes on from the last checkpoint.") from None


def _place_in_cluster(text: str, strategy: str) -> tuple[int, int]:
    """Return the number of this worker and how many there are, from what TF_CONFIG says."""
    try:
        described = json.loads(text)
        cluster, task = described["cluster"], described["task"]
        places = [(job, index) for job in ("chief", "worker") for index in range(len(cluster.get(job, ())))]
        return places.index((task["type"], int(task["index"]))), len(places)
    except (ValueError, KeyError, TypeError, AttributeError):
        raise UserError(
            f"training.strategy={strategy} wants the environment variable TF_CONFIG to say who trains together, like "
            '{"cluster": {"worker": ["host1:2222", "host2:2222"]}, "task": {"type": "worker", "index": 0}}, not '
            f"'{text}'.") from None


def _gpus() -> list[str]:
    """List the GPUs of this machine that may be used, as CUDA_VISIBLE_DEVICES names them."""
    import tensorflow as tf

    count = len(tf.config.list_physical_devices("GPU"))
    allowed = [name for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name]
    return (allowed or [str(number) for number in range(count)])[:count]


def free_ports(count: int) -> list[int]:
    """Find ports that nothing listens on."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]

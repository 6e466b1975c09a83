"""Several processes train one model: each computes the gradient of its rows of a batch, and all make the same update.

A *worker* is a process that runs the same command as the others, on this machine or on another one. It holds all
weights, draws its own rows of every batch, and passes the mean of all workers' gradients (an all-reduce of
`tf.distribute`) to its own optimizer. So the weights of all workers stay equal, and batch, learning rate and loss are
those of one process, except where an update draws random numbers or a layer averages over rows (docs/experiments.md).
The first worker, the *chief*, validates, writes the run's folder, and broadcasts its measurements, such as the time.

A worker that loses another one restarts and waits for it: training continues from the last checkpoint.
"""

import contextlib
import json
import logging
import os
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from lab41_sce.errors import UserError

if TYPE_CHECKING:  # the command of an experiment imports this file, and its --help must not load Keras
    import keras

TRIES_VARIABLE = "LAB41_SCE_TRIES"  # environment variable: restarts in a row without an update

logger = logging.getLogger(__name__)


class WorkerLost(UserError):
    """Another worker has stopped answering."""


class Workers:
    """The processes that train together; a single process uses the same methods.

    Args:
        strategy: None for one process; else the environment variable TF_CONFIG lists the workers, in the format that
            TensorFlow documents, and `connect` must be called before TensorFlow computes anything.

    Attributes:
        count: number of workers.
        rank: number of this worker, from 0.

    Raises:
        UserError: TF_CONFIG is missing, or cannot be parsed.
    """

    def __init__(self, strategy: str | None = None):
        self.count, self.rank = 1, 0
        self._strategy: Any = None
        self._add_up: Any = None
        if strategy is not None:
            self.rank, self.count = _place_in_cluster(os.environ.get("TF_CONFIG", ""), strategy)

    @property
    def is_chief(self) -> bool:
        """Whether this is the worker that validates and writes."""
        return self.rank == 0

    def rows(self, batch_size: int) -> slice:
        """Return the rows of a batch that belong to this worker.

        Raises:
            UserError: the batch cannot be divided into equal parts.
        """
        if batch_size % self.count:
            raise UserError(f"mixtures.batch_size={batch_size} cannot be divided among {self.count} workers in equal "
                            f"parts; give a multiple of {self.count}.")
        return slice(self.rank, None, self.count)

    def connect(self) -> None:
        """Wait for the other workers; each uses the first GPU that is visible to it, if any."""
        if self.count == 1:
            return
        import tensorflow as tf

        from lab41_sce.models.all_reduce import all_reduce

        logger.info("Worker %d of %d waits for the others.", self.rank + 1, self.count)
        tf.config.set_visible_devices(tf.config.list_physical_devices("GPU")[:1], "GPU")
        with _lost_workers_raise():
            self._strategy = tf.distribute.MultiWorkerMirroredStrategy()

        @tf.function(input_signature=[tf.TensorSpec([None], tf.float64)])
        def add_up(mine: Any) -> Any:
            return self._strategy.run(all_reduce, args=("SUM", mine))

        self._add_up = add_up

    def broadcast(self, *values: Any) -> list[Any]:
        """Return the chief's numbers and arrays to every worker, in a list; they are sent as float64."""
        if self.count == 1:
            return list(values)
        arrays = [np.asarray(value, np.float64) for value in values]
        flat = np.concatenate([array.ravel() for array in arrays])
        with _lost_workers_raise():
            flat = self._add_up(flat if self.is_chief else np.zeros_like(flat)).numpy()
        parts = np.split(flat, np.cumsum([array.size for array in arrays])[:-1])
        return [part.reshape(array.shape) for part, array in zip(parts, arrays, strict=True)]

    def synchronize(self, update: int, variables: Sequence["keras.Variable"]) -> int:
        """Give all workers the variables of the chief.

        Args:
            update: number of updates so far.
            variables: variables of this worker, which are overwritten.

        Returns:
            The chief's number of updates.
        """
        if self.count == 1:
            return update
        update, *arrays = self.broadcast(update, *(variable.numpy() for variable in variables))
        for variable, array in zip(variables, arrays, strict=True):
            variable.assign(array)
        return int(update)

    def barrier(self) -> None:
        """Wait until all workers are here: a chief that is killed while it scores finds the others when it restarts."""
        self.broadcast(0.0)

    def train_function(self, method: "keras.Model") -> Callable[[Iterator[Any]], Any]:
        """Make the function that `keras.Model.fit` calls for an update of a compiled `Method`."""
        import tensorflow as tf

        from lab41_sce.models.all_reduce import all_reduce

        weights = method.trainable_variables

        def mean_gradients(batch: Any) -> Any:
            with tf.GradientTape() as tape:
                loss = method(batch, training=True)
            gradients = tape.gradient(loss, weights)
            return all_reduce("MEAN", [loss, *gradients])

        @tf.function
        def update(batch: Any) -> Any:
            loss, *gradients = self._strategy.run(mean_gradients, args=(batch,))
            method.optimizer.apply(gradients, weights)  # clips them after the mean, as one process does
            return loss

        def train_function(iterator: Iterator[Any]) -> Any:
            with _lost_workers_raise():
                method.metrics[0].update_state(update(next(iterator)))
            os.environ.pop(TRIES_VARIABLE, None)
            return method.get_metrics_result()

        return train_function


@contextlib.contextmanager
def _lost_workers_raise() -> Iterator[None]:
    """Turn TensorFlow's errors about a lost worker into `WorkerLost`."""
    import tensorflow as tf

    errors = tf.errors
    try:
        yield
    except (errors.UnavailableError, errors.AbortedError, errors.DeadlineExceededError, errors.CancelledError,
            errors.InternalError, errors.FailedPreconditionError) as error:
        reason = str(error.message).partition("\n")[0][:200]
        raise WorkerLost(f"another worker does not answer any more ({reason}); the same command with resume=true, on "
                         "all of them, continues from the last checkpoint.") from None


def _place_in_cluster(text: str, strategy: str) -> tuple[int, int]:
    """Return the number of this worker and the number of all, from the text of TF_CONFIG."""
    try:
        described = json.loads(text)
        cluster, task = described["cluster"], described["task"]
        places = [(job, index) for job in ("chief", "worker") for index in range(len(cluster.get(job, ())))]
        return places.index((task["type"], int(task["index"]))), len(places)
    except (ValueError, KeyError, TypeError, AttributeError):
        raise UserError(
            f"training.strategy={strategy} needs the environment variable TF_CONFIG, a list of the workers like "
            '{"cluster": {"worker": ["host1:2222", "host2:2222"]}, "task": {"type": "worker", "index": 0}}, not '
            f"'{text}'.") from None

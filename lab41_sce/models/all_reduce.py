"""Numbers are summed or averaged over the processes that train one model together (`training/distributed.py`)."""

from typing import Any

from lab41_sce.models import Tensor


def all_reduce_mean(value: Tensor) -> Tensor:
    """Average a number over the workers that compute one loss together; without workers, return the number itself.

    A loss that divides by a sum over the batch must divide by the sum over the rows of all workers.

    Args:
        value: scalar or tensor of any shape, the same shape on each worker.

    Returns:
        Tensor of the same shape.
    """
    import keras  # not at the top: the command of an experiment imports this file, and must start quickly

    if keras.backend.backend() != "tensorflow":
        return value
    import tensorflow as tf

    context = tf.distribute.get_replica_context()
    return value if context is None or context.num_replicas_in_sync == 1 else all_reduce("MEAN", value)


def all_reduce(operation: str, values: Any) -> Any:
    """Sum or average tensors over the workers; only inside `strategy.run`.

    Args:
        operation: "SUM" or "MEAN".
        values: a tensor, or a list of tensors.

    Returns:
        Tensors in the structure of `values`.
    """
    import tensorflow as tf

    values = tf.nest.map_structure(tf.identity, values)  # all_reduce needs tensors that are placed on a device
    return tf.distribute.get_replica_context().all_reduce(operation, values)

"""Numbers are added up or averaged over the processes that train one model together (`training/distributed.py`)."""


def all_reduce_mean(value):
    """Average a number over the workers that compute one loss together; elsewhere it stays as it is.

    A loss that divides by a sum over the batch must divide by that of all rows, not of a worker's own.
    """
    import keras

    if keras.backend.backend() != "tensorflow":
        return value
    import tensorflow as tf

    context = tf.distribute.get_replica_context()
    return value if context is None or context.num_replicas_in_sync == 1 else all_reduce("MEAN", value)


def all_reduce(how, values):
    """Add up or average a tensor, or each of a list, over the workers; to be called in `strategy.run`."""
    import tensorflow as tf

    values = tf.nest.map_structure(tf.identity, values)  # a tensor must have a place before it is sent
    return tf.distribute.get_replica_context().all_reduce(how, values)

"""Adam for tables with a row for each speaker, of which a batch uses a few.

Adam moves every row in every update, also rows without a gradient, because it remembers earlier gradients. For some
thousand speakers that costs nothing; for 100,000 it would be most of the optimizer's work, and workers would send each
other tables of zeros. So in a table with more than `DENSE_ROWS` rows only the rows with a gradient move, and the memory
of the other rows waits: cost and traffic grow with the batch, not with the number of speakers.
"""

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

DENSE_ROWS = 10_000


class RowAdam(keras.optimizers.Adam):
    """Adam that moves only the used rows of large tables.

    Small variables are updated exactly as by `keras.optimizers.Adam`. A row of a large table is updated as if the
    updates that do not use it did not exist, except for the bias correction, which counts all updates. (Adam would keep
    moving the row in the direction of its last gradient, and the further the more rarely it is used: a single mixture
    would reverse the vector of a speaker who occurs once in a thousand updates.)

    Args:
        learning_rate: as of `keras.optimizers.Adam`.
        beta_2: as of `keras.optimizers.Adam`.
        clip_norm: largest norm of all gradients together; None for no limit.
    """

    def __init__(self, learning_rate: float, beta_2: float = 0.999, clip_norm: float | None = None):
        super().__init__(learning_rate, beta_2=beta_2)
        self.clip_norm = clip_norm

    def apply(self, grads: Sequence[Any], trainable_variables: Sequence[keras.Variable]) -> None:
        """Update variables by their gradients, tensors or, where rows were looked up, `tf.IndexedSlices`."""
        if self.clip_norm is not None:  # as Keras does: by the norm of the slices, before equal rows are added
            grads, _ = tf.clip_by_global_norm(grads, self.clip_norm)
        grads = [_summed(gradient, variable) for gradient, variable in zip(grads, trainable_variables)]
        super().apply(grads, trainable_variables)

    def update_step(self, gradient: Any, variable: keras.Variable, learning_rate: Any) -> None:
        """Update one variable by its gradient."""
        if not isinstance(gradient, tf.IndexedSlices):
            super().update_step(gradient, variable, learning_rate)
            return
        rows, gradient, step = gradient.indices, gradient.values, tf.cast(self.iterations + 1, variable.dtype)
        place = self._get_variable_index(variable)
        tables = self._momentums[place].value, self._velocities[place].value
        momentum, velocity = (decay * tf.gather(table, rows) + (1.0 - decay) * power for table, decay, power in
                              zip(tables, (self.beta_1, self.beta_2), (gradient, gradient**2)))
        for table, values in zip(tables, (momentum, velocity)):
            table.scatter_update(tf.IndexedSlices(values, rows))
        rate = tf.cast(learning_rate, variable.dtype) * tf.sqrt(1.0 - self.beta_2**step) / (1.0 - self.beta_1**step)
        variable.scatter_sub(tf.IndexedSlices(rate * momentum / (tf.sqrt(velocity) + self.epsilon), rows))


def _summed(gradient: Any, variable: keras.Variable) -> Any:
    """Add the slices of each row of a large table; turn those of a small one into a tensor."""
    if not isinstance(gradient, tf.IndexedSlices) or variable.shape[0] <= DENSE_ROWS:
        return tf.convert_to_tensor(gradient)
    rows, places = tf.unique(gradient.indices)
    values = tf.math.unsorted_segment_sum(gradient.values, places, tf.size(rows))
    return tf.IndexedSlices(values, rows, gradient.dense_shape)

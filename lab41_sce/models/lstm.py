"""A bidirectional LSTM layer whose two directions go through time together: `[B, T, D]` to `[B, T, 2 U]`.

It is `keras.layers.Bidirectional(keras.layers.LSTM(U, return_sequences=True))` number for number and weight for weight,
arranged for CPUs, where the many small products and sums of a step are what takes the time:

    inputs of all frames times the input weights      -> one product for each direction, before the loop
    a step of both directions                         -> one batched product, and in training all sums and gates in one
                                                         compiled loop over numbers (XLA)
    gradients of all weights and inputs, all frames   -> a product for each, after the loop

    i, f, o = sigmoid(z_t + U h_t-1)   g = tanh(z_t + U h_t-1)   c_t = f c_t-1 + i g   h_t = o tanh(c_t)

In training, numbers may be multiplied as bfloat16, twice as fast on processors that can (AVX512-BF16, AMX); sums, cells
and weights stay float32. GPUs, other backends than TensorFlow, masks, initial states and other policies get Keras's own
layers.
"""

import time
from functools import lru_cache

import keras
from keras import layers


@keras.saving.register_keras_serializable("lab41_sce")
class BidirectionalLSTM(layers.Bidirectional):
    """Run an LSTM over the frames in both directions.

    Args:
        layer: `keras.layers.LSTM` with `return_sequences=True` and its usual activations.
        training_dtype: of the numbers that are multiplied in training: "float32", "bfloat16", or "fastest" of these.
        **options: as of `keras.layers.Bidirectional`.
    """

    def __init__(self, layer, training_dtype="float32", **options):
        super().__init__(layer, **options)
        self._template = _KeptAlive(layer)
        if training_dtype not in ("float32", "bfloat16", "fastest"):
            raise ValueError(f"training_dtype '{training_dtype}' is not possible; give float32, bfloat16 or fastest.")
        self.training_dtype = training_dtype

    def call(self, sequences, initial_state=None, mask=None, training=None):
        """Map float32 `[B, T, D]` to `[B, T, 2 U]`: what the forward and what the backward direction say."""
        plain = initial_state is None and mask is None and self.compute_dtype == "float32"
        if keras.backend.backend() != "tensorflow" or not plain:
            return super().call(sequences, initial_state=initial_state, mask=mask, training=training)
        import tensorflow as tf

        if tf.config.list_physical_devices("GPU"):  # where Keras has cuDNN's
            return super().call(sequences, training=training)
        cells = self.forward_layer.cell, self.backward_layer.cell
        weights = [tf.stack([tf.convert_to_tensor(getattr(cell, name)) for cell in cells])
                   for name in ("kernel", "recurrent_kernel", "bias")]
        dtype = fastest_dtype() if training and self.training_dtype == "fastest" else self.training_dtype
        run = _recurrence(dtype if training else "float32", compiled=bool(training))
        sequences = tf.convert_to_tensor(sequences)
        outputs = tf.transpose(run(tf.transpose(sequences, (1, 0, 2)), *weights), (1, 0, 2))
        return tf.ensure_shape(outputs, (*sequences.shape[:2], outputs.shape[2]))  # loops forget what is known

    def get_config(self):
        """Return the arguments, for serialisation."""
        return super().get_config() | {"training_dtype": self.training_dtype}


class _KeptAlive:
    """Keep a layer alive without Keras tracking it as a part.

    `Bidirectional` serialises its template to make the two directions. While Keras 3 loads a model, it recognises
    shared objects by `id()`: if a template were freed, a later one at the same address would be taken for it, and that
    layer would get a direction of another one.
    """

    def __init__(self, layer):
        self.layer = layer


@lru_cache(maxsize=1)
def fastest_dtype(size: int = 512, worth: float = 1.25) -> str:
    """Measure which dtype this processor multiplies faster: "bfloat16" has to be `worth` times as fast as "float32"."""
    import tensorflow as tf

    taken = {}
    with tf.init_scope():  # also where a training step is being traced
        for dtype in ("float32", "bfloat16"):
            matrix, times = tf.cast(tf.random.stateless_normal((size, size), (0, 0)), dtype), []
            for _ in range(7):
                start = time.perf_counter()
                tf.matmul(matrix, matrix).numpy()
                times.append(time.perf_counter() - start)
            taken[dtype] = min(times)
    return "bfloat16" if taken["float32"] > worth * taken["bfloat16"] else "float32"


def _recurrence(dtype, compiled):
    """Return the function of both directions: `[T, B, D]` and their weights to `[T, B, 2 U]`.

    The backward direction reads and writes the frames from the last one on. `dtype` is that of the numbers that are
    multiplied, and of those that wait for it; `compiled` is worth its second of compiling where there are many calls.
    """
    import tensorflow as tf

    def array(n_frames, *shape, of=dtype):
        return tf.TensorArray(of, n_frames, element_shape=shape)

    def cell_step(projected, said, bias, cell):
        i, f, g, o = tf.split(tf.cast(tf.stack(projected) + said, tf.float32) + bias, 4, axis=-1)
        i, f, g, o = tf.sigmoid(i), tf.sigmoid(f), tf.tanh(g), tf.sigmoid(o)
        cell = f * cell + i * g
        return tf.cast(o * tf.tanh(cell), dtype), cell, tf.cast(tf.concat([i, f, g, o], axis=-1), dtype)

    def cell_step_back(gates, cell, before, d_hidden, upstream, d_cell):
        i, f, g, o = tf.split(tf.cast(gates, tf.float32), 4, axis=-1)
        out = tf.tanh(cell)
        d_hidden = tf.cast(d_hidden, tf.float32) + tf.stack(upstream)
        d_cell += d_hidden * o * (1 - out * out)
        d_step = tf.concat([d_cell * g * i * (1 - i), d_cell * before * f * (1 - f), d_cell * i * (1 - g * g),
                            d_hidden * out * o * (1 - o)], axis=-1)
        return tf.cast(d_step, dtype), d_cell * f

    if compiled:
        cell_step = tf.function(cell_step, jit_compile=True)
        cell_step_back = tf.function(cell_step_back, jit_compile=True)

    @tf.custom_gradient
    def run(frames, kernels, recurrent, biases):
        (n_frames, batch), width, units = tf.unstack(tf.shape(frames)[:2]), frames.shape[2], recurrent.shape[1]
        flat = tf.reshape(tf.cast(frames, dtype), (-1, width))
        kernels, recurrent = tf.cast(kernels, dtype), tf.cast(recurrent, dtype)
        projected = [tf.reshape(flat @ kernels[way], (n_frames, batch, 4 * units)) for way in (0, 1)]
        silent, empty = tf.zeros((2, batch, units), dtype), tf.zeros((2, batch, units))

        def both(ahead, back, frame):
            return ahead[frame], back[n_frames - 1 - frame]

        def step(frame, hidden, cell, ahead, back, cells, gates):
            hidden, cell, gate = cell_step(both(*projected, frame), hidden @ recurrent, biases[:, None], cell)
            return (frame + 1, hidden, cell, ahead.write(frame, hidden[0]),
                    back.write(n_frames - 1 - frame, hidden[1]), cells.write(frame, cell), gates.write(frame, gate))

        arrays = (array(n_frames, None, units), array(n_frames, None, units),
                  array(n_frames, 2, None, units, of=tf.float32), array(n_frames, 2, None, 4 * units))
        written = tf.while_loop(lambda frame, *_: frame < n_frames, step, (0, silent, empty, *arrays))[3:]
        ahead, back, cells, gates = (states.stack() for states in written)

        def gradient(upstream):
            upstream = tf.split(upstream, 2, axis=-1)
            before = tf.concat([empty[None], cells[:-1]], axis=0)

            def step_back(frame, d_hidden, d_cell, d_ahead, d_back):
                d_step, d_cell = cell_step_back(gates[frame], cells[frame], before[frame], d_hidden,
                                                both(*upstream, frame), d_cell)
                return (frame - 1, tf.matmul(d_step, recurrent, transpose_b=True), d_cell,
                        d_ahead.write(frame, d_step[0]), d_back.write(n_frames - 1 - frame, d_step[1]))

            arrays = array(n_frames, None, 4 * units), array(n_frames, None, 4 * units)
            written = tf.while_loop(lambda frame, *_: frame >= 0, step_back, (n_frames - 1, silent, empty, *arrays))[3:]
            d_projected = [tf.reshape(states.stack(), (-1, 4 * units)) for states in written]
            earlier = tf.concat([silent[:1], ahead[:-1]], axis=0), tf.concat([back[1:], silent[:1]], axis=0)

            def for_weights(inputs):
                return tf.cast(tf.stack([tf.matmul(values, d_values, transpose_a=True)
                                         for values, d_values in zip(inputs, d_projected, strict=True)]), tf.float32)

            d_frames = sum(tf.matmul(d_projected[way], kernels[way], transpose_b=True) for way in (0, 1))
            d_biases = for_weights([tf.ones((n_frames * batch, 1), dtype)] * 2)[:, 0]
            return (tf.cast(tf.reshape(d_frames, (n_frames, batch, width)), tf.float32), for_weights((flat, flat)),
                    for_weights([tf.reshape(states, (-1, units)) for states in earlier]), d_biases)

        return tf.cast(tf.concat([ahead, back], axis=-1), tf.float32), gradient

    return run

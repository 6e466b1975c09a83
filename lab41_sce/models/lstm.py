"""A bidirectional LSTM layer that steps through both directions together: `[B, T, D]` to `[B, T, 2 U]`.

It computes the same numbers from the same weights as `keras.layers.Bidirectional(keras.layers.LSTM(U,
return_sequences=True))`:

    i, f, o = sigmoid(z_t + U h_t-1)   g = tanh(z_t + U h_t-1)   c_t = f c_t-1 + i g   h_t = o tanh(c_t)

It is arranged for CPUs, where the many small products and sums of a step take most of the time:

    z, the inputs of all frames times the input weights  one product for each direction, before the loop
    a step of both directions                            one batched product; in training, one compiled function (XLA)
                                                         for all sums and gates
    gradients of all weights and inputs                  one product each for all frames, after the loop

In training, products may be computed in bfloat16, which is twice as fast on processors that support it (AVX512-BF16,
AMX). Sums, cells and weights stay float32. On GPUs, with other backends than TensorFlow, and with masks, initial states
or other dtype policies, Keras's own layers run instead.
"""

import time
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import keras
from keras import layers

from lab41_sce.models import Tensor

TRAINING_DTYPES = ("float32", "bfloat16", "fastest")
# The arguments of both directions that change what the layer computes. Initialisers, regularizers and constraints of
# the weights may have any value.
COMPUTED = {"activation": "tanh", "recurrent_activation": "sigmoid", "use_bias": True, "dropout": 0.0,
            "recurrent_dropout": 0.0, "return_sequences": True, "return_state": False, "stateful": False,
            "activity_regularizer": None}


@keras.saving.register_keras_serializable("lab41_sce")
class BidirectionalLSTM(layers.Bidirectional):
    """Run an LSTM over the frames in both directions.

    Args:
        layer: `keras.layers.LSTM` with the arguments in `COMPUTED`.
        training_dtype: dtype of the products in training: "float32", "bfloat16", or "fastest", which measures the two.
            It has no effect where Keras's own layers run.
        **options: of `keras.layers.Bidirectional`, such as `name`.

    Raises:
        ValueError: `training_dtype` is none of these, or the layer would not compute what an argument asks for.
    """

    def __init__(self, layer: layers.LSTM, *, training_dtype: str, **options: Any):
        super().__init__(layer, **options)
        self._template = _KeptAlive(layer)
        if training_dtype not in TRAINING_DTYPES:
            raise ValueError(f"training_dtype '{training_dtype}' is not possible; give float32, bfloat16 or fastest.")
        self.training_dtype = training_dtype
        self._require_computed(options)

    def _require_computed(self, options: dict[str, Any]) -> None:
        """Raise ValueError unless `call` computes what the arguments ask for."""
        given: list[tuple[str, Any, Any]] = [("merge_mode", self.merge_mode, "concat"),
                                             ("weights", options.get("weights"), None)]
        for layer, go_backwards in ((self.forward_layer, False), (self.backward_layer, True)):
            if not isinstance(layer, layers.LSTM):
                raise ValueError(f"BidirectionalLSTM cannot wrap {type(layer).__name__}; give a keras.layers.LSTM, or "
                                 "use keras.layers.Bidirectional.")
            config, wanted = layer.get_config(), COMPUTED | {"go_backwards": go_backwards}
            given += [(name, config[name], value) for name, value in wanted.items()]
        given.append(("units of the backward layer", self.backward_layer.units, self.forward_layer.units))
        for name, seen, value in given:
            if seen != value:
                raise ValueError(f"BidirectionalLSTM cannot compute {name}={seen!r}; give {value!r}, or use "
                                 "keras.layers.Bidirectional.")

    def call(self, sequences: Tensor, initial_state: Any = None, mask: Tensor = None,
             training: bool | None = None) -> Tensor:
        """Map float32 `[B, T, D]` to `[B, T, 2 U]`: the outputs of the forward, then of the backward direction."""
        dtypes = {layer.compute_dtype for layer in (self, self.forward_layer, self.backward_layer)}
        plain = initial_state is None and mask is None and dtypes == {"float32"}
        if keras.backend.backend() != "tensorflow" or not plain:
            return super().call(sequences, initial_state=initial_state, mask=mask, training=training)
        import tensorflow as tf

        if tf.config.list_physical_devices("GPU"):  # cuDNN is faster there
            return super().call(sequences, training=training)
        cells = self.forward_layer.cell, self.backward_layer.cell
        weights = [tf.stack([tf.convert_to_tensor(getattr(cell, name)) for cell in cells])
                   for name in ("kernel", "recurrent_kernel", "bias")]
        dtype = fastest_dtype() if training and self.training_dtype == "fastest" else self.training_dtype
        run = _recurrence(dtype if training else "float32", compiled=bool(training))
        sequences = tf.convert_to_tensor(sequences)
        outputs = tf.transpose(run(tf.transpose(sequences, (1, 0, 2)), *weights), (1, 0, 2))
        return tf.ensure_shape(outputs, (*sequences.shape[:2], outputs.shape[2]))  # the loop loses the static shape

    def get_config(self) -> dict[str, Any]:
        """Return the arguments, for serialisation."""
        return super().get_config() | {"training_dtype": self.training_dtype}

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> "BidirectionalLSTM":
        """Create the layer from `get_config`; files from before version 0.2 may lack `training_dtype`."""
        return super().from_config({"training_dtype": "float32"} | config, custom_objects)


class _KeptAlive:
    """Keep a layer alive without making it a part that Keras tracks.

    `Bidirectional` serialises its template to make the two directions. While Keras 3 loads a model, it recognises
    shared objects by `id()`. If a template were freed, a later one could get the same address, and Keras would reuse a
    direction of the wrong layer.
    """

    def __init__(self, layer: layers.Layer):
        self.layer = layer


@lru_cache(maxsize=1)
def fastest_dtype(size: int = 512, min_speedup: float = 1.25) -> str:
    """Measure in which dtype this processor multiplies matrices faster.

    Args:
        size: rows and columns of the matrices.
        min_speedup: how many times as fast as float32 bfloat16 must be to be chosen.

    Returns:
        "bfloat16" or "float32".
    """
    import tensorflow as tf

    seconds = {}
    with tf.init_scope():  # runs the products even while a training step is traced
        for dtype in ("float32", "bfloat16"):
            matrix, times = tf.cast(tf.random.stateless_normal((size, size), (0, 0)), dtype), []
            for _ in range(7):
                start = time.perf_counter()
                tf.matmul(matrix, matrix).numpy()
                times.append(time.perf_counter() - start)
            seconds[dtype] = min(times)
    return "bfloat16" if seconds["float32"] > min_speedup * seconds["bfloat16"] else "float32"


def _recurrence(dtype: str, compiled: bool) -> Callable[..., Tensor]:
    """Return the function of both directions: frames `[T, B, D]` and their weights to `[T, B, 2 U]`.

    The backward direction reads and writes the frames from the last one on. Products, and the arrays that the gradient
    reads, have `dtype`. Compiling takes about a second, so `compiled` is for functions that are called often.
    """
    import tensorflow as tf

    def array(n_frames: Tensor, *shape: int | None, of: Any = dtype) -> Any:
        return tf.TensorArray(of, n_frames, element_shape=shape)

    def cell_step(projected: Any, recurrent_product: Tensor, bias: Tensor, cell: Tensor) -> tuple[Tensor, ...]:
        """Return the next hidden state, cell and gates, `[2, B, U]`, `[2, B, U]` and `[2, B, 4 U]`."""
        i, f, g, o = tf.split(tf.cast(tf.stack(projected) + recurrent_product, tf.float32) + bias, 4, axis=-1)
        i, f, g, o = tf.sigmoid(i), tf.sigmoid(f), tf.tanh(g), tf.sigmoid(o)
        cell = f * cell + i * g
        return tf.cast(o * tf.tanh(cell), dtype), cell, tf.cast(tf.concat([i, f, g, o], axis=-1), dtype)

    def cell_gradient(gates: Tensor, cell: Tensor, previous_cell: Tensor, d_hidden: Tensor, upstream: Any,
                      d_cell: Tensor) -> tuple[Tensor, Tensor]:
        """Return the gradients of the gates' inputs, `[2, B, 4 U]`, and of the previous cell, `[2, B, U]`."""
        i, f, g, o = tf.split(tf.cast(gates, tf.float32), 4, axis=-1)
        out = tf.tanh(cell)
        d_hidden = tf.cast(d_hidden, tf.float32) + tf.stack(upstream)
        d_cell += d_hidden * o * (1 - out * out)
        d_gates = tf.concat([d_cell * g * i * (1 - i), d_cell * previous_cell * f * (1 - f), d_cell * i * (1 - g * g),
                             d_hidden * out * o * (1 - o)], axis=-1)
        return tf.cast(d_gates, dtype), d_cell * f

    if compiled:
        cell_step = tf.function(cell_step, jit_compile=True)
        cell_gradient = tf.function(cell_gradient, jit_compile=True)

    @tf.custom_gradient
    def run(frames: Tensor, kernels: Tensor, recurrent: Tensor, biases: Tensor) -> tuple[Tensor, Callable[..., Any]]:
        (n_frames, batch), width, units = tf.unstack(tf.shape(frames)[:2]), frames.shape[2], recurrent.shape[1]
        flat = tf.reshape(tf.cast(frames, dtype), (-1, width))  # [T B, D]
        kernels, recurrent = tf.cast(kernels, dtype), tf.cast(recurrent, dtype)  # [2, D, 4 U], [2, U, 4 U]
        projected = [tf.reshape(flat @ kernels[direction], (n_frames, batch, 4 * units)) for direction in (0, 1)]
        zero_hidden, zero_cell = tf.zeros((2, batch, units), dtype), tf.zeros((2, batch, units))

        def at_step(directions: Any, frame: Tensor) -> tuple[Tensor, Tensor]:
            return directions[0][frame], directions[1][n_frames - 1 - frame]

        def step(frame: Tensor, hidden: Tensor, cell: Tensor, forward: Any, backward: Any, cells: Any,
                 gates: Any) -> tuple[Any, ...]:
            hidden, cell, gate = cell_step(at_step(projected, frame), hidden @ recurrent, biases[:, None], cell)
            # Both directions are written in the order of the steps, because tf2onnx 1.17.0, and with it Keras's own
            # export to ONNX, ignores the place that `write` receives.
            return (frame + 1, hidden, cell, forward.write(frame, hidden[0]), backward.write(frame, hidden[1]),
                    cells.write(frame, cell), gates.write(frame, gate))

        arrays = (array(n_frames, None, units), array(n_frames, None, units),
                  array(n_frames, 2, None, units, of=tf.float32), array(n_frames, 2, None, 4 * units))
        written = tf.while_loop(lambda frame, *_: frame < n_frames, step, (0, zero_hidden, zero_cell, *arrays))[3:]
        forward, backward, cells, gates = (states.stack() for states in written)  # [T, B, U] twice, [T, 2, B, ...]
        backward = tf.reverse(backward, [0])

        def gradient(upstream: Tensor) -> tuple[Tensor, ...]:
            upstream = tf.split(upstream, 2, axis=-1)
            previous_cells = tf.concat([zero_cell[None], cells[:-1]], axis=0)

            def step_back(frame: Tensor, d_hidden: Tensor, d_cell: Tensor, d_forward: Any,
                          d_backward: Any) -> tuple[Any, ...]:
                d_gates, d_cell = cell_gradient(gates[frame], cells[frame], previous_cells[frame], d_hidden,
                                                at_step(upstream, frame), d_cell)
                return (frame - 1, tf.matmul(d_gates, recurrent, transpose_b=True), d_cell,
                        d_forward.write(frame, d_gates[0]), d_backward.write(n_frames - 1 - frame, d_gates[1]))

            arrays = array(n_frames, None, 4 * units), array(n_frames, None, 4 * units)
            start = n_frames - 1, zero_hidden, zero_cell, *arrays
            written = tf.while_loop(lambda frame, *_: frame >= 0, step_back, start)[3:]
            d_projected = [tf.reshape(states.stack(), (-1, 4 * units)) for states in written]  # [T B, 4 U]
            previous_hidden = (tf.concat([zero_hidden[:1], forward[:-1]], axis=0),
                               tf.concat([backward[1:], zero_hidden[:1]], axis=0))

            def weight_gradients(inputs: Any) -> Tensor:
                return tf.cast(tf.stack([tf.matmul(values, d_values, transpose_a=True)
                                         for values, d_values in zip(inputs, d_projected, strict=True)]), tf.float32)

            d_frames = sum(tf.matmul(d_projected[direction], kernels[direction], transpose_b=True)
                           for direction in (0, 1))
            d_recurrent = weight_gradients([tf.reshape(states, (-1, units)) for states in previous_hidden])
            d_biases = weight_gradients([tf.ones((n_frames * batch, 1), dtype)] * 2)[:, 0]
            return (tf.cast(tf.reshape(d_frames, (n_frames, batch, width)), tf.float32),
                    weight_gradients((flat, flat)), d_recurrent, d_biases)

        return tf.cast(tf.concat([forward, backward], axis=-1), tf.float32), gradient

    return run

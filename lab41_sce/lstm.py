"""A bidirectional LSTM layer whose two directions go through time together: `[B, T, D]` to `[B, T, 2 U]`.

It is `keras.layers.Bidirectional(keras.layers.LSTM(U, return_sequences=True))` number for number and weight for weight,
arranged for CPUs, where the many small products and sums of a step are what takes the time:

    inputs of all frames times the input weights   -> one product for each direction, before the loop
    a step of both directions                      -> one batched product
    gradient of the recurrent weights, all frames  -> one batched product for both, after the loop

    i, f, o = sigmoid(z_t + U h_t-1)   g = tanh(z_t + U h_t-1)   c_t = f c_t-1 + i g   h_t = o tanh(c_t)

Other backends than TensorFlow, masks, initial states and low precision get Keras's own loop.
"""

import keras
from keras import layers


@keras.saving.register_keras_serializable("lab41_sce")
class BidirectionalLSTM(layers.Bidirectional):
    """Run an LSTM over the frames in both directions.

    Args:
        layer: `keras.layers.LSTM` with `return_sequences=True` and its usual activations.
        **options: as of `keras.layers.Bidirectional`.
    """

    def call(self, sequences, initial_state=None, mask=None, training=None):
        """Map float32 `[B, T, D]` to `[B, T, 2 U]`: what the forward and what the backward direction say."""
        plain = initial_state is None and mask is None and self.compute_dtype == "float32"
        if keras.backend.backend() != "tensorflow" or not plain:
            return super().call(sequences, initial_state=initial_state, mask=mask, training=training)
        import tensorflow as tf

        cells = self.forward_layer.cell, self.backward_layer.cell
        frames = tf.transpose(tf.convert_to_tensor(sequences), (1, 0, 2))  # [T, B, D]
        n_frames, batch, width = tf.shape(frames)[0], tf.shape(frames)[1], frames.shape[2]
        projected = [
            tf.reshape(tf.reshape(inputs, (-1, width)) @ tf.convert_to_tensor(cell.kernel) + cell.bias,
                       (n_frames, batch, 4 * cell.units))
            for cell, inputs in zip(cells, (frames, tf.reverse(frames, [0])), strict=True)]
        recurrent = tf.stack([tf.convert_to_tensor(cell.recurrent_kernel) for cell in cells])
        hidden = _loop()(tf.stack(projected, axis=1), recurrent)  # [T, 2, B, U]
        both = tf.concat([hidden[:, 0], tf.reverse(hidden[:, 1], [0])], axis=-1)
        return tf.transpose(both, (1, 0, 2))


def _loop():
    """Return the recurrence: `[T, 2, B, 4 U]` and recurrent weights `[2, U, 4 U]` to hidden states `[T, 2, B, U]`."""
    import tensorflow as tf

    def array(n_frames, width):
        return tf.TensorArray(tf.float32, n_frames, element_shape=(2, None, width))

    def earlier(states):
        return tf.concat([tf.zeros_like(states[:1]), states[:-1]], axis=0)

    @tf.custom_gradient
    def loop(projected, recurrent):
        n_frames, units = tf.shape(projected)[0], recurrent.shape[1]

        def step(frame, hidden, cell, hiddens, cells, gates):
            i, f, g, o = tf.split(projected[frame] + hidden @ recurrent, 4, axis=-1)
            i, f, g, o = tf.sigmoid(i), tf.sigmoid(f), tf.tanh(g), tf.sigmoid(o)
            cell = f * cell + i * g
            hidden = o * tf.tanh(cell)
            written = (hiddens.write(frame, hidden), cells.write(frame, cell),
                       gates.write(frame, tf.concat([i, f, g, o], axis=-1)))
            return frame + 1, hidden, cell, *written

        nothing = tf.zeros((2, tf.shape(projected)[2], units))
        arrays = array(n_frames, units), array(n_frames, units), array(n_frames, 4 * units)
        written = tf.while_loop(lambda frame, *_: frame < n_frames, step, (0, nothing, nothing, *arrays))[3:]
        hiddens, cells, gates = (states.stack() for states in written)

        def gradient(upstream):
            before = earlier(cells)

            def step_back(frame, d_hidden, d_cell, d_projected):
                i, f, g, o = tf.split(gates[frame], 4, axis=-1)
                out = tf.tanh(cells[frame])
                d_hidden += upstream[frame]
                d_cell += d_hidden * o * (1 - out * out)
                d_step = tf.concat([d_cell * g * i * (1 - i), d_cell * before[frame] * f * (1 - f),
                                    d_cell * i * (1 - g * g), d_hidden * out * o * (1 - o)], axis=-1)
                d_earlier = tf.matmul(d_step, recurrent, transpose_b=True)
                return frame - 1, d_earlier, d_cell * f, d_projected.write(frame, d_step)

            last = (n_frames - 1, nothing, nothing, array(n_frames, 4 * units))
            d_projected = tf.while_loop(lambda frame, *_: frame >= 0, step_back, last)[3].stack()
            by_direction = [tf.reshape(tf.transpose(states, (1, 0, 2, 3)), (2, -1, states.shape[-1]))
                            for states in (earlier(hiddens), d_projected)]
            return d_projected, tf.matmul(*by_direction, transpose_a=True)

        return hiddens, gradient

    return loop

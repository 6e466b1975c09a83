#!/usr/bin/env bash
# tf2onnx 1.17.0 (TensorFlow 2.21.0, ONNX Runtime 1.32.0): a `tf.while_loop` that fills a `TensorArray` from its last
# place to its first, as the backward direction of a recurrent layer does.
# Expected: the exported model returns what TensorFlow returns, or the export fails.
# Seen: the export succeeds without a warning and its output is reversed in time: the index of `TensorArray.write` is
# dropped and elements stand in the order of writing. A forward loop is exported right.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet tensorflow==2.21.0 tf2onnx==1.17.0 onnxruntime==1.32.0
cat > "$folder/export.py" <<'PYTHON'
import sys

import numpy as np
import onnxruntime
import tensorflow as tf
import tf2onnx

frames = np.random.default_rng(0).standard_normal((5, 2, 3)).astype(np.float32)  # [T, B, D]


def largest_errors(backwards):
    @tf.function(input_signature=[tf.TensorSpec([None, None, 3], tf.float32)])
    def recurrence(frames):
        count = tf.shape(frames)[0]

        def step(number, state, states):
            place = count - 1 - number if backwards else number
            state = 0.5 * state + frames[place]
            return number + 1, state, states.write(place, state)

        start = 0, tf.zeros_like(frames[0]), tf.TensorArray(tf.float32, count, element_shape=[None, 3])
        return tf.while_loop(lambda number, *_: number < count, step, start)[2].stack()

    model, _ = tf2onnx.convert.from_function(recurrence, recurrence.input_signature, opset=17)
    session = onnxruntime.InferenceSession(model.SerializeToString())
    found = session.run(None, {session.get_inputs()[0].name: frames})[0]
    expected = recurrence(frames).numpy()
    return np.abs(found - expected).max(), np.abs(found[::-1] - expected).max()


(forward, _), (backward, reversed_in_time) = largest_errors(False), largest_errors(True)
print(f"largest error: forward loop {forward:.1e}, backward loop {backward:.1e}, the same reversed {reversed_in_time:.1e}")
sys.exit(not (forward < 1e-6 and backward > 0.1 and reversed_in_time < 1e-6))
PYTHON
TF_CPP_MIN_LOG_LEVEL=3 "$folder/venv/bin/python" "$folder/export.py" 2> "$folder/log" || { cat "$folder/log"; exit 1; }

#!/usr/bin/env bash
# Keras 3.15.1: the `loss` that `evaluate` and `fit` report (as `val_loss`, too) for recordings of different lengths,
# padded, with a `Masking` layer.
# Expected: the mean over all frames that are not masked, however the recordings are put into batches; the metric of
# the same name returns it.
# Seen: the number depends on the batches. Each batch has the mean over its own frames, and the means are weighted by
# the number of recordings, not of frames. The same eight recordings with the same outputs score 0.91 in mixed order and
# 0.50 sorted by length, with one `batch_size`; one by one, they score 0.50 as well. The metric is 0.91 each time.
# `EarlyStopping`, `ReduceLROnPlateau` and `ModelCheckpoint` follow `val_loss` by default, so sorting the recordings to
# save padding, or another batch size, keeps another network; results of two batch sizes are not comparable.
# Way out: the loss function as a metric, too, and `monitor="val_mse"`.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet keras==3.15.1 numpy==2.2.6 "jax[cpu]==0.6.2"
cat > "$folder/loss.py" <<'PYTHON'
import sys

import keras
import numpy as np

LENGTHS = np.array([100, 10] * 4)  # frames of each recording
is_frame = np.arange(100) < LENGTHS[:, None]
frames = np.float32(is_frame)[..., None]  # the padding is 0
targets = np.where(LENGTHS == 100, 1, 0)[:, None, None] * frames  # the error is 1 in the long ones, 0 in the short
recordings = keras.Input((None, 1))
outputs = keras.layers.Dense(1, kernel_initializer="zeros")(keras.layers.Masking()(recordings))
model = keras.Model(recordings, outputs)
model.compile(loss="mse", metrics=["mse"])
in_turn, by_length = np.arange(8), np.argsort(-LENGTHS, kind="stable")
seen = {}
for name, order, size in (("in turn, all at once", in_turn, 8), ("in turn, batches of 4", in_turn, 4),
                          ("by length, batches of 4", by_length, 4), ("in turn, one by one", in_turn, 1)):
    scores = model.evaluate(frames[order], targets[order], batch_size=size, verbose=0, return_dict=True)
    seen[name] = round(scores["loss"], 3), round(scores["mse"], 3)
expected = round(float(targets[is_frame].mean()), 3)
print(f"Keras {keras.__version__}, mean over all frames: {expected}; loss and metric:", seen)
sys.exit(not (expected == 0.909 and list(seen.values()) == [(0.909, 0.909)] * 2 + [(0.5, 0.909)] * 2))
PYTHON
KERAS_BACKEND=jax "$folder/venv/bin/python" "$folder/loss.py"

#!/usr/bin/env bash
# Keras 3.15.1: the layer `keras.layers.MelSpectrogram`, with its defaults, on a batch of recordings.
# Expected: the spectrogram of a recording depends on this recording alone. Its values more than `top_db` (80 dB) below
# its own peak are raised to that level.
# Seen: the level is that of the loudest recording in the batch. A quiet recording beside one that is 40 dB louder loses
# all but its upper 40 dB; alone, it keeps 80 dB. `predict` returns other features with another `batch_size`, and a
# validation score depends on the order of the recordings.
# Way out: `power_to_db=False` and decibels with the peak of each recording, or recordings of one level.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet keras==3.15.1 numpy==2.2.6 "jax[cpu]==0.6.2"
cat > "$folder/features.py" <<'PYTHON'
import sys

import keras
import numpy as np

rng = np.random.default_rng(0)
noise = rng.standard_normal((2, 16_000))
loud = np.float32(0.1 * noise[0])
quiet = np.float32(1e-3 * noise[1] * np.hanning(16_000) ** 4)  # 40 dB below the loud one, and fading in and out
frames = keras.Input((16_000,))
model = keras.Model(frames, keras.layers.MelSpectrogram(sampling_rate=16_000)(frames))
recordings = np.stack([quiet, loud])
alone, together = (model.predict(recordings, batch_size=size, verbose=0) for size in (1, 2))
difference_db = np.abs(alone - together).max(axis=(1, 2))
range_db = [float(np.ptp(features[0])) for features in (alone, together)]
print(f"Keras {keras.__version__}, quiet recording alone: range of {range_db[0]:.0f} dB; in one batch with a loud one: "
      f"{range_db[1]:.0f} dB; largest difference {difference_db[0]:.0f} dB (loud recording: {difference_db[1]:.0e} dB)")
sys.exit(not (range_db[0] > 75 and range_db[1] < 45 and difference_db[0] > 35 and difference_db[1] < 1e-3))
PYTHON
KERAS_BACKEND=jax "$folder/venv/bin/python" "$folder/features.py"

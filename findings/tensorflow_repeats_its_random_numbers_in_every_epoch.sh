#!/usr/bin/env bash
# TensorFlow 2.21.0 with Keras 3.15.1: random gains, drawn with `tf.random.uniform` in the `map` of a tf.data pipeline,
# after `keras.utils.set_random_seed(0)` (or `tf.random.set_seed(0)`).
# Expected: the seed makes the whole training repeatable. Within it, each epoch draws other gains, as code outside of a
# pipeline does, as Keras's own random numbers do, and as the shuffling of the same pipeline does.
# Seen: every epoch draws the same gains, since its iterator starts the numbers again; the examples are shuffled, but
# the first always gets the first gain. Mixtures that are to be made anew in every epoch are the same ones over and
# over, and a network overfits to them. Without the seed, each epoch differs, so the fault appears in just those
# trainings that are to be repeatable.
# Way out: `tf.random.Generator.from_seed(0)`, made once outside of `map`, or `repeat(epochs)` before `map`.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet tensorflow==2.21.0 keras==3.15.1 numpy==2.2.6
cat > "$folder/epochs.py" <<'PYTHON'
import sys

import keras
import numpy as np
import tensorflow as tf

RECORDINGS, EPOCHS = 4, 3


def epochs(draw):
    """Return the gains of each epoch, and the order of the recordings in it."""
    data = tf.data.Dataset.range(RECORDINGS).shuffle(RECORDINGS).map(lambda number: (number, draw()))
    found = [list(data.as_numpy_iterator()) for _ in range(EPOCHS)]
    return [tuple(round(float(gain), 3) for _, gain in epoch) for epoch in found], [
        tuple(int(number) for number, _ in epoch) for epoch in found]


def draw():
    return tf.random.uniform([])


unseeded, _ = epochs(draw)
keras.utils.set_random_seed(0)
outside = [tuple(round(float(draw()), 3) for _ in range(RECORDINGS)) for _ in range(EPOCHS)]
seeded, orders = epochs(draw)
by_keras, _ = epochs(lambda: keras.random.uniform([]))
generator = tf.random.Generator.from_seed(0)
by_generator, _ = epochs(lambda: generator.uniform([]))
print("TensorFlow", tf.__version__, "Keras", keras.__version__)
counts = {}
for name, gains in {"no seed": unseeded, "seed, no pipeline": outside, "seed, pipeline": seeded,
                    "seed, pipeline, keras.random": by_keras, "seed, pipeline, Generator": by_generator}.items():
    counts[name] = len(set(gains))
    print(f"{name}: {counts[name]} different epochs of {EPOCHS}: {gains}")
print("order of the recordings:", orders)
sys.exit(not (list(counts.values()) == [EPOCHS, EPOCHS, 1, EPOCHS, EPOCHS] and len(set(orders)) > 1))
PYTHON
TF_CPP_MIN_LOG_LEVEL=3 "$folder/venv/bin/python" "$folder/epochs.py" 2> "$folder/log" || { cat "$folder/log"; exit 1; }

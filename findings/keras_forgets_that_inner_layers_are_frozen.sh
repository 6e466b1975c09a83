#!/usr/bin/env bash
# Keras 3.15.1, a model of custom layers that hold other layers, frozen (`trainable = False`), saved, loaded, and then
# used as a part of a larger model.
# Expected: it is frozen there as it was when it was saved; it still says so of itself and of each of its layers.
# Seen: the weights of the layers within its custom layers train. Setting `trainable = False` again freezes them.
# Built-in layers stay frozen.
# Cause: a loaded layer takes the flag from its own settings, where the layers within a custom one have none.
# Met when a second network was trained on embeddings that were saved frozen: they were trained along.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet keras==3.15.1 numpy==2.2.6 "jax[cpu]==0.6.2"
cat > "$folder/freeze.py" <<'PYTHON'
import sys

import keras
from keras import layers


@keras.saving.register_keras_serializable("example")
class Block(layers.Layer):
    def __init__(self, **options):
        super().__init__(**options)
        self.inner = layers.Dense(3)

    def build(self, shape):
        self.inner.build(shape)

    def call(self, frames):
        return self.inner(frames)


def loaded(layer, path):
    frames = keras.Input((None, 3))
    model = keras.Model(frames, layer(frames))
    model.trainable = False
    assert not model.trainable_variables
    model.save(path)
    return keras.saving.load_model(path)


def trained(model):
    """Count the weights of a frozen model that train as a part of a larger one."""
    frames = keras.Input((None, 3))
    return len(keras.Model(frames, layers.Dense(1)(model(frames))).trainable_variables) - 2


plain = loaded(layers.Dense(3), sys.argv[1])
model = loaded(Block(), sys.argv[1])
assert not model.trainable and not model.layers[1].trainable
counts = [trained(plain), trained(model)]
model.trainable = False
counts.append(trained(model))
print(f"Keras {keras.__version__}: weights of a frozen model that train in a larger one: {counts[1]} after loading, "
      f"{counts[2]} after trainable = False; of built-in layers {counts[0]}")
sys.exit(counts != [0, 2, 0])
PYTHON
KERAS_BACKEND=jax "$folder/venv/bin/python" "$folder/freeze.py" "$folder/model.keras"

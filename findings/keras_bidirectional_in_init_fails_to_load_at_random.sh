#!/usr/bin/env bash
# Keras 3.15.1, a custom layer that makes `Bidirectional(LSTM(...))` in its `__init__`, saved and loaded.
# Expected: a file that loads once loads every time, and every block has two directions of its own.
# Seen: some loads raise "Forward layer and backward layer should have different `go_backwards` value", others do not.
# Cause: while a model is loaded, Keras recognises shared objects by `id()` (keras/src/saving/serialization_lib.py);
# `Bidirectional.__init__` serialises its template twice, the template is then freed, and a later template at the same
# address is taken for it. Keeping the templates alive cures it.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet keras==3.15.1 numpy==2.2.6 "jax[cpu]==0.6.2"
cat > "$folder/load.py" <<'PYTHON'
import sys

import keras
from keras import layers


@keras.saving.register_keras_serializable("example")
class Block(layers.Layer):
    def __init__(self, keep_template=False, **options):
        super().__init__(**options)
        template = layers.LSTM(2, return_sequences=True)
        self.lstm = layers.Bidirectional(template)
        self.keep_template = keep_template
        self.template = (lambda: template) if keep_template else None  # a closure is not tracked as a sub-layer

    def build(self, shape):
        self.lstm.build(shape)

    def call(self, frames):
        return self.lstm(frames)

    def get_config(self):
        return super().get_config() | {"keep_template": self.keep_template}


def failures(keep_template, path, loads=15):
    frames = hidden = keras.Input((None, 4))
    for _ in range(40):
        hidden = Block(keep_template)(hidden)
    keras.Model(frames, hidden).save(path)
    failed = 0
    for _ in range(loads):
        try:
            model = keras.saving.load_model(path)
        except Exception as error:
            assert "go_backwards" in str(error), error
            failed += 1
            continue
        directions = [id(way) for block in model.layers[1:] for way in (block.lstm.forward_layer, block.lstm.backward_layer)]
        failed += len(set(directions)) < len(directions)
    return failed


freed, kept = failures(False, sys.argv[1]), failures(True, sys.argv[1])
print(f"Keras {keras.__version__}: of 15 loads, {freed} failed with freed templates, {kept} with kept ones")
sys.exit(not (freed > 0 and kept == 0))
PYTHON
KERAS_BACKEND=jax "$folder/venv/bin/python" "$folder/load.py" "$folder/model.keras"

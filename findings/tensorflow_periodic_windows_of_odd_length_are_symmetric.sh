#!/usr/bin/env bash
# tensorflow 2.21.0: `tf.signal.hann_window(length, periodic=True)`, the window of `tf.signal.stft` and of
# `keras.ops.stft(window="hann")` on TensorFlow.
# Expected: the periodic window for every length, as SciPy and PyTorch compute it. Windows that follow each other by a
# third of their length then add up to a constant.
# Seen: for odd lengths, such as 441 samples (10 ms at 44.1 kHz), `periodic=True` has no effect: the window is the
# symmetric one. `hamming_window` does the same. The sum of the windows is not constant, and a spectrogram of
# `tf.signal.stft` differs by 0.5 % from that of the periodic window. A network that was trained on the one receives the
# other where SciPy, librosa or PyTorch computes the spectrogram.
# Way out: an even length, or a window of SciPy as `window_fn` (in Keras as `window`).
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet tensorflow==2.21.0 numpy==2.2.6 scipy==1.15.3
cat > "$folder/window.py" <<'PYTHON'
import sys

import numpy as np
import scipy.signal
import tensorflow as tf

signal = np.random.default_rng(0).standard_normal(44100)


def compare(length):
    """Compare TensorFlow's periodic windows and spectrogram of a length with SciPy's."""
    errors = {}
    for name in ("hann", "hamming"):
        found = getattr(tf.signal, f"{name}_window")(length, periodic=True, dtype=tf.float64).numpy()
        for kind, periodic in (("periodic", True), ("symmetric", False)):
            errors[name, kind] = np.abs(found - scipy.signal.get_window(name, length, fftbins=periodic)).max()
    hop = length // 3
    window = tf.signal.hann_window(length, periodic=True, dtype=tf.float64).numpy()
    ripple = np.ptp(window.reshape(3, hop).sum(axis=0))
    frames = np.lib.stride_tricks.sliding_window_view(signal, length)[::hop]
    expected = np.fft.rfft(frames * scipy.signal.get_window("hann", length))
    found = tf.signal.stft(signal, length, hop, fft_length=length).numpy()
    return errors, ripple, np.linalg.norm(found - expected) / np.linalg.norm(expected)


seen = {length: compare(length) for length in (441, 444)}
for length, (errors, ripple, relative) in seen.items():
    print(f"TensorFlow {tf.__version__}, {length} samples: largest differences",
          {" ".join(names): f"{error:.0e}" for names, error in errors.items()},
          f"ripple of the sum {ripple:.0e}, relative error of the spectrogram {relative:.0e}")
(odd, odd_ripple, odd_relative), (even, even_ripple, even_relative) = seen[441], seen[444]
as_seen = (all((odd[name, "symmetric"] < 1e-9 < 1e-3 < odd[name, "periodic"]) and
               (even[name, "periodic"] < 1e-9 < 1e-3 < even[name, "symmetric"]) for name in ("hann", "hamming"))
           and odd_ripple > 1e-3 and odd_relative > 1e-3 and even_ripple < 1e-9 and even_relative < 1e-9)
sys.exit(not as_seen)
PYTHON
TF_CPP_MIN_LOG_LEVEL=3 "$folder/venv/bin/python" "$folder/window.py" 2> "$folder/log" || { cat "$folder/log"; exit 1; }

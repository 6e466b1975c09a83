#!/usr/bin/env bash
# Keras 3.15.1: the layer `keras.layers.STFTSpectrogram`, with its default mode "log" or with "magnitude".
# Expected: the magnitude, or its logarithm. The documentation names no floor, and the constant of Keras that keeps
# logarithms finite, 1e-7, is far below what recordings contain. A recording 20 dB weaker has the same features, less
# a constant.
# Seen: every magnitude below 3e-4 becomes 3e-4. The constant is applied to the power, before the square root, so the
# floor lies at -70 dB instead of -140 dB; in the default scaling, that is white noise of 3e-4 of full scale. Of a
# voice at a usual level (an RMS of 0.05), the upper bands and the pauses become one constant, 41 % of the bins here;
# of a voice 20 dB weaker, as of a person far from the microphone, 70 %. A network cannot separate what it does not
# receive. The mode "psd" has no floor.
# Way out: the mode "psd" and a logarithm of one's own, or recordings of one level.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet keras==3.15.1 numpy==2.2.6 scipy==1.15.3 "jax[cpu]==0.6.2"
cat > "$folder/features.py" <<'PYTHON'
import sys

import keras
import numpy as np
import scipy.signal

FRAME, STEP, RATE_HZ = 512, 128, 16_000
rng = np.random.default_rng(0)
time = np.arange(2 * RATE_HZ) / RATE_HZ
noise = scipy.signal.lfilter([1], [1, -1.7, 0.72], rng.standard_normal(len(time)))  # weak upper bands
voice = noise * (0.01 + np.maximum(np.sin(2 * np.pi * 4 * time), 0))  # four syllables per second, with pauses
window = scipy.signal.get_window("hann", FRAME, fftbins=False)  # as the layer's
frames = np.lib.stride_tricks.sliding_window_view(voice, FRAME)[::STEP]
power = np.abs(np.fft.rfft(frames * window)) ** 2 / (window**2).sum()


def features(mode, level):
    """Return the layer's output for the voice with an RMS of some level, and the power that is true for it."""
    gain = level / voice.std()
    layer = keras.layers.STFTSpectrogram(mode=mode, frame_length=FRAME, frame_step=STEP)
    return keras.ops.convert_to_numpy(layer((gain * voice).astype(np.float32)[None, :, None]))[0], gain**2 * power


shares = {}
for level in (0.05, 0.005, 0.0005):
    log, true = features("log", level)
    magnitude, _ = features("magnitude", level)
    density, _ = features("psd", level)
    twice = np.where(np.isin(np.arange(FRAME // 2 + 1), (0, FRAME // 2)), 1, 2)  # of both sides of the spectrum
    found = {"log": np.exp(log.astype(float)) ** 2, "magnitude": magnitude.astype(float) ** 2, "psd": density / twice}
    # The layer computes with float32, so bins far below the loudest one of their frame are not counted.
    audible = true > 1e-8 * true.max(axis=1, keepdims=True)
    shares[level] = {mode: round(float(np.mean(np.abs(10 * np.log10(values / true))[audible] > 1)), 3)
                     for mode, values in found.items()}
print(f"Keras {keras.__version__}: smallest value of the mode log {log.min():.2f}, magnitude {magnitude.min():.1e}")
print("share of bins that are wrong by more than 1 dB, by RMS of the recording:", shares)
sys.exit(not (abs(log.min() - np.log(1e-7) / 2) < 1e-3 and abs(magnitude.min() - 1e-7**0.5) < 1e-6
              and shares[0.005]["log"] > 0.3 and shares[0.005]["magnitude"] > 0.3
              and max(of_level["psd"] for of_level in shares.values()) < 0.01))
PYTHON
KERAS_BACKEND=jax "$folder/venv/bin/python" "$folder/features.py"

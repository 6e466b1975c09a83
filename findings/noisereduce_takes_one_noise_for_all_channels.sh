#!/usr/bin/env bash
# noisereduce 3.0.3: `reduce_noise(..., stationary=True)` of two channels `[2, N]`, with the noise of each as
# `y_noise` `[2, N]`, as its documentation allows.
# Expected: each channel is cleaned by its own noise, as if it were alone.
# Seen: the noise of the channels is averaged, sample by sample, into one signal, whose level then decides in both.
# Independent noise of two microphones averages to 3 dB less, and 14 dB more of it stays in the pauses. Noise of
# opposite signs averages to nothing and is not reduced at all. A microphone with 30 dB less gain is cleaned by the
# noise of the other: its pauses become digital zeros, and the weaker parts of its voice are erased, too (an SDR of 16
# instead of 26 dB). Without `y_noise`, the channels themselves are averaged.
# Way out: one call for each channel.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet noisereduce==3.0.3 numpy==2.4.6 scipy==1.17.1
cat > "$folder/clean.py" <<'PYTHON'
import importlib.metadata
import sys

import numpy as np
import scipy.signal
from noisereduce import reduce_noise

RATE_HZ = 16_000
times = np.arange(4 * RATE_HZ) / RATE_HZ
talks = (times > 1) & (times % 1 > 0.5)
rng = np.random.default_rng(0)
voices = scipy.signal.lfilter([1], [1, -1.3, 0.8], rng.standard_normal((2, len(times)))) * talks
voices *= 0.1 / np.sqrt(np.mean(voices[:, talks] ** 2, axis=1, keepdims=True))
noise = 1e-3 * rng.standard_normal((2, len(times)))
pause = slice(RATE_HZ // 4, RATE_HZ)


def level_db(samples):
    return round(float(10 * np.log10(np.mean(samples**2) + 1e-20)), 1)


def clean(voices, noise):
    """Return the noise in the pause of the second channel (before, cleaned alone, together), and its SDR (both)."""
    channels, known = voices + noise, noise[:, :RATE_HZ]
    settings = {"sr": RATE_HZ, "stationary": True}
    alone = np.stack([reduce_noise(y=channel, y_noise=own, **settings) for channel, own in zip(channels, known)])
    together = reduce_noise(y=channels, y_noise=known, **settings)
    found = [level_db(signals[1, pause]) for signals in (channels, alone, together)]
    sdr_db = [round(level_db(voices[1]) - level_db(voices[1] - signals[1]), 1) for signals in (alone, together)]
    return found, sdr_db


gains = np.array([[1], [10**-1.5]])
seen = {"equal levels": clean(voices, noise), "opposite signs": clean(voices, noise[:1] * [[1], [-1]]),
        "30 dB less": clean(voices * gains, noise * gains)}
print("noisereduce", importlib.metadata.version("noisereduce"))
for name, (levels, sdr_db) in seen.items():
    print(f"second channel, {name}: noise of {levels[0]} dB, cleaned alone {levels[1]} dB, together {levels[2]} dB; "
          f"SDR {sdr_db} dB")
(equal, _), (opposite, _), (quiet, (alone_db, together_db)) = seen.values()
sys.exit(not (equal[2] > equal[1] + 10 and opposite[1] < -80 and opposite[2] > opposite[0] - 1 and quiet[2] == -200
              and together_db < alone_db - 8))
PYTHON
"$folder/venv/bin/python" "$folder/clean.py"

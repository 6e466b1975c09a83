#!/usr/bin/env bash
# pedalboard 0.9.26 (on Linux): `pedalboard.io.AudioFile` reads an MP3 file that it wrote itself.
# Expected: the samples where they were, and as many as were written. An encoder notes in the file how many samples it
# put in front and behind, and soundfile (libsndfile 1.2.2) and PyAV 18.1.0 (FFmpeg) leave these out.
# Seen: everything comes 1105 samples late (69 ms at 16 kHz), and 1536 samples are too many. `seek` and `resampled_to`
# are late by as much; WAV, FLAC and OGG files are not. Of a corpus that is kept as MP3, the voices no longer lie
# under their word times and activity labels. An estimate that was read by the one library is scored against a target
# that was read by the other as if it were noise: an SI-SDR of about -34 dB for one and the same file.
# Way out: read MP3 files with soundfile.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet pedalboard==0.9.26 soundfile==0.14.0 av==18.1.0 numpy==2.4.6
cat > "$folder/read.py" <<'PYTHON'
import sys

import av
import numpy as np
import pedalboard
import soundfile
from pedalboard.io import AudioFile

RATE_HZ = 16_000
noise = np.random.default_rng(0).standard_normal(3 * RATE_HZ + 31)
voice = np.float32(0.1 * np.convolve(noise, np.ones(32) / 32**0.5, "valid"))  # its upper bands are weak


def read_with_pedalboard(path):
    with AudioFile(path) as file:
        return file.read(file.frames)[0]


def read_with_pyav(path):
    with av.open(path) as container:
        return np.concatenate([frame.to_ndarray()[0] for frame in container.decode(audio=0)])


def si_sdr_db(target, estimate):
    scaled = np.dot(target, estimate) / np.dot(target, target) * target
    return 10 * np.log10(np.sum(scaled**2) / np.sum((estimate - scaled) ** 2))


def measure(samples):
    """Return the number of samples, and the delay of a second of the voice."""
    products = np.correlate(samples[RATE_HZ // 2 :], voice[RATE_HZ // 2 : 3 * RATE_HZ // 2], "valid")
    return len(samples), int(np.argmax(products))


seen = {}
for suffix in ("flac", "mp3"):
    path = f"{sys.argv[1]}/voice.{suffix}"
    with AudioFile(path, "w", RATE_HZ, 1) as file:
        file.write(voice[None])
    signals = {"soundfile": soundfile.read(path, dtype="float32")[0], "PyAV": read_with_pyav(path),
               "pedalboard": read_with_pedalboard(path)}
    seen[suffix] = {name: measure(samples) for name, samples in signals.items()}
    print(f"{suffix}, samples and delay:", seen[suffix])
target, late = signals["soundfile"], signals["pedalboard"][: len(voice)]
score_db = si_sdr_db(target, late)
print(f"pedalboard {pedalboard.__version__}, SI-SDR of the MP3 file against itself: {score_db:.0f} dB")
right, expected = (len(voice), 0), (len(voice) + 1536, 1105)
sys.exit(not (set(seen["flac"].values()) == {right} and score_db < -20
              and seen["mp3"] == {"soundfile": right, "PyAV": right, "pedalboard": expected}))
PYTHON
"$folder/venv/bin/python" "$folder/read.py" "$folder"

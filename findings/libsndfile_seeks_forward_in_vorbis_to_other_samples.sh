#!/usr/bin/env bash
# soundfile 0.14.0 (libsndfile 1.2.2): a forward seek in an open Ogg Vorbis file from which samples were read.
# Expected: the samples after the seek are those of the whole file from that place on, as in WAV and FLAC files, and as
# after the same seek in a file that was just opened.
# Seen: other samples, with differences of up to 0.5 of full scale. After a seek to 0 first, they are exact.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet soundfile==0.14.0 numpy==2.4.6
cat > "$folder/seek.py" <<'PYTHON'
import sys

import numpy as np
import soundfile

rate_hz, rng = 16000, np.random.default_rng(0)
time = np.arange(40 * rate_hz) / rate_hz
sound = (0.3 * np.sin(2 * np.pi * 300 * time) + 0.05 * rng.standard_normal(len(time))).astype(np.float32)
path = f"{sys.argv[1]}/sound.ogg"
with soundfile.SoundFile(path, "w", rate_hz, 1, "VORBIS", format="OGG") as file:
    for start in range(0, len(sound), 30_000):  # libvorbis takes the samples of one call on the stack
        file.write(sound[start : start + 30_000])
whole = soundfile.read(path, dtype="float32")[0]


def largest_error(file, start):
    file.seek(start)
    return np.abs(file.read(8000, dtype="float32") - whole[start : start + 8000]).max()


errors = {"new": [], "forward": [], "by way of 0": []}
for start in (100, 5000, 100_000, 300_000):
    with soundfile.SoundFile(path) as file:
        errors["new"].append(largest_error(file, start))
        errors["forward"].append(largest_error(file, start + 20_000))
        file.seek(0)
        errors["by way of 0"].append(largest_error(file, start))
print("soundfile", soundfile.__version__, soundfile.__libsndfile_version__)
print({name: [f"{error:.1e}" for error in of_name] for name, of_name in errors.items()})
sys.exit(not (max(errors["new"]) == max(errors["by way of 0"]) == 0.0 and min(errors["forward"]) > 0.05))
PYTHON
"$folder/venv/bin/python" "$folder/seek.py" "$folder"

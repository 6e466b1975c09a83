#!/usr/bin/env bash
# pyroomacoustics 0.10.1: the room response that `compute_rir` returns with its default settings.
# Expected: zeros until the direct sound can arrive (less the 40 samples of its fractional delay filter), as from a
# microphone.
# Seen: the response begins at its first sample with a negative level, 3 % of the direct sound in this living room and
# more in livelier ones. A high-pass filter of 10 Hz, on by default, runs forwards and backwards over the response, so
# it answers before the sound. The first sample that is not zero, a usual measure of the delay, is always sample 0, and
# the sum of the response (its gain for a constant) is near zero instead of large.
# Way out: `pyroomacoustics.constants.set("rir_hpf_enable", False)`, or cut the response before the direct sound.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet pyroomacoustics==0.10.1 numpy==2.4.6 scipy==1.17.1
cat > "$folder/room.py" <<'PYTHON'
import sys

import numpy as np
import pyroomacoustics

RATE_HZ, PERSON, MICROPHONE = 16_000, np.array([4.5, 3.5, 1.5]), np.array([1.5, 1.5, 1.2])


def response():
    """Return the response of a room of 6 x 5 x 3 m with an RT60 of half a second."""
    absorption, order = pyroomacoustics.inverse_sabine(0.5, [6, 5, 3])
    room = pyroomacoustics.ShoeBox([6, 5, 3], RATE_HZ, materials=pyroomacoustics.Material(absorption), max_order=order)
    room.add_source(PERSON)
    room.add_microphone(MICROPHONE)
    room.compute_rir()
    return room.rir[0][0]


filter_length = pyroomacoustics.constants.get("frac_delay_length")
travel = np.linalg.norm(PERSON - MICROPHONE) / pyroomacoustics.constants.get("c") * RATE_HZ  # in samples
before = int(travel) - 1  # the direct sound begins half a filter later than its delay, and the filter half before it
levels = {}
for enabled in (True, False):
    pyroomacoustics.constants.set("rir_hpf_enable", enabled)
    samples = response()
    direct = np.abs(samples[before : before + filter_length + 2]).max()
    levels[enabled] = np.abs(samples[:before]).max() / direct
print("pyroomacoustics", pyroomacoustics.__version__)
print(f"largest sample in the {before} samples before the direct sound, relative to it:",
      {f"high-pass {'on' if enabled else 'off'}": round(float(level), 4) for enabled, level in levels.items()})
sys.exit(not (0.01 < levels[True] < 0.2 and levels[False] == 0))
PYTHON
"$folder/venv/bin/python" "$folder/room.py"

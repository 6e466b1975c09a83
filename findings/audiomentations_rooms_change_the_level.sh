#!/usr/bin/env bash
# audiomentations 0.43.1: `ApplyImpulseResponse`, with the response of a room in a WAV file.
# Expected: the signal is filtered by the response. If the response is one sample of 0.1 after 10 ms, the signal is
# delayed by 10 ms and a tenth as loud; the length is kept, as its argument says by default.
# Seen: the delay is there, but every output is scaled to a peak of 0.5, whatever the levels of the signal and of the
# response. Two people who are put into a room one by one end up with equal peaks instead of their levels, a distant talker
# is as loud as a near one, and a target that is not filtered no longer has the scale of the mixture.
# Way out: filter with scipy.signal.fftconvolve, and cut the time of the direct sound.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet audiomentations==0.43.1 soundfile==0.14.0
cat > "$folder/room.py" <<'PYTHON'
import sys
from pathlib import Path

import numpy as np
import soundfile as sf
from audiomentations import ApplyImpulseResponse

RATE_HZ, DELAY = 16000, 160
signal = 0.2 * np.random.default_rng(0).uniform(-1, 1, RATE_HZ).astype(np.float32)
seen = {}
for gain in (1.0, 0.1):
    folder = Path(sys.argv[1], f"room_{gain}")
    folder.mkdir()
    sf.write(folder / "response.wav", np.where(np.arange(4000) == DELAY, gain, 0.0), RATE_HZ, subtype="FLOAT")
    for level in (1.0, 0.25):
        output = ApplyImpulseResponse(folder, p=1.0)(level * signal, RATE_HZ)
        delay = np.argmax(np.correlate(output, signal[: RATE_HZ // 2], "valid"))
        seen[f"signal times {level}, response of {gain}"] = len(output), int(delay), round(float(np.abs(output).max()), 3)
print("samples, delay, peak:", seen)
sys.exit(any(values != (RATE_HZ, DELAY, 0.5) for values in seen.values()))
PYTHON
"$folder/venv/bin/python" "$folder/room.py" "$folder"

#!/usr/bin/env bash
# pystoi 0.4.1 with NumPy 2.4.6: the extended STOI (`extended=True`) of an estimate with a digitally silent part, as
# systems write that mute a voice while they find it inactive.
# Expected: a function of its two signals, which returns the same score in every call, as STOI does.
# Seen: the score changes from call to call, here by 0.003, and each call draws from the global generator of NumPy.
# pystoi adds noise of 2e-16 before it divides each row and column by its norm, so an exactly silent part becomes noise
# of full strength. A table of three digits cannot be reproduced, and scoring during training changes what `np.random`
# draws afterwards. Without a silent part, the noise does not matter.
# Way out: seed `np.random` before each call, and restore its state afterwards.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet pystoi==0.4.1 numpy==2.4.6 scipy==1.17.1
cat > "$folder/score.py" <<'PYTHON'
import sys
from importlib.metadata import version

import numpy as np
from pystoi import stoi

RATE_HZ = 10_000
rng = np.random.default_rng(0)
time = np.arange(3 * RATE_HZ) / RATE_HZ
clean = (1 + np.sin(2 * np.pi * 4 * time)) * rng.standard_normal(len(time))  # noise with four syllables per second
noisy = clean + 0.3 * rng.standard_normal(len(time))
muted = noisy.copy()
muted[RATE_HZ : 9 * RATE_HZ // 5] = 0


def range_of_scores(estimate, extended):
    """Return the range of eight scores of the same signals."""
    np.random.seed(0)
    return np.ptp([stoi(clean, estimate, RATE_HZ, extended=extended) for _ in range(8)])


def draws(extended):
    """Return whether a call changes what NumPy draws next."""
    np.random.seed(0)
    expected = np.random.rand()
    np.random.seed(0)
    stoi(clean, noisy, RATE_HZ, extended=extended)
    return np.random.rand() != expected


ranges = {(name, kind): range_of_scores(estimate, kind == "ESTOI")
          for name, estimate in (("noisy", noisy), ("muted in part", muted)) for kind in ("STOI", "ESTOI")}
drawn = {kind: draws(kind == "ESTOI") for kind in ("STOI", "ESTOI")}
print(f"pystoi {version('pystoi')}, range of eight scores:",
      {" ".join(names): f"{width:.0e}" for names, width in ranges.items()}, "draws random numbers:", drawn)
varies = ranges.pop(("muted in part", "ESTOI"))
sys.exit(not (varies > 1e-3 and max(ranges.values()) < 1e-9 and drawn == {"STOI": False, "ESTOI": True}))
PYTHON
"$folder/venv/bin/python" "$folder/score.py"

#!/usr/bin/env bash
# torchmetrics 1.9.0: `scale_invariant_signal_distortion_ratio` of an estimate that is digital silence.
# Expected: far below every estimate that holds some of the target, as the definition has it (minus infinity): nothing of
# the target is there. A bad estimate, a tenth of which is the target, scores about -20 dB.
# Seen: silence scores exactly 0 dB, because the small number that guards the division is in the numerator, too. In a
# mixture of equally loud people, that is the score of the unprocessed mixture, and it beats every bad estimate: a
# separator that returns an empty voice loses nothing.
# Way out: look for silent estimates first.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet torchmetrics==1.9.0 torch==2.13.0
cat > "$folder/silence.py" <<'PYTHON'
import sys

import torch
from torchmetrics.functional.audio import scale_invariant_signal_distortion_ratio

target, other = torch.randn(2, 16000, generator=torch.Generator().manual_seed(0))
estimates = {"silence": 0 * target, "a tenth of the target": 0.1 * target + other, "the mixture": target + other}
scores = {name: round(float(scale_invariant_signal_distortion_ratio(estimate, target)), 1)
          for name, estimate in estimates.items()}
print("SI-SDR in dB:", scores)
sys.exit(not (scores["silence"] == 0.0 and scores["a tenth of the target"] < -15 and abs(scores["the mixture"]) < 1))
PYTHON
"$folder/venv/bin/python" "$folder/silence.py"

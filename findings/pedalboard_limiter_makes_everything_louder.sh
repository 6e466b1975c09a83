#!/usr/bin/env bash
# pedalboard 0.9.26: the plugin `Limiter`, put on a sum of voices so that its peaks stay below the threshold.
# Expected: what is below the threshold passes unchanged; what is above comes out at the threshold.
# Seen: the other way round. A quiet tone, 30 dB below the threshold of -10 dB, becomes 13.75 dB louder, and a loud one
# is clipped at full scale, far above the threshold. The gain is 3.75 dB minus the threshold, so a lower threshold makes
# everything louder: with one of -20 dB, it is 23.75 dB, and all that was louder than -23.75 dB is clipped. Noise is
# raised with the voices, and a target that did not pass the limiter no longer has the scale of the mixture.
# Way out: `Compressor(threshold_db=..., ratio=1000, attack_ms=0.1)`, which does what is expected.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet pedalboard==0.9.26 numpy==2.4.6
cat > "$folder/limit.py" <<'PYTHON'
import sys

import numpy as np
import pedalboard

RATE_HZ, QUIET_DB, LOUD_DB = 16_000, -40, -1
tone = np.sin(2 * np.pi * 440 * np.arange(2 * RATE_HZ) / RATE_HZ)


def peak_db(plugin, level_db):
    """Return the peak of the second half of a tone after the plugin."""
    output = pedalboard.Pedalboard([plugin])(np.float32(10 ** (level_db / 20) * tone), RATE_HZ)
    return round(float(20 * np.log10(np.abs(output[RATE_HZ:]).max())), 2)


print(f"pedalboard {pedalboard.__version__}, tones with peaks of {QUIET_DB} and {LOUD_DB} dB")
holds = True
for threshold_db in (-6, -10, -20):
    limited = [peak_db(pedalboard.Limiter(threshold_db=threshold_db), level) for level in (QUIET_DB, LOUD_DB)]
    compressor = pedalboard.Compressor(threshold_db=threshold_db, ratio=1000, attack_ms=0.1)
    compressed = [peak_db(compressor, level) for level in (QUIET_DB, LOUD_DB)]
    print(f"threshold {threshold_db} dB: limiter {limited} dB, compressor {compressed} dB")
    holds &= np.allclose(limited, [QUIET_DB + 3.75 - threshold_db, 0], atol=0.05)
    holds &= np.allclose(compressed, [QUIET_DB, threshold_db], atol=0.05)
sys.exit(not holds)
PYTHON
"$folder/venv/bin/python" "$folder/limit.py"

#!/usr/bin/env bash
# soxr 1.1.0 (resampling) and mir_eval 0.8.2 (scores): a source that is silent in its excerpt, read with 16 bits.
# Expected: silence stays silence when it is resampled, and resampling to the same rate changes nothing, as with float32
# and int32. mir_eval refuses a silent source: its score has no meaning.
# Seen: soxr adds dither to 16-bit samples and has no option against it. Of the samples of silence, 23 % become 1 or -1,
# also from 16 kHz to 16 kHz. The source then passes the check of mir_eval and gets a score, which is that of the
# dither, and enters the mean.
# Way out: resample floats, or look for silence before resampling.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet soxr==1.1.0 mir_eval==0.8.2 numpy==2.4.6 scipy==1.17.1
cat > "$folder/resample.py" <<'PYTHON'
import sys
import warnings
from importlib.metadata import version

import numpy as np
import soxr
from mir_eval.separation import bss_eval_sources

warnings.simplefilter("ignore")
talker = (3000 * np.random.default_rng(0).standard_normal(24_000)).astype(np.int16)
silence = np.zeros_like(talker)


def changed(dtype, to_hz):
    """Return the share of samples of resampled silence that are not zero."""
    return float(np.mean(soxr.resample(silence.astype(dtype), 16_000, to_hz) != 0))


def score(dtype):
    """Score two estimates of a talker and of a silent source after resampling to 8 kHz; return the SDR or the error."""
    references = np.stack([soxr.resample(signal.astype(dtype), 16_000, 8000) for signal in (talker, silence)])
    estimates = np.stack([references[0], 0.5 * references[0]])
    try:
        sdr_db, *_ = bss_eval_sources(references.astype(np.float64), estimates, compute_permutation=False)
    except ValueError as error:
        return str(error).split(",")[0]
    return float(sdr_db[1])


shares = {(dtype, to_hz): changed(dtype, to_hz)
          for dtype in ("int16", "int32", "float32") for to_hz in (8000, 16_000)}
scores = {dtype: score(dtype) for dtype in ("int16", "float32")}
print(f"soxr {version('soxr')}, mir_eval {version('mir_eval')}")
print("share of samples of silence that are not zero after resampling from 16 kHz:", shares)
print("SDR of the silent source in dB, or the error:", scores)
sys.exit(not (all((share > 0.2) == (dtype == "int16") and (share == 0) == (dtype != "int16")
                  for (dtype, _), share in shares.items())
              and isinstance(scores["int16"], float) and np.isfinite(scores["int16"])
              and "non-silent" in str(scores["float32"])))
PYTHON
"$folder/venv/bin/python" "$folder/resample.py"

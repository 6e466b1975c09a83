#!/usr/bin/env bash
# pandas 3.0.0 and NumPy 2.3.5: a gain is read from a table of mixtures, such as the metadata of LibriMix, and multiplies
# a float32 signal, which is then written with 16 bits.
# Expected: `table.iloc[0]["gain"]` and the row of `table.iterrows()` give the same number, so the files are the same.
# Seen: the numbers are equal, but the first is a `numpy.float64` and the second Python's `float`, if the table also has
# a column of words. Since NumPy 2, float32 times `numpy.float64` is float64, and float32 times `float` stays float32.
# So two programs that follow the same script differ by one 16-bit step in some of 10,000 samples.
# Way out: convert the gain with `float()`, or multiply in a dtype that is stated.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet pandas==3.0.0 numpy==2.3.5
cat > "$folder/gain.py" <<'PYTHON'
import io
import sys

import numpy as np
import pandas as pd

table = pd.read_csv(io.StringIO("mixture_ID,source_1_gain\n61-70968-0000_8455-210777-0012,0.8437691\n"))
by_place = table.iloc[0]["source_1_gain"]
by_iteration = next(table.iterrows())[1]["source_1_gain"]
signal = np.random.default_rng(0).uniform(-1, 1, 1_000_000).astype(np.float32)
products = [signal * gain for gain in (by_place, by_iteration)]
written = [np.round(product * 32768).astype(np.int32) for product in products]
differing = int((written[0] != written[1]).sum())
print(f"pandas {pd.__version__}, NumPy {np.__version__}: {type(by_place).__name__} gives {products[0].dtype}, "
      f"{type(by_iteration).__name__} gives {products[1].dtype}; {differing} of {len(signal):,} samples differ")
assert by_place == by_iteration and np.abs(written[0] - written[1]).max() <= 1
sys.exit(not (products[0].dtype == np.float64 and products[1].dtype == np.float32 and differing > 0))
PYTHON
"$folder/venv/bin/python" "$folder/gain.py"

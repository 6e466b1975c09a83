#!/usr/bin/env bash
# museval 0.4.1, the reference implementation of BSS Eval version 4: importing it to score arrays.
# Expected: `museval.metrics.bss_eval` computes with NumPy and SciPy, so `pip install museval` is enough.
# Seen: without the programs ffmpeg and ffprobe, `import museval` raises RuntimeError, also for `museval.metrics` alone: the
# package imports its reader of music files first, which looks for the programs when it is imported. The same code that
# scores on a laptop fails in a container.
# Way out: install FFmpeg, or score with mir_eval.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet museval==0.4.1
cat > "$folder/import.py" <<'PYTHON'
import os
import sys

os.environ["PATH"] = "/no/such/folder"
try:
    import museval.metrics  # noqa: F401
except RuntimeError as error:
    print(f"RuntimeError: {error}")
    sys.exit("ffmpeg" not in str(error))
print("museval was imported")
sys.exit(1)
PYTHON
"$folder/venv/bin/python" "$folder/import.py"

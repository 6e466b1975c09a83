#!/usr/bin/env bash
# pyannote.metrics 4.2.0: the argument `collar` of `DiarizationErrorRate`.
# Expected: as in NIST's md-eval and in tables of results, a collar of 0.25 s leaves out 0.25 s before and 0.25 s after
# each boundary of a reference turn.
# Seen: `collar` is the whole width, half of it on each side. `collar=0.25` leaves out 0.125 s on each side, and its error
# rates are higher than those of a table with a collar of 0.25 s; `collar=0.5` gives these.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet pyannote.metrics==4.2.0
cat > "$folder/collar.py" <<'PYTHON'
import sys
import warnings

from pyannote.core import Annotation, Segment, Timeline
from pyannote.metrics.diarization import DiarizationErrorRate

warnings.simplefilter("ignore")


def turns(boundary):
    """Return two turns that meet at a boundary, in seconds."""
    annotation = Annotation()
    annotation[Segment(0, boundary)], annotation[Segment(boundary, 10)] = "ann", "bob"
    return annotation


reference, found = turns(5.0), turns(5.2)  # 0.2 s late: within a collar of 0.25 s on each side
errors = {collar: DiarizationErrorRate(collar=collar)(reference, found, uem=Timeline([Segment(0, 10)]), detailed=True)
          for collar in (0.0, 0.25, 0.5)}
confusion = {collar: round(error["confusion"], 4) for collar, error in errors.items()}
print("seconds of confusion, by the argument collar:", confusion)
sys.exit(confusion != {0.0: 0.2, 0.25: 0.075, 0.5: 0.0})
PYTHON
"$folder/venv/bin/python" "$folder/collar.py"

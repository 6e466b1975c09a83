#!/usr/bin/env bash
# pyannote.metrics 4.2.0: `DiarizationErrorRate` where two segments of one person overlap, as in annotations by words or
# by utterances.
# Expected: a person talks or does not; a hypothesis with the same seconds of the same person has no errors. spy-der 0.4.1
# counts so.
# Seen: the person counts twice where the segments overlap. Two seconds of ten are missed by a hypothesis that is right in
# every second: an error rate of 1/6. A hypothesis with overlapping segments has false alarms in the same way.
# Way out: join the overlapping segments of each person first.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet pyannote.metrics==4.2.0 spy-der==0.4.1
cat > "$folder/twice.py" <<'PYTHON'
import sys
import warnings

from pyannote.core import Annotation, Segment, Timeline
from pyannote.metrics.diarization import DiarizationErrorRate
from spyder import DER

warnings.simplefilter("ignore")
BY_UTTERANCES, WHOLE = [("ann", 0.0, 6.0), ("ann", 4.0, 10.0)], [("ann", 0.0, 10.0)]


def annotation(turns):
    """Return turns (person, start, end), in seconds, as pyannote has them."""
    made = Annotation()
    for number, (person, start, end) in enumerate(turns):
        made[Segment(start, end), number] = person
    return made


seen = {}
for name, reference, found in (("reference", BY_UTTERANCES, WHOLE), ("hypothesis", WHOLE, BY_UTTERANCES)):
    rate = DiarizationErrorRate()(annotation(reference), annotation(found), uem=Timeline([Segment(0, 10)]))
    seen[f"overlap in the {name}"] = round(rate, 3), round(DER(reference, found).der, 3)
print("error rates of pyannote.metrics and of spy-der:", seen)
sys.exit(seen != {"overlap in the reference": (0.167, 0.0), "overlap in the hypothesis": (0.2, 0.0)})
PYTHON
"$folder/venv/bin/python" "$folder/twice.py"

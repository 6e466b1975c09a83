#!/usr/bin/env bash
# soundfile 0.14.0 with the libsndfile of its wheel: a WAV file of floats, written twice from the same samples.
# Expected: two files of the same bytes, as for 16 or 24 bits.
# Seen: they differ if a second passes between them. For FLOAT and DOUBLE, libsndfile adds a PEAK chunk with the time of
# writing. Checksums of such files change from run to run, although every sample is the same.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet soundfile==0.14.0 numpy==2.4.6
cat > "$folder/write.py" <<'PYTHON'
import sys
import time

import numpy as np
import soundfile

path = sys.argv[1]
samples = 0.1 * np.sin(np.arange(8000))


def write(subtype):
    """Write the samples; return the bytes of the file, and whether the samples come back."""
    soundfile.write(path, samples, 8000, subtype)
    with open(path, "rb") as file:
        return file.read(), soundfile.read(path)[0].tobytes()


same = {}
for subtype in ("PCM_16", "PCM_24", "FLOAT", "DOUBLE"):
    first = write(subtype)
    time.sleep(1.5)
    later = write(subtype)
    same[subtype] = first[0] == later[0]
    assert first[1] == later[1], "the samples differ"
print(soundfile.__libsndfile_version__, "same bytes when written again:", same)
sys.exit(same != {"PCM_16": True, "PCM_24": True, "FLOAT": False, "DOUBLE": False})
PYTHON
"$folder/venv/bin/python" "$folder/write.py" "$folder/sound.wav"

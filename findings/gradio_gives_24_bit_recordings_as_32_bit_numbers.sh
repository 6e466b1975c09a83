#!/usr/bin/env bash
# gradio 6.31.0: the component `gradio.Audio(type="numpy")` hands an uploaded recording to the program.
# Expected: 16-bit integers from -32768 to 32767, as its documentation states, whatever the file holds; a program
# divides them by 32768.
# Seen: a 16-bit file comes as 16-bit integers, but a 24-bit one, as studios and field recorders write, as 32-bit
# integers of the full range, and an 8-bit one as 8-bit integers. Divided by 32768, the same tone with a peak of 0.5
# becomes one of 32768 from the 24-bit file and of 0.002 from the 8-bit one. There is no error and no warning. A network
# without a normalisation saturates or hears next to nothing, and only for some of the visitors' files.
# Way out: `type="filepath"` and soundfile, or division by `-numpy.iinfo(samples.dtype).min`.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet gradio==6.31.0 soundfile==0.14.0 numpy==2.4.6
cat > "$folder/upload.py" <<'PYTHON'
import sys
import warnings

import numpy as np
import soundfile

warnings.filterwarnings("ignore", message="Couldn't find ff")  # FFmpeg is not needed for WAV files
import gradio
from gradio.data_classes import FileData

RATE_HZ = 16_000
tone = 0.5 * np.sin(2 * np.pi * 500 * np.arange(RATE_HZ) / RATE_HZ)
component = gradio.Audio(type="numpy")
seen = {}
for subtype in ("PCM_U8", "PCM_16", "PCM_24", "PCM_32"):
    path = f"{sys.argv[1]}/{subtype}.wav"
    soundfile.write(path, tone, RATE_HZ, subtype=subtype)
    rate_hz, samples = component.preprocess(FileData(path=path))
    assert rate_hz == RATE_HZ
    seen[subtype] = str(samples.dtype), round(float(np.abs(samples / 32768).max()), 3)
print(f"gradio {gradio.__version__}, type and peak after division by 32768:", seen)
sys.exit(seen != {"PCM_U8": ("int8", 0.002), "PCM_16": ("int16", 0.5), "PCM_24": ("int32", 32768.0),
                  "PCM_32": ("int32", 32768.0)})
PYTHON
GRADIO_ANALYTICS_ENABLED=False "$folder/venv/bin/python" "$folder/upload.py" "$folder"

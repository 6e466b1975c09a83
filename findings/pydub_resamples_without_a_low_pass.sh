#!/usr/bin/env bash
# pydub 0.25.1 on Python up to 3.12 (`audioop`), `set_frame_rate`: a recording at 16 kHz becomes one at 8 kHz.
# Expected: what lies above 4 kHz is removed, as by FFmpeg, which pydub calls to decode files, or by soxr.
# Seen: `set_frame_rate` does not call FFmpeg. It interpolates between samples without a low-pass filter: a tone of 7 kHz
# becomes a tone of 1 kHz at full level. The hiss of consonants is folded into the band of the voice.
# Telephone speech that was made from recordings at 16 kHz with pydub therefore sounds like no telephone.
# Way out: resample with soxr, or give FFmpeg the rate (`parameters=["-ar", "8000"]` of `export`).
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet pydub==0.25.1 soxr==1.1.0 numpy==2.2.6
cat > "$folder/resample.py" <<'PYTHON'
import sys
import warnings

import numpy as np
import soxr

warnings.simplefilter("ignore")
from pydub import AudioSegment

tone = (20_000 * np.sin(2 * np.pi * 7000 * np.arange(16_000) / 16_000)).astype(np.int16)
sound = AudioSegment(tone.tobytes(), sample_width=2, frame_rate=16_000, channels=1)
by_pydub = np.array(sound.set_frame_rate(8000).get_array_of_samples(), float)
by_soxr = soxr.resample(tone.astype(float), 16_000, 8000)
hz = int(np.abs(np.fft.rfft(by_pydub)).argmax())
levels_db = [20 * np.log10(signal.std() / tone.std()) for signal in (by_pydub, by_soxr)]
print(f"pydub 0.25.1: a tone of 7 kHz at 16 kHz becomes one of {hz} Hz at 8 kHz, {levels_db[0]:+.1f} dB; soxr {soxr.__version__}: "
      f"{levels_db[1]:+.0f} dB")
sys.exit(not (hz == 1000 and levels_db[0] > -1 and levels_db[1] < -50))
PYTHON
"$folder/venv/bin/python" "$folder/resample.py"

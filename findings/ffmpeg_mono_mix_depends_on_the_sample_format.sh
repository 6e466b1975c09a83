#!/usr/bin/env bash
# PyAV 18.1.0 (with its FFmpeg): `av.AudioResampler(layout="mono")` mixes a recording of two equal channels.
# Expected: one channel of the same level. The sample format of the output decides only the rounding.
# Seen: with 16-bit or 32-bit integers, the level is kept (half of each channel). With floats, it is 3 dB higher (0.707
# of each channel), so a recording of full scale exceeds full scale. FFmpeg scales its mixing weights down so that they
# cannot clip, but not if the output is float. The same file reaches a model 3 dB louder as float frames than as 16-bit
# frames, and the float mix clips when it is written with 16 bits.
# Way out: keep the channels, and average them in NumPy.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet av==18.1.0 numpy==2.4.6
cat > "$folder/mix.py" <<'PYTHON'
import sys

import av
import numpy as np

RATE_HZ = 16_000
channel = 0.9 * np.sin(2 * np.pi * 300 * np.arange(RATE_HZ) / RATE_HZ).astype(np.float32)
inputs = {"fltp": np.stack([channel, channel]), "s16p": np.round(32768 * np.stack([channel, channel])).astype(np.int16)}
FULL_SCALE = {"s16": 2**15, "s32": 2**31, "flt": 1, "dbl": 1}


def peak_of_mix(input_format, output_format):
    """Mix two channels with a peak of 0.9, and return the peak of the result, relative to full scale."""
    frame = av.AudioFrame.from_ndarray(inputs[input_format], format=input_format, layout="stereo")
    frame.sample_rate = RATE_HZ
    [mixed] = av.AudioResampler(format=output_format, layout="mono", rate=RATE_HZ).resample(frame)
    return float(np.abs(mixed.to_ndarray().astype(np.float64)).max() / FULL_SCALE[output_format])


peaks = {(source, target): round(peak_of_mix(source, target), 3) for source in inputs for target in FULL_SCALE}
print("PyAV", av.__version__, "libswresample", ".".join(map(str, av.library_versions["libswresample"])))
print("peak of the mix, by input and output format:", {" -> ".join(names): peak for names, peak in peaks.items()})
sys.exit(not all(peak == (0.9 if target in ("s16", "s32") else 1.273) for (_, target), peak in peaks.items()))
PYTHON
"$folder/venv/bin/python" "$folder/mix.py"

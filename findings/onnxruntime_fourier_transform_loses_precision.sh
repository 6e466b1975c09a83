#!/usr/bin/env bash
# onnxruntime 1.32.0, onnx 1.23.2: the operator DFT of opset 17 on float32 frames whose length is no power of two.
# Expected: the rounding of float32, a relative error of 1e-6 or less, as with SciPy in float32 for every length.
# Seen: 4e-7 for 512 and 16,384 samples, but 3e-5 for 400 samples (25 ms at 16 kHz) and 1e-3 for 16,000 samples (one
# second): noise 58 dB below the signal, worse than 10-bit samples. In float64, the same operator is exact to 1e-11.
# Such lengths are computed by the chirp transform (Bluestein), whose angles grow with the square of the index and are
# rounded to float32.
# Way out: frames of a power of two, the transform in float64, or its matrix as a MatMul.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet onnx==1.23.2 onnxruntime==1.32.0 numpy==2.4.6 scipy==1.17.1
cat > "$folder/transform.py" <<'PYTHON'
import sys

import numpy as np
import onnx
import onnxruntime
import scipy.fft
from onnx import helper

rng = np.random.default_rng(0)


def transform(frame):
    """Let onnxruntime compute the one-sided Fourier transform of a frame."""
    kind, length = helper.np_dtype_to_tensor_dtype(frame.dtype), len(frame)
    graph = helper.make_graph([helper.make_node("DFT", ["frame"], ["spectrum"], axis=1, onesided=1)], "transform",
                              [helper.make_tensor_value_info("frame", kind, [1, length, 1])],
                              [helper.make_tensor_value_info("spectrum", kind, [1, length // 2 + 1, 2])])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model, full_check=True)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    [spectrum] = session.run(None, {"frame": frame[None, :, None]})
    return spectrum[0, :, 0] + 1j * spectrum[0, :, 1]


def relative_errors(length):
    """Return the relative errors of onnxruntime in float32, of SciPy in float32 and of onnxruntime in float64."""
    frame = rng.standard_normal(length)
    single = frame.astype(np.float32)
    expected, expected_single = np.fft.rfft(frame), np.fft.rfft(single.astype(np.float64))
    return [float(np.linalg.norm(found - true) / np.linalg.norm(true)) for found, true in
            ((transform(single), expected_single), (scipy.fft.rfft(single), expected_single),
             (transform(frame), expected))]


errors = {length: relative_errors(length) for length in (400, 512, 16_000, 16_384)}
print(f"onnxruntime {onnxruntime.__version__}")
for length, (found, of_scipy, double) in errors.items():
    print(f"{length} samples: float32 {found:.0e}, SciPy in float32 {of_scipy:.0e}, float64 {double:.0e}")
sys.exit(not (errors[400][0] > 1e-5 and errors[16_000][0] > 5e-4 and max(errors[512][0], errors[16_384][0]) < 2e-6
              and all(of_scipy < 1e-6 and double < 1e-10 for _, of_scipy, double in errors.values())))
PYTHON
"$folder/venv/bin/python" "$folder/transform.py"

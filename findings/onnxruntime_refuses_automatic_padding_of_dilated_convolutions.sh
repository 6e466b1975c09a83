#!/usr/bin/env bash
# onnx 1.23.2, onnxruntime 1.32.0: the operator Conv with auto_pad=SAME_UPPER and dilations=[2], which opset 17 defines.
# Expected: a model that the checker accepts is computed, or refused when it is loaded.
# Seen: the checker accepts it, the reference evaluator of onnx computes it, and onnxruntime loads it; only its first
# run raises "Dilation not supported for AutoPadType::SAME_UPPER or AutoPadType::SAME_LOWER". The same convolution with
# the padding written out (pads=[2, 2]) runs and gives the numbers of the reference evaluator.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet onnx==1.23.2 onnxruntime==1.32.0 numpy==2.2.6
cat > "$folder/convolve.py" <<'PYTHON'
import sys

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator


def model(**padding):
    """Return a convolution of three taps, two frames apart, over a signal of one channel."""
    kernel = numpy_helper.from_array(np.array([[[1, 10, 100]]], np.float32), "kernel")
    node = helper.make_node("Conv", ["signal", "kernel"], ["output"], dilations=[2], **padding)
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 1, "frames"]) for name in ("signal", "output")]
    graph = helper.make_graph([node], "convolution", ends[:1], ends[1:], [kernel])
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(made, full_check=True)
    return made


signal = {"signal": np.arange(1, 7, dtype=np.float32)[None, None]}
automatic, written_out = model(auto_pad="SAME_UPPER"), model(pads=[2, 2])
[expected] = ReferenceEvaluator(automatic).run(None, signal)
session = onnxruntime.InferenceSession(automatic.SerializeToString(), providers=["CPUExecutionProvider"])
try:
    session.run(None, signal)
    refused = ""
except Exception as error:
    refused = str(error).split("Status Message: ")[-1].strip()
[found] = onnxruntime.InferenceSession(written_out.SerializeToString(), providers=["CPUExecutionProvider"]).run(
    None, signal)
print(f"onnx {onnx.__version__}, onnxruntime {onnxruntime.__version__}")
print(f"automatic padding: {refused or 'computed'}")
print(f"padding written out: {found.ravel()}, reference: {expected.ravel()}")
sys.exit(not ("Dilation not supported" in refused and np.array_equal(found, expected)))
PYTHON
"$folder/venv/bin/python" "$folder/convolve.py"

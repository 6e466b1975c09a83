#!/usr/bin/env bash
# onnx 1.23.2: `onnx.reference.ReferenceEvaluator` on a padded batch, with an LSTM whose input `sequence_lens` gives
# the true lengths, as a batch of recordings of different lengths needs it.
# Expected: what the operator defines and onnxruntime computes: each sequence ends at its length, the backward
# direction begins there, and the padding has no effect; or an error, if the evaluator cannot do this.
# Seen: the lengths are ignored, without a word. The last states are those after the padding, and the backward
# direction starts in it. GRU and RNN ignore the lengths, too. A sequence alone, without padding, is right.
# The evaluator is there to judge other runtimes. Here, a right export of a recurrent network fails against it, and
# one that forgot the lengths passes.
# Way out: compare with onnxruntime, or evaluate the sequences one by one.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet onnx==1.23.2 onnxruntime==1.32.0 numpy==2.4.6
cat > "$folder/lengths.py" <<'PYTHON'
import sys

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

FRAMES, BANDS, UNITS = 12, 4, 5
rng = np.random.default_rng(0)
LENGTHS = np.array([12, 7], np.int32)
frames = rng.standard_normal((FRAMES, 2, BANDS)).astype(np.float32)  # [T, B, F]; the second is padded with noise


def model(kind, n_gates):
    """Return a bidirectional recurrent layer with the lengths as an input."""
    shapes = {"W": (2, n_gates * UNITS, BANDS), "R": (2, n_gates * UNITS, UNITS), "B": (2, 2 * n_gates * UNITS)}
    weights = [numpy_helper.from_array(rng.uniform(-0.5, 0.5, shape).astype(np.float32), name)
               for name, shape in shapes.items()]
    node = helper.make_node(kind, ["frames", *shapes, "lengths"], ["outputs", "last"], hidden_size=UNITS,
                            direction="bidirectional")
    graph = helper.make_graph(
        [node], "layer",
        [helper.make_tensor_value_info("frames", TensorProto.FLOAT, ["T", "B", BANDS]),
         helper.make_tensor_value_info("lengths", TensorProto.INT32, ["B"])],
        [helper.make_tensor_value_info("outputs", TensorProto.FLOAT, ["T", 2, "B", UNITS]),
         helper.make_tensor_value_info("last", TensorProto.FLOAT, [2, "B", UNITS])], weights)
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(made, full_check=True)
    return made


def errors(kind, n_gates):
    """Return the errors of onnxruntime and of the evaluator for the padded sequence, and of the latter without padding.

    True is what onnxruntime returns for the sequence alone.
    """
    made = model(kind, n_gates)
    session = onnxruntime.InferenceSession(made.SerializeToString(), providers=["CPUExecutionProvider"])
    evaluator = ReferenceEvaluator(made)
    batch = {"frames": frames, "lengths": LENGTHS}
    alone = {"frames": frames[: LENGTHS[1], 1:], "lengths": LENGTHS[1:]}
    outputs, last = session.run(None, alone)

    def error(found):
        return float(max(np.abs(found[0][: LENGTHS[1], :, -1] - outputs[:, :, 0]).max(),
                         np.abs(found[1][:, -1] - last[:, 0]).max()))

    return [error(run(None, given)) for run, given in
            ((session.run, batch), (evaluator.run, batch), (evaluator.run, alone))]


seen = {kind: errors(kind, n_gates) for kind, n_gates in (("LSTM", 4), ("GRU", 3), ("RNN", 1))}
print(f"onnx {onnx.__version__}, onnxruntime {onnxruntime.__version__}; largest errors of the shorter sequence:")
for kind, (runtime, padded, alone) in seen.items():
    print(f"{kind}: onnxruntime in the batch {runtime:.0e}, evaluator in the batch {padded:.2f}, alone {alone:.0e}")
sys.exit(not all(runtime < 1e-5 and padded > 0.05 and alone < 1e-5 for runtime, padded, alone in seen.values()))
PYTHON
"$folder/venv/bin/python" "$folder/lengths.py"

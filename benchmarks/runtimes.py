"""The shipped model with its networks computed by onnxruntime and by OpenVINO: masks of 1, 10 and 100 s.

    python -m benchmarks.runtimes results/performance/runtimes/summary.csv

Both receive the same ONNX models and the same inputs; everything else is the package's own. Each figure is the median
of processes that run in turns, because the speed of a machine changes within minutes. *First* is from the start of the
import to the masks, *next* the same recording again in the same process. In the table, the value is that of
OpenVINO, the reference that of onnxruntime, and the ratio is value / reference. OpenVINO is installed into
`build/openvino`, once.
"""

import os
import subprocess
import sys
import time
from functools import partial

import numpy as np

from benchmarks.__main__ import ROOT
from benchmarks.timing import peak_megabytes
from benchmarks.turns import compare_in_turns

FOLDER = ROOT / "build" / "openvino"
PACKAGE = "openvino==2026.4.1"
LENGTHS_SECONDS = (1, 10, 100)
RUNTIMES = ("onnxruntime", "OpenVINO")
UNITS = {"first": "s", "next": "s", "peak memory": "MB"}


def install() -> None:
    """Install OpenVINO, unless it is there."""
    if not (FOLDER / "openvino").exists():
        print(f"installing {PACKAGE} into {FOLDER}", file=sys.stderr)
        subprocess.run([sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--target", FOLDER, PACKAGE],
                       check=True)


def openvino_function(model: bytes | str, threads: int | None = None):
    """Return the function of an ONNX model, as `lab41_sce.models.onnx_network.session_function` does."""
    import openvino

    core = openvino.Core()
    compiled = core.compile_model(core.read_model(model), "CPU", {"PERFORMANCE_HINT": "LATENCY",
                                                            "INFERENCE_PRECISION_HINT": "f32",
                                                            "INFERENCE_NUM_THREADS": os.cpu_count() or 1})
    return partial(_run, compiled)


def _run(compiled, features: np.ndarray) -> np.ndarray:
    return compiled([np.ascontiguousarray(features, np.float32)])[0]


def measure_here(length: str, runtime: str) -> dict[str, float]:
    """Measure a runtime in this process, which has not imported anything of the package's networks."""
    start = time.perf_counter()
    from lab41_sce import audio
    from lab41_sce.examples import EXAMPLES
    from lab41_sce.models import onnx_network
    from lab41_sce.pretrained import MODEL
    from lab41_sce.separation.chunked_inference import estimate_masks

    if runtime == "OpenVINO":
        sys.path.append(str(FOLDER))
        onnx_network.session_function = openvino_function
        onnx_network.in_parallel = map  # its threads share the sequences of a batch
    model = onnx_network.load_onnx_model(MODEL)
    channels, rate_hz = audio.read(EXAMPLES[0])
    signal = audio.resample(channels[0], rate_hz, model.front_end.sample_rate_hz)
    signal = np.resize(signal, int(length) * model.front_end.sample_rate_hz).astype(np.float32)
    masks = estimate_masks(model, signal, 2)
    first = time.perf_counter() - start
    estimate_masks(model, signal, 2)
    return {"first": first, "next": time.perf_counter() - start - first, "peak memory": peak_megabytes(),
            "checksum": float(np.abs(masks).mean())}


if __name__ == "__main__":
    compare_in_turns(__doc__.splitlines()[0], "benchmarks.runtimes", measure_here,
                     {str(length): f"masks of {length} s" for length in LENGTHS_SECONDS}, RUNTIMES, UNITS, rounds=5,
                     prepare=install)

"""The page and its default system run on onnxruntime; TensorFlow and Keras are never imported."""

import subprocess
import sys

import pytest

PROGRAM = """
import sys
from lab41_sce.demo.page import EXAMPLES, FOLDER
from lab41_sce.demo import drawing, markup, serving
from lab41_sce.demo.results import Choices, separate_sound
from lab41_sce.demo.sounds import Limits, make_mixture, open_sound
from lab41_sce.demo.systems import Systems

systems = Systems()
separate_sound(make_mixture("3 (woman)", "13 (man)", 0.0), Choices(systems.names[0]), systems)
example = open_sound(FOLDER / EXAMPLES["A woman and a man"], Limits())
result = separate_sound(example, Choices(systems.names[0]), systems)
print(len(result.voices), [name for name in ("keras", "tensorflow", "torch", "jax") if name in sys.modules])
"""


def test_the_page_separates_without_keras():
    pytest.importorskip("gradio", reason="the page needs Gradio; make test-browser installs it")
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True)
    assert done.stdout == "2 []\n", done.stderr

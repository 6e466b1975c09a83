"""TensorFlow uses oneDNN after the import of the package, unless the user has switched it off."""

import os
import platform
import subprocess
import sys

import pytest

from lab41_sce import onednn

OPERATIONS = """
import lab41_sce
import numpy as np
import tensorflow as tf

with tf.compat.v1.Graph().as_default():
    image = tf.compat.v1.placeholder(tf.float32, [1, 8, 8, 4])
    result = tf.nn.conv2d(image, np.ones([3, 3, 4, 4], np.float32), 1, "SAME")
    options, facts = tf.compat.v1.RunOptions(output_partition_graphs=True), tf.compat.v1.RunMetadata()
    with tf.compat.v1.Session() as session:
        session.run(result, {image: np.ones([1, 8, 8, 4])}, options=options, run_metadata=facts)
print(*(node.op for graph in facts.partition_graphs for node in graph.node))
"""
x86 = pytest.mark.skipif(platform.machine().lower() not in ("x86_64", "amd64"), reason="this is no x86 processor")


def operations(**environment: str) -> list[str]:
    """Return the operations that TensorFlow executes for a convolution, in a new process."""
    others = {name: value for name, value in os.environ.items() if name != onednn.VARIABLE}
    command = [sys.executable, "-c", OPERATIONS]
    return subprocess.run(command, env=others | environment, capture_output=True, text=True, check=True).stdout.split()


@pytest.mark.slow
@x86
def test_convolutions_are_those_of_onednn():
    """Those of oneDNN are called Mkl, the name of the library before it."""
    assert "_MklNativeConv2D" in operations()


@pytest.mark.slow
@x86
def test_the_users_choice_is_kept():
    """0 switches oneDNN off."""
    assert "Conv2D" in operations(TF_ENABLE_ONEDNN_OPTS="0")


def test_other_processors_keep_tensorflows_default(monkeypatch):
    """On them, the switch has another meaning."""
    monkeypatch.delenv(onednn.VARIABLE, raising=False)
    monkeypatch.setattr(platform, "machine", lambda: "aarch64")
    onednn.prefer_onednn()
    assert onednn.VARIABLE not in os.environ

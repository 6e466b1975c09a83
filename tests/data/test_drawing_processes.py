"""`lab41_sce.data.drawing_processes`: batches in shared memory, and processes that end with their parent."""

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from lab41_sce.data import drawing_processes
from lab41_sce.data.drawing_processes import DrawingProcesses
from lab41_sce.errors import UserError

PARENT = """
import time
from test_drawing_processes import Numbers
from lab41_sce.data.drawing_processes import DrawingProcesses
if __name__ == "__main__":
    print(DrawingProcesses(Numbers(), 1).batch(0)["process"][0], flush=True)
    time.sleep(60)
"""


class Numbers:
    """Draw batches that hold their number, and the process that drew them."""

    def empty_batch(self):
        return {"values": np.empty((2, 5), np.float32), "process": np.empty(1, np.int32)}

    def batch(self, index, into=None):
        if index == 99:
            raise UserError("speech is missing.")
        batch = self.empty_batch() if into is None else into
        batch["values"][:], batch["process"][:] = np.arange(10).reshape(2, 5) + index, os.getpid()
        return batch


def test_memory_is_used_again_only_after_its_batch(monkeypatch):
    monkeypatch.setattr(drawing_processes, "SPARE_BLOCKS", 1)
    processes = DrawingProcesses(Numbers(), 1)
    try:
        kept = [processes.batch(index) for index in range(4)]  # two of them in blocks
        for index, batch in enumerate(kept):
            np.testing.assert_array_equal(batch["values"], np.arange(10).reshape(2, 5) + index)
            assert batch["process"] != os.getpid() and batch["values"].dtype == np.float32
        place = kept[0]["values"].ctypes.data
        kept[0] = kept[0]["values"][1]  # a view of a batch keeps its memory
        assert processes.batch(5)["values"].ctypes.data != place and kept[0][0] == 5
        kept[0] = None
        assert processes.batch(6)["values"].ctypes.data == place
        with pytest.raises(UserError, match="speech is missing"):
            processes.batch(99)
        os.kill(int(kept[1]["process"][0]), signal.SIGKILL)
        with pytest.raises(UserError, match="was killed, .*mixtures.workers"):
            processes.batch(7)
    finally:
        processes.close()
    with pytest.raises(UserError, match="were ended"):
        processes.batch(8)


def is_running(process):
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


def test_processes_end_with_a_parent_that_is_killed(tmp_path):
    script = tmp_path / "parent.py"
    script.write_text(PARENT)
    path = os.pathsep.join([os.path.dirname(__file__), *sys.path])
    with subprocess.Popen([sys.executable, script], stdout=subprocess.PIPE, text=True,
                          env={**os.environ, "PYTHONPATH": path}) as parent:
        child = int(parent.stdout.readline())
        assert is_running(child)
        parent.kill()
    end = time.monotonic() + 20
    while is_running(child) and time.monotonic() < end:
        time.sleep(0.05)
    assert not is_running(child)

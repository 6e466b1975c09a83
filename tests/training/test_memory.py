"""Memory that is freed during training stays with the process."""

import platform
import subprocess
import sys

import pytest

# Python takes blocks of this size directly from the C library.
COUNT_FAULTS = """
import resource
from lab41_sce.training.memory import keep_freed_memory

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    len(b"x" * 64_000_000)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

usual = [faults(), faults()][1]
print(usual, keep_freed_memory(), [faults(), faults()][1])
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc's settings are known")
def test_a_block_of_the_size_of_one_before_needs_no_new_pages():
    usual, kept, then = subprocess.check_output([sys.executable, "-c", COUNT_FAULTS], text=True).split()
    assert kept == "True"
    assert int(usual) > 1000  # pages of 4 kB or more
    assert int(then) < 100

"""`lab41-sce separate` for recordings of a minute to an hour, or of other lengths: time, memory, cost of a minute.

    python -m benchmarks.lengths OUT.csv [--lengths 60 600 3600 36000] [--quick]

The shipped example is repeated to each length, and each length is separated by a new process. The time includes its
start, reading and writing. The cost of each further minute is the same for all lengths if time is linear in length.
"""

import argparse
import tempfile
from collections.abc import Iterable
from pathlib import Path

import soundfile

from benchmarks import first_voice
from benchmarks.__main__ import ROOT
from benchmarks.timing import Rows, part_main
from lab41_sce import audio
from lab41_sce.examples import EXAMPLES

LENGTHS_SECONDS = (10, 60, 600, 3600)


def write_repeated(path: Path, seconds: int) -> None:
    """Write the example again and again, part by part: a child's peak memory would include that of this process."""
    (signal,), rate_hz = audio.read(EXAMPLES[0])
    with soundfile.SoundFile(path, "w", rate_hz, 1) as file:
        for start in range(0, seconds * rate_hz, len(signal)):
            file.write(signal[: seconds * rate_hz - start])


def measure(rows: Rows, quick: bool, lengths: Iterable[int] = LENGTHS_SECONDS) -> None:
    """Measure the command for each length, in seconds; they rise."""
    earlier = None
    for length in [10] if quick else lengths:
        with tempfile.TemporaryDirectory() as folder:
            write_repeated(Path(folder) / "long.wav", length)
            figures = first_voice.measure(ROOT, [], Path(folder) / "long.wav")
        rows.add(f"separation of {length} s", figures["seconds"], "s")
        rows.add(f"separation of {length} s: CPU seconds", figures["cpu_seconds"], "s")
        rows.add(f"separation of {length} s: speed", length / figures["seconds"], "times real time")
        rows.add(f"separation of {length} s: peak memory", figures["peak_megabytes"], "MB")
        if earlier:
            for figure, words in (("seconds", "each further minute"), ("cpu_seconds", "CPU seconds of a minute")):
                slope = 60 * (figures[figure] - earlier[1][figure]) / (length - earlier[0])
                rows.add(f"separation, from {earlier[0]} to {length} s: {words}", slope, "s")
        earlier = length, figures


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--lengths", type=int, nargs="+", default=LENGTHS_SECONDS, help="in seconds, rising")
    part_main(measure, parser)

"""Commands, the share of each stage of a separation, and the speed of scoring.

A command is measured from its start to its end. The shares of the stages are those of one call in this process, for the
shipped example, repeated. `lengths.py` has the time and the memory of longer recordings.
"""

import contextlib
import os
import pkgutil
import subprocess
import sys
import tempfile
from collections import defaultdict
from pathlib import Path
from unittest import mock

import numpy as np

from benchmarks.timing import part_main, seconds
from lab41_sce import audio
from lab41_sce.audio.recording import Recording
from lab41_sce.evaluation.parallel_scoring import score_mixtures
from lab41_sce.examples import EXAMPLES
from lab41_sce.separation.separator import Separator

EXAMPLE = EXAMPLES[0]
STAGES_SECONDS = 120  # enough speech to find who talks at each moment
COMMANDS = {"separate --help": ["separate", "--help"], "experiment --help": ["experiment", "--help"],
            "separate the example of 7 s": ["separate", EXAMPLE]}
STAGES = {  # the outermost call counts
    "audio.recording.Recording.read": "reading", "audio.resample": "resampling",
    "models.numpy_front_end.NumpyFrontEnd.spectrogram": "STFT",
    "separation.running_scaling.RunningScaling.add": "scaling",
    "separation.running_scaling.RunningScaling.__call__": "scaling",
    "separation.window_network.hidden_of_window": "hidden layers",
    "separation.window_network.embeddings_of_bins": "last layer",
    "separation.window_network.masks_of_hidden": "last layer and masks",
    "separation.streaming.masks_of_hidden": "last layer and masks",
    "separation.speaker_search.spectral_variation_db": "counting",
    "separation.speaker_search.estimate_count": "counting",
    "models.mask_estimation.EmbeddingMasks.centroids": "clustering",
    "separation.turns._measure_block": "who talks at each moment",
    "separation.turns._estimate": "who talks at each moment",
    "models.mask_estimation.EmbeddingMasks.final_masks": "complex masks",
    "separation.activity.SpeakerActivity.from_masks": "activity",
    "models.numpy_front_end.NumpyFrontEnd.synthesise": "resynthesis"}


def run_command(name: str, *arguments, cwd: str) -> None:
    """Run a command of the package as users do."""
    subprocess.run([sys.executable, "-m", f"lab41_sce.{name}", *arguments], cwd=cwd, check=True, capture_output=True)


def repeated_example(length_seconds: int) -> tuple[np.ndarray, int]:
    """Return the example, repeated to a length: `[N]` and its rate in Hz."""
    channels, rate_hz = audio.read(EXAMPLE)
    return np.resize(channels[0], length_seconds * rate_hz), rate_hz


def stage_shares(signal: np.ndarray, rate_hz: int) -> dict[str, float]:
    """Measure the share of each stage in the time of a separation, and of the rest; one window after the other."""
    separator, taken, running = Separator.from_pretrained(), defaultdict(float), []

    def timed(stage, call):
        def wrapped(*arguments, **options):
            if running:  # within another stage
                return call(*arguments, **options)
            running.append(stage)
            result = []
            taken[stage] += seconds(lambda: result.append(call(*arguments, **options)))
            running.clear()
            return result[0]
        return wrapped

    with tempfile.TemporaryDirectory() as folder:
        recording = Path(folder) / "long.wav"
        audio.write(recording, signal, rate_hz)

        def separate():
            stream = separator.open(Recording.open(recording, "mix"))
            names = [Path(folder) / f"{number}.wav" for number in range(stream.speakers.n_speakers)]
            with audio.open_writers(names, rate_hz, 1, len(signal)) as write:
                for part in stream:
                    timed("writing", write)(part)

        with contextlib.ExitStack() as stack:
            for module in ("speaker_search", "streaming"):
                stack.enter_context(mock.patch(f"lab41_sce.separation.{module}.in_parallel", map))
            for name, stage in STAGES.items():
                call = pkgutil.resolve_name(f"lab41_sce.{name}")
                stack.enter_context(mock.patch(f"lab41_sce.{name}", timed(stage, call)))
            separate()  # starts the networks
            taken.clear()
            whole = seconds(separate)
    taken["the rest"] = whole - sum(taken.values())
    return {stage: part / whole for stage, part in sorted(taken.items(), key=lambda item: -item[1])}


def measure_scoring(rows, quick: bool) -> None:
    """Measure mixtures of noise that are scored a second and core, on one core and on all."""
    rng, length, n_mixtures = np.random.default_rng(0), 10_000 * (1 if quick else 5), 2 if quick else 24
    sources = rng.standard_normal((n_mixtures, 2, length)).astype(np.float32)
    estimates = sources + 0.1 * rng.standard_normal(sources.shape).astype(np.float32)
    jobs = [({"mixture": str(number), "split": "unseen", "kind": "FM"}, pair[0], pair[0].sum(axis=0),
             {"system": pair[1]}) for number, pair in enumerate(zip(sources, estimates, strict=True))]
    for cores in (1, os.cpu_count() or 1):
        score_mixtures(jobs[:cores], n_jobs=cores, progress=False)  # starts the workers
        rate = n_mixtures / seconds(lambda cores=cores: score_mixtures(jobs, n_jobs=cores, progress=False))
        rows.add(f"scoring mixtures of {length / 10_000:g} s, cores: {cores}", rate / cores, "mixtures/s and core")


def measure(rows, quick: bool) -> None:
    """Measure the commands, the stages and the scoring."""
    taken = {name: [] for name in COMMANDS}
    for name, command in [*COMMANDS.items()] * (1 if quick else 5):
        with tempfile.TemporaryDirectory() as folder:
            taken[name].append(seconds(lambda folder=folder, command=command: run_command(*command, cwd=folder)))
    for name, times in taken.items():
        rows.add(f"command: {name}", np.median(times), "s")
    length = 30 if quick else STAGES_SECONDS
    for stage, share in stage_shares(*repeated_example(length)).items():
        rows.add(f"separation of {length} s: share of {stage}", share, "1")
    measure_scoring(rows, quick)


if __name__ == "__main__":
    part_main(measure)

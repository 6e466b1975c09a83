"""Separation: the command's time and memory for recordings of 10 seconds to an hour, and where the time goes.

The shipped example is repeated to each length. The command is measured from its start to its end: TensorFlow's import,
reading and writing are included. Shares are of a call in one process, without the import.
"""

import contextlib
import resource
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from unittest import mock

import numpy as np
from bench import part_main

from lab41_sce import audio
from lab41_sce.examples import __file__ as examples

SECONDS = (10, 60, 600, 3600)
PROFILED_SECONDS = 120


def commands(rows, lengths: Sequence[int]) -> None:
    """Measure the command, from the shortest on, since the system tells the largest peak of memory so far."""
    channels, rate_hz = audio.read(Path(examples).with_name("mixture.wav"))
    earlier = None
    for seconds in lengths:
        with tempfile.TemporaryDirectory() as folder:
            audio.write(Path(folder) / "long.wav", np.resize(channels[0], seconds * rate_hz), rate_hz)
            start = time.perf_counter()
            subprocess.run([sys.executable, "-m", "lab41_sce.separate", f"{folder}/long.wav", "--out-dir", folder],
                           check=True, capture_output=True)
            taken = time.perf_counter() - start
        rows.add(f"separation of {seconds} s", taken, "s")
        rows.add(f"separation of {seconds} s: speed", seconds / taken, "times real time")
        peak_mb = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
        rows.add(f"separation of {seconds} s: peak memory", peak_mb, "MB")
        if earlier:
            slope = 60 * (taken - earlier[1]) / (seconds - earlier[0])
            rows.add(f"separation, from {earlier[0]} to {seconds} s: each further minute", slope, "s")
        earlier = seconds, taken


def measure(rows, quick: bool) -> None:
    """Measure the command, then the stages of a separation."""
    commands(rows, SECONDS[:1] if quick else SECONDS)
    channels, rate_hz = audio.read(Path(examples).with_name("mixture.wav"))
    seconds = 10 if quick else PROFILED_SECONDS
    for stage, share in shares(np.resize(channels[0], seconds * rate_hz), rate_hz).items():
        rows.add(f"separation of {seconds} s: share of {stage}", share, "1")


def shares(signal: np.ndarray, rate_hz: int) -> dict[str, float]:
    """Measure what share of a separation each stage takes; what is in none of them is "the rest"."""
    from lab41_sce.audio.recording import Recording
    from lab41_sce.models.embedding_model import EmbeddingModel
    from lab41_sce.models.front_end import FrontEnd
    from lab41_sce.separation import separator, speaker_count, streaming
    from lab41_sce.separation.running_scaling import RunningScaling

    separator, taken, running = separator.Separator.from_pretrained(), defaultdict(float), []

    def timed(stage, call):
        def wrapped(*arguments, **options):
            if running:  # within another stage
                return call(*arguments, **options)
            running.append(stage)
            start = time.perf_counter()
            try:
                return call(*arguments, **options)
            finally:
                taken[stage] += time.perf_counter() - start
                running.clear()
        return wrapped

    stages = [(Recording, "read", "reading"), (FrontEnd, "spectrogram", "STFT"),
              (EmbeddingModel, "hidden", "hidden layers"), (EmbeddingModel, "vectors", "last layer"),
              (RunningScaling, "add", "scaling"), (RunningScaling, "__call__", "scaling"),
              (speaker_count, "fit_centroids", "clustering"), (EmbeddingModel, "centroids", "clustering"),
              (EmbeddingModel, "masks_from", "masks"), (FrontEnd, "synthesise", "resynthesis"),
              (streaming.audio, "resample", "resampling"), (streaming.SpeakerActivity, "of", "who speaks when")]
    with tempfile.TemporaryDirectory() as folder:
        audio.write(Path(folder) / "long.wav", signal, rate_hz)
        for _ in range(2):  # the first one compiles the network
            taken.clear()
            with contextlib.ExitStack() as stack:
                for owner, name, stage in stages:
                    stack.enter_context(mock.patch.object(owner, name, timed(stage, getattr(owner, name))))
                start = time.perf_counter()
                found = separator.open(Recording.open(Path(folder) / "long.wav", "mix"))
                names = [Path(folder) / f"{number}.wav" for number in range(found.n_speakers)]
                with audio.writers(names, rate_hz, 1, len(signal)) as write:
                    for part in found:
                        timed("writing", write)(part)
                whole = time.perf_counter() - start
    taken["the rest"] = whole - sum(taken.values())
    return {stage: seconds / whole for stage, seconds in sorted(taken.items(), key=lambda item: -item[1])}


if __name__ == "__main__":
    part_main(measure)

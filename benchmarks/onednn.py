"""Updates of a training with oneDNN and with TensorFlow's own kernels (Eigen).

    python -m benchmarks.onednn results/performance/onednn/summary.csv

Processes with oneDNN (value) and without it (reference) run in turns, because the speed of a machine changes within
minutes. Each makes updates on one prepared batch of the embedded corpus, of the size of the experiment. The figures are
medians of the processes; ratio is value / reference.
"""

import os

import numpy as np

from benchmarks.turns import compare_in_turns
from lab41_sce.onednn import VARIABLE

EXPERIMENTS = {"two_speaker": "update of two_speaker", "reproduce": "update of reproduce",
               "complex_masks corpus=embedded": "update of complex_masks",
               "two_speaker method=pit_cnn": "update of two_speaker, pit_cnn"}
UPDATES = 6


def measure_here(experiment: str, kernels: str) -> dict[str, float]:
    """Measure an update of an experiment in this process, with "onednn" or "eigen"; the first two do not count."""
    os.environ[VARIABLE] = {"onednn": "1", "eigen": "0"}[kernels]  # before TensorFlow is imported, below
    from benchmarks.training import Trainee
    from lab41_sce.training.memory import keep_freed_memory

    keep_freed_memory()
    trainee = Trainee(f"+exp={experiment}".split())
    mixtures, front_end = trainee.prepared.settings.mixtures, trainee.prepared.setup.front_end
    frames = round(mixtures.seconds * front_end.sample_rate_hz / front_end.hop_length)
    ready = trainee.ready(mixtures.batch_size, frames)
    trainee.update_ends(ready, 2)
    return {"seconds": float(np.median(np.diff(trainee.update_ends(ready, UPDATES))))}


if __name__ == "__main__":
    compare_in_turns(__doc__.splitlines()[0], "benchmarks.onednn", measure_here, EXPERIMENTS, ("eigen", "onednn"),
                     {"seconds": "s"}, rounds=3)

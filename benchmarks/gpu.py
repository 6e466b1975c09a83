"""Time of an update on a GPU, by the PyTorch trainer: the measurements that `full_scale.py` extrapolates.

    KERAS_BACKEND=torch python -m benchmarks.gpu OUT.csv

Batches are drawn beforehand from the embedded corpus; times are medians of some rounds. `OUT.csv` has the columns name,
value, unit; `gpu.json`, beside it, describes the machine.
"""

import json

import numpy as np
import torch

from benchmarks.prepared import prepare_experiment, training_mixtures
from benchmarks.timing import part_main, seconds
from lab41_sce.atomic_write import write_text
from lab41_sce.runs.systems import build_method
from lab41_sce.runs.versions import versions
from lab41_sce.training import torch_trainer

CASES = {"article's network": (["+exp=article"], [(16, 40), (64, 40), (256, 40), (1024, 40)]),
         "pretrained recipe": (["+exp=cpu_hours"], [(32, 100), (128, 100)]),
         "quick recipe": (["+exp=cpu_half_hour"], [(32, 100), (128, 100)])}
UPDATES, ROUNDS = 20, 5


def update_seconds(experiment: list[str], batch: int, hops: int, updates: int) -> float:
    """Return the median duration of an update, given the number and the hops of the excerpts."""
    config, prepared = prepare_experiment(experiment)
    method = build_method(config, prepared.setup)
    ready = torch_trainer.Batches(training_mixtures(prepared, batch, hops))[0]
    torch_trainer.loss_of(method, ready)  # builds every weight
    adam, weights = torch_trainer.optimizer(method, prepared.settings.training), torch_trainer.trainable_tensors(method)

    def run() -> None:
        for _ in range(updates):
            loss = torch_trainer.update(method, ready, adam, weights, prepared.settings.training.clip_norm)
        loss.item()  # waits for all of them

    taken = [seconds(run) / updates for _ in range(ROUNDS + 1)]
    return float(np.median(taken[1:]))


def measure(rows, quick: bool) -> None:
    """Measure all cases."""
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
    for name, (experiment, sizes) in CASES.items():
        for batch, hops in [(2, 20)] if quick else sizes:
            taken = update_seconds(experiment, batch, hops, 1 if quick else UPDATES)
            rows.add(f"{name}, {batch} x {hops} frames: an update", 1e3 * taken, "ms")
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else "none"
    about = {"gpu": gpu} | versions(packages=("torch", "keras", "numpy"))
    write_text(rows.folder / "gpu.json", json.dumps(about, indent=2) + "\n")


if __name__ == "__main__":
    part_main(measure)

"""Time of an update on a GPU, by Keras's PyTorch backend: the measurements that `full_scale.py` extrapolates.

    PYTHONPATH=.:tools python -m benchmarks.gpu OUT.csv

Batches are drawn beforehand from the embedded corpus; times are medians of some rounds. `OUT.csv` has the columns name,
value, unit; `gpu.json`, beside it, describes the machine.
"""

import json

import numpy as np
import torch
from train_with_torch import Training, compose_config, describe_machine, optimizer, update

from benchmarks.timing import part_main, seconds
from lab41_sce.atomic_write import write_text
from lab41_sce.data import splits
from lab41_sce.data.corpus import EMBEDDED_SUBSET, load_corpus

CASES = {"article's network": (["+exp=paper"], [(16, 40), (64, 40), (256, 40), (1024, 40)]),
         "pretrained recipe": (["+exp=pretrained"], [(32, 100), (128, 100)]),
         "quick recipe": (["+exp=quick"], [(32, 100), (128, 100)])}
UPDATES, ROUNDS = 20, 5


def update_seconds(experiment: list[str], batch: int, hops: int, updates: int) -> float:
    """Return the median duration of an update, given the number and the hops of the excerpts."""
    sizes = [f"mixtures.batch_size={batch}", f"mixtures.seconds={hops * 0.0256}", "corpus=embedded"]
    config = compose_config([*experiment, *sizes])
    table = load_corpus(None, [EMBEDDED_SUBSET], check="headers")
    training = Training(config, splits.split(table, 2, **config.splits))
    adam = optimizer(training.method, config.training)
    weights = [weight.value for weight in training.method.trainable_variables]
    ready = {name: torch.from_numpy(values) for name, values in training.mixtures.batch(0).items()}

    def run():
        for _ in range(updates):
            loss = update(training.method, ready, adam, weights, config.training.clip_norm)
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
    if rows.folder is not None:
        write_text(rows.folder / "gpu.json", json.dumps(describe_machine(), indent=2) + "\n")


if __name__ == "__main__":
    part_main(measure)

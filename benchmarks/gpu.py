"""Measure the time of an update on a GPU, by Keras's PyTorch backend: what `estimate_full_scale.py` counts with.

    python tools/bench_gpu.py OUT.csv

Batches are drawn beforehand, from the embedded corpus; medians of some rounds. `OUT.csv` has the columns name, value,
unit, and `OUT.json`, beside it, the machine.
"""

import argparse
import json
import time
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from train_with_torch import Training, compose_config, describe_machine, optimizer, update

from lab41_sce.atomic_write import write_text, write_whole
from lab41_sce.data import librispeech, splits

CASES = {"article's network": (["+exp=paper"], [(16, 40), (64, 40), (256, 40), (1024, 40)]),
         "pretrained recipe": (["+exp=pretrained"], [(32, 100), (128, 100)]),
         "quick recipe": (["+exp=quick"], [(32, 100), (128, 100)])}
UPDATES, ROUNDS = 20, 5


def measure(experiment: list[str], batch: int, hops: int, updates: int) -> float:
    """Return the seconds of an update on a batch of some excerpts of as many hops."""
    sizes = [f"mixtures.batch_size={batch}", f"mixtures.seconds={hops * 0.0256}", "corpus=embedded"]
    config = compose_config([*experiment, *sizes])
    table = librispeech.load(None, [librispeech.EMBEDDED_SUBSET], check="headers")
    training = Training(config, splits.split(table, 2, **config.splits))
    adam = optimizer(training.method, config.training)
    weights = [weight.value for weight in training.method.trainable_variables]
    ready = {name: torch.from_numpy(values) for name, values in training.mixtures.batch(0).items()}
    taken = []
    for _ in range(ROUNDS + 1):
        start = time.perf_counter()
        for _ in range(updates):
            loss = update(training.method, ready, adam, weights, config.training.clip_norm)
        loss.item()  # waits for all
        taken.append((time.perf_counter() - start) / updates)
    return float(np.median(taken[1:]))


def main():
    """Measure all cases, then write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--quick", action="store_true", help="one small case: to see that it works")
    options = parser.parse_args()
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
    rows = []
    for name, (experiment, sizes) in CASES.items():
        for batch, hops in [(2, 20)] if options.quick else sizes:
            seconds = measure(experiment, batch, hops, 1 if options.quick else UPDATES)
            rows.append((f"{name}, {batch} x {hops} frames: an update", float(f"{1e3 * seconds:.4g}"), "ms"))
            print(rows[-1], flush=True)
    table = pd.DataFrame(rows, columns=["name", "value", "unit"])
    write_whole(options.out, lambda path: table.to_csv(path, index=False))
    write_text(options.out.with_suffix(".json"), json.dumps(describe_machine(), indent=2) + "\n")


if __name__ == "__main__":
    main()

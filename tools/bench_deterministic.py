"""What `deterministic=true` costs: the update of `+exp=two_speaker`, in processes with and without it, in turns."""

import json
import subprocess
import sys

import numpy as np
import tensorflow as tf
from bench import part_main
from bench_training import Bench

EXPERIMENT, BATCH, FRAMES, UPDATES, ROUNDS = "+exp=two_speaker", 32, 100, 20, 3


def rate(deterministic: bool, quick: bool) -> float:
    """Measure frames a second of this process, which does not go back to other orders of its sums."""
    if deterministic:
        tf.config.experimental.enable_op_determinism()
    batch, length = (2, 20) if quick else (BATCH, FRAMES)
    bench = Bench([EXPERIMENT])
    one = tf.data.Dataset.from_tensors(bench.mixtures(batch, length).batch(0)).repeat()
    return bench.rate(one, 1 if quick else UPDATES, batch * (length + 1))


def measure(rows, quick: bool) -> None:
    """Let processes with and without take turns."""
    rates = {False: [], True: []}
    for _ in range(1 if quick else ROUNDS):
        for deterministic, found in rates.items():
            told = subprocess.run([sys.executable, __file__, "rate", json.dumps([deterministic, quick])], check=True,
                                  stdout=subprocess.PIPE)
            found.append(float(told.stdout.splitlines()[-1]))
    usual, slower = np.median(rates[False]), np.median(rates[True])
    rows.add("two_speaker, update on ready data", usual, "frames/s")
    rows.add("two_speaker, update on ready data, deterministic=true", slower, "frames/s")
    rows.add("two_speaker, deterministic=true, share of the usual rate", slower / usual, "1")


if __name__ == "__main__":
    if sys.argv[1] == "rate":
        print(rate(*json.loads(sys.argv[2])))
    else:
        part_main(measure)

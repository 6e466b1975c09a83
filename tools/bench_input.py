"""Measure how fast mixtures come, against how fast the article's network takes them.

    python tools/bench_input.py [--root LIBRISPEECH --subsets train-clean-5]

Prints frames per second (a frame is one hop of 256 samples at 10 kHz) of the input pipeline alone, decoding in memory
and on the fly, of training updates on one ready batch, and their ratio; and the memory that the speech takes.
"""

import argparse
import resource
import time
from functools import partial

import keras
import numpy as np
from tqdm import tqdm

from lab41_sce.corpora import librispeech, splits
from lab41_sce.features import FrontEnd
from lab41_sce.methods.base import Setup
from lab41_sce.methods.sce import build
from lab41_sce.mixtures import Speech, TrainingMixtures
from lab41_sce.networks import blstm


def seconds_each(step, repeats):
    """Return the median seconds of a call, after one that is not counted."""
    step()
    times = []
    for _ in tqdm(range(repeats), leave=False):
        start = time.perf_counter()
        step()
        times.append(time.perf_counter() - start)
    return float(np.median(times))


def memory_mb():
    """Return the largest resident memory of this process so far, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main():
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--root", help="a LibriSpeech tree; the embedded corpus if left out")
    parser.add_argument("--subsets", nargs="+", default=["synthetic"])
    parser.add_argument("--batch-size", type=int, default=256)
    parser.add_argument("--frames", type=int, default=40)
    parser.add_argument("--units", type=int, default=300)
    parser.add_argument("--embedding-size", type=int, default=40)
    parser.add_argument("--repeats", type=int, default=15)
    options = parser.parse_args()

    front_end = FrontEnd()
    table = splits.split(librispeech.load(options.root, options.subsets), 2)
    speakers = splits.trained_speakers(table)
    table = table[table["split"] == "train"]
    frames = options.batch_size * options.frames
    seconds = options.frames * front_end.hop_length / front_end.sample_rate_hz
    rates = {}
    for in_memory in (True, False):
        before = memory_mb()
        speech = Speech(table, front_end.sample_rate_hz, in_memory)
        hours = table["seconds"].sum() / 3600
        print(f"speech: {hours:.2f} hours, in memory: {in_memory}, {memory_mb() - before:.0f} MB more")
        mixtures = TrainingMixtures(speech, table, speakers, seconds=seconds, batch_size=options.batch_size)
        name = "input, in memory" if in_memory else "input, decoded on the fly"
        start = time.perf_counter()  # all batches of a fresh stream: none is prefetched before the clock starts
        for _ in mixtures.dataset().take(2 * options.repeats):
            pass
        rates[name] = 2 * options.repeats * frames / (time.perf_counter() - start)
    keras.utils.set_random_seed(0)
    setup = Setup(front_end, partial(blstm, units=options.units), 2, tuple(speakers))
    method = build(setup, options.embedding_size)
    method.compile(keras.optimizers.Adam(0.001))
    batch = mixtures.batch(0)
    update = frames / seconds_each(lambda: method.train_on_batch(batch), options.repeats)
    for name, rate in rates.items():
        print(f"{name}: {rate:,.0f} frames/s, {rate / update:.1f} times the update's")
    print(f"update of 2 x {options.units} units, K = {options.embedding_size}, batch {options.batch_size} x "
          f"{options.frames} frames: {update:,.0f} frames/s")


if __name__ == "__main__":
    main()

"""Estimate what all of LibriSpeech would take on 1, 4 and 16 GPUs, from rates that were measured.

    python tools/estimate_full_scale.py results/full_scale --corpus /path/to/LibriSpeech

`measured.csv` has what was measured on this machine: name, value, unit. `gpu.csv`, in the same folder, has what
`bench_gpu.py` measured on a machine with a GPU; the speed between GPUs is assumed, give your own. `table.md` has all of
it and the estimate:

    an update   = the larger of what the GPU and what the input need
    the GPU     = an update of its rows, as measured (between measured numbers of rows: in proportion)
                  + bytes of all gradients x 2 (n - 1) / n / the network's speed       (a ring all-reduce)
    the input   = frames of its rows / frames a second that the worker draws from a store, which is one process
    hours       = updates x that, and validations, on the chief alone
"""

import argparse
import json
import tempfile
import time
from pathlib import Path

import keras
import numpy as np
import pandas as pd
import tensorflow as tf
from bench import machine
from bench_training import Bench, input_rate

from lab41_sce.atomic_write import write_text
from lab41_sce.data import librispeech
from lab41_sce.data.evaluation_set import draw_evaluation_set
from lab41_sce.data.speech import Speech
from lab41_sce.evaluation import scoring
from lab41_sce.runs import run_directory

EXPERIMENT = ["+exp=paper", "corpus=embedded"]
GPUS = (1, 4, 16)
ROWS = 256  # excerpts of the article's batch
HOURS = {"train-clean-100": 100.6, "train-clean-360": 363.6, "train-other-500": 496.7}  # openslr.org/12
UPDATES = 92_000  # about those of the article's model
ASSUMED = {"gigabytes_per_second": (5.0, "GB/s", "between GPUs, of one machine or several")}


def gpu_seconds(table: pd.DataFrame) -> tuple[list[int], list[float]]:
    """Read how long an update of the article's network takes on a GPU: numbers of rows, and seconds of each."""
    found = table["name"].str.extract(r"article's network, (\d+) x \d+ frames: an update")[0]
    mine = table.assign(rows=found.astype(float))[found.notna()].sort_values("rows")
    return mine["rows"].astype(int).tolist(), (mine["value"] / 1e3).tolist()


def measure(corpus: Path, n_files: int, store: Path) -> dict[str, tuple[float, str]]:
    """Measure on this machine, with a store made in an empty folder; return value and unit by name."""
    folders = sorted(folder.name for folder in corpus.iterdir() if folder.is_dir())
    subset = next((name for name in folders if name in HOURS), folders[0])
    files = librispeech.load(corpus, [subset], check="headers").sample(n_files, random_state=0, replace=True)
    files = files.drop_duplicates("utterance").assign(split="train")
    hours, start = files["seconds"].sum() / 3600, time.perf_counter()
    store.make(files, store, 10_000, n_jobs=1)
    storing = time.perf_counter() - start
    stored = store.load(store).assign(split="train")
    bench = Bench(EXPERIMENT)
    validation = draw_evaluation_set(bench.speech, bench.table.assign(split="validation"), "validation", n_speakers=2,
                                 n_per_kind=bench.config.validation.per_kind, seconds=bench.config.validation.seconds,
                                 pre_emphasis=0.95)
    start = time.perf_counter()
    scoring.validate(bench.method.model, bench.speech, validation)
    validating = time.perf_counter() - start
    batch, hops = bench.config.mixtures.batch_size, round(bench.config.mixtures.seconds * 10_000 / 256)
    frames = batch * (hops + 1)
    update = frames / bench.rate(tf.data.Dataset.from_tensors(bench.mixtures(batch, hops).batch(0)).repeat(), 3, frames)
    # From here on the mixtures are of the store; the method knows the speakers of the embedded corpus only.
    bench.table, bench.speakers = stored, sorted(stored["speaker"].unique())
    bench.speech = Speech(stored, 10_000, in_memory=False)
    mixtures = bench.mixtures(batch, hops)
    megabytes = sum(Path(path).stat().st_size for path in files["path"]) / 1e6
    return {
        "frames of an update": (frames, "frames"),
        "frames of an excerpt": (hops + 1, "frames"),
        "weights": (sum(np.prod(weight.shape) for weight in bench.method.trainable_variables), "numbers"),
        "update on this machine": (update, "s"),
        "input of one process, from a store": (input_rate(mixtures, frames, 5), "frames/s"),
        "a validation": (validating, "s"),
        "an hour of speech as it is distributed": (megabytes / hours, "MB"),
        "an hour of speech in a store": (10_000 * 2 * 3600 / 1e6, "MB"),
        "storing an hour of speech on one core": (storing / hours, "s"),
    }


def estimate(measured: dict[str, float], assumed: dict[str, float], gpu: tuple[list[int], list[float]],
             n_gpus: int, batch: int) -> dict[str, float]:
    """Estimate the hours of a training with batches of so many excerpts by the model above."""
    rows = batch / n_gpus
    frames = rows * measured["frames of an excerpt"]
    update = (np.interp(rows, *gpu)
              + 2 * (n_gpus - 1) / n_gpus * 4 * measured["weights"] / assumed["gigabytes_per_second"] / 1e9)
    drawn = frames / measured["input of one process, from a store"]
    validating = UPDATES / 500 * measured["a validation"] / 3600
    hours = UPDATES * max(update, drawn) / 3600
    return {"GPUs": n_gpus, "excerpts in a batch": batch, "GPU, ms": 1e3 * update, "input, ms": 1e3 * drawn,
            "update, ms": 1e3 * max(update, drawn), "excerpts a second": batch / max(update, drawn),
            "updates, hours": hours, "validations, hours": validating, "in all, hours": hours + validating}


def rows(table: pd.DataFrame) -> str:
    """Lay a table out in Markdown, three digits of each number."""
    cells = [[f"{cell:,.3g}" if isinstance(cell, float) and abs(cell) < 1000 else f"{cell:,.0f}"
              if isinstance(cell, (int, float)) else str(cell) for cell in line] for line in table.to_numpy(object)]
    lines = [[*table.columns], ["---" if isinstance(cell, str) else "--:" for cell in table.iloc[0]], *cells]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def main():
    """Measure, estimate, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("results", type=Path, help="folder to write to")
    parser.add_argument("--corpus", type=Path, default=librispeech.EMBEDDED_ROOT, help="a tree to decode files of")
    parser.add_argument("--quick", action="store_true", help="few files: to see that it works")
    for name, (value, unit, what) in ASSUMED.items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=float, default=value, metavar=unit, help=what)
    options = parser.parse_args()
    if not (options.results / "gpu.csv").exists():
        parser.error(f"{options.results} has no gpu.csv; write one on a machine with a GPU: python tools/bench_gpu.py "
                     f"{options.results}/gpu.csv")
    on_gpu = pd.read_csv(options.results / "gpu.csv")
    keras.utils.set_random_seed(0)
    with tempfile.TemporaryDirectory() as folder:
        measured = measure(options.corpus, 5 if options.quick else 200, Path(folder))
    values = {name: float(value) for name, (value, _) in measured.items()}
    hours = sum(HOURS.values())
    facts = pd.DataFrame([(name, float(value), unit) for name, (value, unit) in measured.items()],
                         columns=["measured here", "value", "unit"])
    guesses = pd.DataFrame([(f"{name.replace('_', ' ')}: {what}", float(getattr(options, name)), unit)
                            for name, (_, unit, what) in ASSUMED.items()], columns=["assumed", "value", "unit"])
    storage = pd.DataFrame([
        ("as it is distributed", hours * values["an hour of speech as it is distributed"] / 1e3, "GB"),
        ("in a store", hours * values["an hour of speech in a store"] / 1e3, "GB"),
        ("making the store on one core", hours * values["storing an hour of speech on one core"] / 3600, "hours"),
        ("how often the updates hear all of it",
         UPDATES * values["frames of an update"] * 2 * 256 / 10_000 / 3600 / hours, "times"),
        ("the same updates on this machine", UPDATES * values["update on this machine"] / 3600, "hours"),
    ], columns=["all training speech, 960 hours", "value", "unit"])
    assumed = {name: getattr(options, name) for name in ASSUMED}
    times = pd.DataFrame([estimate(values, assumed, gpu_seconds(on_gpu), count, batch)
                          for count in GPUS for batch in sorted({ROWS, ROWS * count})])
    for name, table in [("measured", facts), ("assumed", guesses), ("storage", storage), ("estimate", times)]:
        run_directory.write_csv(table, options.results / f"{name}.csv")
    device = json.loads((options.results / "gpu.json").read_text("utf-8"))
    on_gpu = on_gpu.rename(columns={"name": f"measured on one {device['gpu']}, PyTorch {device['torch']}"})
    write_text(options.results / "machine.json", json.dumps(machine(), indent=2) + "\n")
    write_text(options.results / "table.md", "\n".join(map(rows, (facts, on_gpu, guesses, storage, times))))
    print((options.results / "table.md").read_text("utf-8"))


if __name__ == "__main__":
    main()

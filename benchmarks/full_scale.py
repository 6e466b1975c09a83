"""Estimate the cost of training on all of LibriSpeech with 1, 4 and 16 GPUs, from measured rates.

    python -m benchmarks.full_scale results/performance/full_scale --corpus $LIBRISPEECH

The folder must hold `gpu.csv` and `gpu.json`, which `benchmarks.gpu` writes on a machine with a GPU. All else is
measured on this machine, except the transfer rate between GPUs, which is assumed. `table.md` shows the measurements and
the estimate:

    an update   = the larger one of the GPU's and the input's time
    the GPU     = an update of its rows, as measured (interpolated between measured numbers of rows)
                  + bytes of all gradients x 2 (n - 1) / n / transfer rate             (a ring all-reduce)
    the input   = frames of its rows / frames a second that its drawing processes (mixtures.workers) draw from a store,
                  each on its own core
    hours       = updates x the time of an update, and validations, on the chief alone
"""

import argparse
import json
import tempfile
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pandas as pd

from benchmarks.prepared import training_mixtures
from benchmarks.timing import machine, markdown, seconds
from benchmarks.training import Trainee, input_rate
from lab41_sce.atomic_write import write_text
from lab41_sce.data.corpus import EMBEDDED_ROOT, load_corpus
from lab41_sce.data.speech import Speech
from lab41_sce.data.store_reader import load_store
from lab41_sce.data.store_writer import write_store
from lab41_sce.runs.run_directory import write_csv

GPUS = (1, 4, 16)
ROWS = 256  # excerpts of the article's batch
HOURS = {"train-clean-100": 100.6, "train-clean-360": 363.6, "train-other-500": 496.7}  # openslr.org/12
UPDATES = 92_000  # about those of the article's model
UPDATES_PER_VALIDATION = 500
RATE_HZ, HOP = 10_000, 256
DRAWING_PROCESSES = 4  # of each GPU, as in the SLURM script of docs/scale.md
GIGABYTES_PER_SECOND = 5.0  # assumed, between GPUs of one machine or several


def gpu_seconds(table: pd.DataFrame) -> tuple[list[int], list[float]]:
    """Read the duration of an update of the article's network on a GPU: numbers of rows, and the seconds of each."""
    found = table["name"].str.extract(r"article's network, (\d+) x \d+ frames: an update")[0]
    article = table.assign(rows=found.astype(float))[found.notna()].sort_values("rows")
    return article["rows"].astype(int).tolist(), (article["value"] / 1e3).tolist()


def measure(corpus: Path, n_files: int, store_folder: Path) -> dict[str, tuple[float, str]]:
    """Measure on this machine, with a store made in an empty folder; return values and units by name."""
    folders = sorted(folder.name for folder in corpus.iterdir() if folder.is_dir())
    subset = next((name for name in folders if name in HOURS), folders[0])
    files = load_corpus(corpus, [subset], check="headers").sample(n_files, random_state=0, replace=True)
    files = files.drop_duplicates("utterance")
    hours = files["seconds"].sum() / 3600
    storing = seconds(lambda: write_store(files, store_folder, RATE_HZ, n_jobs=1))
    trainee = Trainee(["+exp=article"])
    prepared, settings = trainee.prepared, trainee.prepared.settings.mixtures
    validating = seconds(prepared.validate, trainee.method.model)
    batch, length = settings.batch_size, round(settings.seconds * RATE_HZ / HOP)
    frames = batch * (length + 1)
    update = frames / trainee.rate(trainee.ready(batch, length), 3, frames)
    stored = load_store(store_folder).assign(split="train")
    of_store = replace(prepared, speech=Speech(stored, RATE_HZ, in_memory=False), utterances=stored,
                       setup=replace(prepared.setup, speakers=tuple(sorted(stored["speaker"].unique()))))
    megabytes = sum(Path(path).stat().st_size for path in files["path"]) / 1e6
    weights = sum(np.prod(weight.shape) for weight in trainee.method.trainable_variables)
    mixtures = training_mixtures(of_store, batch, length)
    mixtures.settings = replace(mixtures.settings, workers=1)
    drawn = input_rate(mixtures, frames, 40)
    mixtures.close()
    return {"frames of an update": (frames, "frames"), "frames of an excerpt": (length + 1, "frames"),
            "weights": (weights, "numbers"), "update on this machine": (update, "s"),
            "input of one process, from a store": (drawn, "frames/s"), "a validation": (validating, "s"),
            "an hour of speech as it is distributed": (megabytes / hours, "MB"),
            "an hour of speech in a store": (RATE_HZ * 2 * 3600 / 1e6, "MB"),
            "storing an hour of speech on one core": (storing / hours, "s")}


def estimate(measured: dict[str, float], gigabytes_per_second: float, gpu: tuple[list[int], list[float]],
             n_gpus: int, batch: int) -> dict[str, float]:
    """Estimate a training by the model above.

    Args:
        measured: value by name.
        gigabytes_per_second: transfer rate between GPUs.
        gpu: numbers of rows, and the seconds of an update of each.
        n_gpus: number of GPUs.
        batch: excerpts in a batch of all GPUs.

    Returns:
        A row of the table: hours, and milliseconds of an update.
    """
    rows = batch / n_gpus
    gradients_bytes = 4 * measured["weights"]
    on_gpu = np.interp(rows, *gpu) + 2 * (n_gpus - 1) / n_gpus * gradients_bytes / gigabytes_per_second / 1e9
    drawn = DRAWING_PROCESSES * measured["input of one process, from a store"]
    drawing = rows * measured["frames of an excerpt"] / drawn
    update = max(on_gpu, drawing)
    validating_hours = UPDATES / UPDATES_PER_VALIDATION * measured["a validation"] / 3600
    hours = UPDATES * update / 3600
    return {"GPUs": n_gpus, "excerpts in a batch": batch, "GPU, ms": 1e3 * on_gpu, "input, ms": 1e3 * drawing,
            "update, ms": 1e3 * update, "excerpts a second": batch / update, "updates, hours": hours,
            "validations, hours": validating_hours, "in all, hours": hours + validating_hours}


def storage(measured: dict[str, float]) -> dict[str, tuple[float, str]]:
    """Return the size of all training speech, and the times that depend on it."""
    hours = sum(HOURS.values())
    trained_hours = UPDATES * measured["frames of an update"] * 2 * HOP / RATE_HZ / 3600
    return {"as it is distributed": (hours * measured["an hour of speech as it is distributed"] / 1e3, "GB"),
            "in a store": (hours * measured["an hour of speech in a store"] / 1e3, "GB"),
            "making the store on one core": (hours * measured["storing an hour of speech on one core"] / 3600, "hours"),
            "passes of the updates over all of it": (trained_hours / hours, "times"),
            "the same updates on this machine": (UPDATES * measured["update on this machine"] / 3600, "hours")}


def main() -> None:
    """Measure, estimate, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("results", type=Path, help="folder to write to")
    parser.add_argument("--corpus", type=Path, default=EMBEDDED_ROOT, help="corpus whose files are decoded")
    parser.add_argument("--quick", action="store_true", help="few files, to check that the benchmark works")
    parser.add_argument("--gigabytes-per-second", type=float, default=GIGABYTES_PER_SECOND,
                        help="transfer rate between GPUs, of one machine or several")
    options = parser.parse_args()
    if not (options.results / "gpu.csv").exists():
        parser.error(f"{options.results} has no gpu.csv; write one on a machine with a GPU: "
                     f"python -m benchmarks.gpu {options.results}/gpu.csv")
    on_gpu = pd.read_csv(options.results / "gpu.csv")
    device = json.loads((options.results / "gpu.json").read_text("utf-8"))
    keras.utils.set_random_seed(0)
    with tempfile.TemporaryDirectory() as folder:
        measured = measure(options.corpus, 5 if options.quick else 200, Path(folder))
    values = {name: float(value) for name, (value, _) in measured.items()}

    def table(title: str, rows: dict[str, tuple[float, str]]) -> pd.DataFrame:
        return pd.DataFrame([(name, *row) for name, row in rows.items()], columns=[title, "value", "unit"])

    tables = {
        "measured": table("measured here", measured),
        "assumed": table("assumed", {"transfer rate between GPUs": (options.gigabytes_per_second, "GB/s"),
                                     "drawing processes of each GPU": (DRAWING_PROCESSES, "processes")}),
        "storage": table("all training speech, 960 hours", storage(values)),
        "estimate": pd.DataFrame([estimate(values, options.gigabytes_per_second, gpu_seconds(on_gpu), count, batch)
                                  for count in GPUS for batch in sorted({ROWS, ROWS * count})])}
    for name, rows in tables.items():
        write_csv(rows, options.results / f"{name}.csv")
    write_text(options.results / "machine.json", json.dumps(machine(), indent=2) + "\n")
    shown = [on_gpu.rename(columns={"name": f"measured on one {device['gpu']}, PyTorch {device['torch']}"}),
             *tables.values()]
    rounded = [rows.map(lambda cell: float(f"{cell:.4g}") if isinstance(cell, float) else cell) for rows in shown]
    text = "\n".join(markdown(rows, ",.9g") for rows in rounded)
    write_text(options.results / "table.md", text)
    print(text)


if __name__ == "__main__":
    main()

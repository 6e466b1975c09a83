"""Estimate the cost of training on all of LibriSpeech with 1, 4 and 16 GPUs, from measured rates.

    python -m benchmarks.full_scale results/full_scale --corpus /path/to/LibriSpeech

`measured.csv` receives what is measured on this machine: name, value, unit. `gpu.csv`, in the same folder, holds the
measurements of `benchmarks.gpu` on a machine with a GPU. The transfer rate between GPUs is assumed; pass your own.
`table.md` shows all of them and the estimate:

    an update   = the larger one of the GPU's and the input's time
    the GPU     = an update of its rows, as measured (interpolated between measured numbers of rows)
                  + bytes of all gradients x 2 (n - 1) / n / transfer rate             (a ring all-reduce)
    the input   = frames of its rows / frames a second that the worker, one process, draws from a store
    hours       = updates x that, and validations, on the chief alone
"""

import argparse
import json
import tempfile
from pathlib import Path

import keras
import numpy as np
import pandas as pd

from benchmarks.timing import machine, seconds
from benchmarks.training import Trainee, input_rate
from lab41_sce.atomic_write import write_text
from lab41_sce.data.corpus import EMBEDDED_ROOT, load_corpus
from lab41_sce.data.evaluation_set import draw_evaluation_set
from lab41_sce.data.speech import Speech
from lab41_sce.data.store_reader import load_store
from lab41_sce.data.store_writer import write_store
from lab41_sce.evaluation import scoring
from lab41_sce.runs import run_directory

GPUS = (1, 4, 16)
ROWS = 256  # excerpts of the article's batch
HOURS = {"train-clean-100": 100.6, "train-clean-360": 363.6, "train-other-500": 496.7}  # openslr.org/12
UPDATES = 92_000  # about those of the article's model
UPDATES_PER_VALIDATION = 500
RATE_HZ = 10_000
GIGABYTES_PER_SECOND = 5.0  # assumed, between GPUs of one machine or several


def gpu_seconds(table: pd.DataFrame) -> tuple[list[int], list[float]]:
    """Read the duration of an update of the article's network on a GPU: numbers of rows, and the seconds of each."""
    found = table["name"].str.extract(r"article's network, (\d+) x \d+ frames: an update")[0]
    article = table.assign(rows=found.astype(float))[found.notna()].sort_values("rows")
    return article["rows"].astype(int).tolist(), (article["value"] / 1e3).tolist()


def measure(corpus: Path, n_files: int, store_folder: Path) -> pd.DataFrame:
    """Measure on this machine, with a store made in an empty folder; return name, value and unit."""
    folders = sorted(folder.name for folder in corpus.iterdir() if folder.is_dir())
    subset = next((name for name in folders if name in HOURS), folders[0])
    files = load_corpus(corpus, [subset], check="headers").sample(n_files, random_state=0, replace=True)
    files = files.drop_duplicates("utterance").assign(split="train")
    hours = files["seconds"].sum() / 3600
    storing = seconds(lambda: write_store(files, store_folder, RATE_HZ, n_jobs=1))
    stored = load_store(store_folder).assign(split="train")
    trainee = Trainee(["+exp=paper", "corpus=embedded"])
    settings, batch = trainee.config.validation, trainee.config.mixtures.batch_size
    validation = draw_evaluation_set(trainee.speech, trainee.table.assign(split="validation"), "validation",
                                     n_speakers=2, n_per_kind=settings.per_kind, seconds=settings.seconds,
                                     pre_emphasis=0.95)
    validating = seconds(scoring.validate, trainee.method.model, trainee.speech, validation)
    length = round(trainee.config.mixtures.seconds * RATE_HZ / 256)
    frames = batch * (length + 1)
    update = frames / trainee.rate(trainee.ready(batch, length), 3, frames)
    # Mixtures of the store; the method knows the speakers of the embedded corpus only.
    trainee.table, trainee.speakers = stored, sorted(stored["speaker"].unique())
    trainee.speech = Speech(stored, RATE_HZ, in_memory=False)
    megabytes = sum(Path(path).stat().st_size for path in files["path"]) / 1e6
    weights = sum(np.prod(weight.shape) for weight in trainee.method.trainable_variables)
    rows = [("frames of an update", frames, "frames"), ("frames of an excerpt", length + 1, "frames"),
            ("weights", weights, "numbers"), ("update on this machine", update, "s"),
            ("input of one process, from a store", input_rate(trainee.mixtures(batch, length), frames, 5), "frames/s"),
            ("a validation", validating, "s"),
            ("an hour of speech as it is distributed", megabytes / hours, "MB"),
            ("an hour of speech in a store", RATE_HZ * 2 * 3600 / 1e6, "MB"),
            ("storing an hour of speech on one core", storing / hours, "s")]
    return pd.DataFrame(rows, columns=["measured here", "value", "unit"]).astype({"value": float})


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
    drawing = rows * measured["frames of an excerpt"] / measured["input of one process, from a store"]
    update = max(on_gpu, drawing)
    validating_hours = UPDATES / UPDATES_PER_VALIDATION * measured["a validation"] / 3600
    hours = UPDATES * update / 3600
    return {"GPUs": n_gpus, "excerpts in a batch": batch, "GPU, ms": 1e3 * on_gpu, "input, ms": 1e3 * drawing,
            "update, ms": 1e3 * update, "excerpts a second": batch / update, "updates, hours": hours,
            "validations, hours": validating_hours, "in all, hours": hours + validating_hours}


def storage(measured: dict[str, float]) -> pd.DataFrame:
    """Return the size of all training speech, and the times that depend on it."""
    hours = sum(HOURS.values())
    trained_hours = UPDATES * measured["frames of an update"] * 2 * 256 / RATE_HZ / 3600
    return pd.DataFrame([
        ("as it is distributed", hours * measured["an hour of speech as it is distributed"] / 1e3, "GB"),
        ("in a store", hours * measured["an hour of speech in a store"] / 1e3, "GB"),
        ("making the store on one core", hours * measured["storing an hour of speech on one core"] / 3600, "hours"),
        ("passes of the updates over all of it", trained_hours / hours, "times"),
        ("the same updates on this machine", UPDATES * measured["update on this machine"] / 3600, "hours"),
    ], columns=["all training speech, 960 hours", "value", "unit"])


def markdown(table: pd.DataFrame) -> str:
    """Format a table in Markdown, with three digits of each number."""
    cells = [[f"{cell:,.3g}" if isinstance(cell, float) and abs(cell) < 1000 else f"{cell:,.0f}"
              if isinstance(cell, (int, float)) else str(cell) for cell in line] for line in table.to_numpy(object)]
    lines = [[*table.columns], ["---" if isinstance(cell, str) else "--:" for cell in table.iloc[0]], *cells]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def main() -> None:
    """Measure, estimate, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("results", type=Path, help="folder to write to")
    parser.add_argument("--corpus", type=Path, default=EMBEDDED_ROOT, help="corpus whose files are decoded")
    parser.add_argument("--quick", action="store_true", help="few files: to check that it works")
    parser.add_argument("--gigabytes-per-second", type=float, default=GIGABYTES_PER_SECOND,
                        help="transfer rate between GPUs, of one machine or several")
    options = parser.parse_args()
    if not (options.results / "gpu.csv").exists():
        parser.error(f"{options.results} has no gpu.csv; write one on a machine with a GPU: "
                     f"python -m benchmarks.gpu {options.results}/gpu.csv")
    on_gpu = pd.read_csv(options.results / "gpu.csv")
    keras.utils.set_random_seed(0)
    with tempfile.TemporaryDirectory() as folder:
        facts = measure(options.corpus, 5 if options.quick else 200, Path(folder))
    values = dict(zip(facts["measured here"], facts["value"]))
    assumed = pd.DataFrame([("transfer rate between GPUs", options.gigabytes_per_second, "GB/s")],
                           columns=["assumed", "value", "unit"])
    times = pd.DataFrame([estimate(values, options.gigabytes_per_second, gpu_seconds(on_gpu), count, batch)
                          for count in GPUS for batch in sorted({ROWS, ROWS * count})])
    tables = {"measured": facts, "assumed": assumed, "storage": storage(values), "estimate": times}
    for name, table in tables.items():
        run_directory.write_csv(table, options.results / f"{name}.csv")
    device = json.loads((options.results / "gpu.json").read_text("utf-8"))
    on_gpu = on_gpu.rename(columns={"name": f"measured on one {device['gpu']}, PyTorch {device['torch']}"})
    write_text(options.results / "machine.json", json.dumps(machine(), indent=2) + "\n")
    shown = (facts, on_gpu, *[*tables.values()][1:])
    write_text(options.results / "table.md", "\n".join(map(markdown, shown)))
    print((options.results / "table.md").read_text("utf-8"))


if __name__ == "__main__":
    main()

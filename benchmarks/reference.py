"""Training input, scoring and separation beside a reference commit: whole processes in turns, medians.

    python -m benchmarks.reference OUT.csv [--before 789e35f] [--rounds 3] [--rows input scoring short long] [--quick]

Every round starts a process of the reference and one of this version for each row, because the speed of a machine
changes within minutes. `OUT.csv` has the columns name, value, unit, reference and ratio. Each process of `probe.py`
uses the package of the checkout in PYTHONPATH.

    input        frames a second of the article's batches, 256 x 40 frames, from a store of the embedded corpus; this
                 version draws them with a process for each core
    scoring      mixtures a second of six systems, 5 s at 10 kHz, of two and three speakers in turns, on all cores
    short, long  `lab41-sce separate`: seconds and peak memory for the example of 7 s and for an hour. The reference has
                 no second network; the rows "soft masks" are this version without it
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pandas as pd

from benchmarks import first_voice
from benchmarks.__main__ import ROOT, checkout
from benchmarks.lengths import write_repeated
from lab41_sce.data.corpus import EMBEDDED_SUBSET, load_corpus
from lab41_sce.data.store_writer import write_store
from lab41_sce.examples import EXAMPLES
from lab41_sce.pretrained import MODEL
from lab41_sce.runs.run_directory import write_csv

BEFORE, RATE_HZ = "789e35f", 10_000
ROWS = ("input", "scoring", "short", "long")
UNITS = {"input from a store": "frames/s", "scoring six systems": "mixtures/s"}


def probe(package: Path, *arguments: str) -> float:
    """Return the number that `probe.py` prints in a process that uses the package of a checkout."""
    environment = os.environ | {"PYTHONPATH": str(package), "TF_CPP_MIN_LOG_LEVEL": "3",
                                "PYTHONWARNINGS": "ignore:resource_tracker"}
    process = subprocess.run([sys.executable, Path(__file__).with_name("probe.py"), *arguments], env=environment,
                             cwd=package, check=True, stdout=subprocess.PIPE, text=True)
    return float(process.stdout.split()[-1])


def write_soft_model(folder: Path) -> Path:
    """Write the shipped model without its second network, with the calibrations beside it; return its path."""
    shutil.copytree(MODEL.parent, folder, ignore=shutil.ignore_patterns("*.py", "*.pyc", "__pycache__"))
    # Keras would take the memory that the peaks of later processes are compared with.
    code = ("import sys; from lab41_sce.models.loading import load_model; model = load_model(sys.argv[1]); "
            "model.mask_network = None; model.save(sys.argv[1])")
    subprocess.run([sys.executable, "-c", code, str(folder / MODEL.name)], check=True, cwd=ROOT, capture_output=True)
    return folder / MODEL.name


def separation(package: Path, name: str, recording: Path, soft_model: Path) -> dict[str, float]:
    """Return seconds and peak memory of the command for a recording, with and without the second network."""
    figures = first_voice.measure(package, [], recording)
    soft = first_voice.measure(package, ["--model", str(soft_model)], recording) if package == ROOT else figures
    return {f"{row}{figure}": values[key] for row, values in ((name, figures), (f"{name}, soft masks", soft))
            for figure, key in (("", "seconds"), (", peak memory", "peak_megabytes"))}


def measure_round(package: Path, rows: list[str], folder: Path, quick: bool) -> dict[str, float]:
    """Measure rows once with the package of a checkout; the folder has a store, a model and a long recording."""
    figures = {}
    if "input" in rows:
        figures["input from a store"] = probe(package, "input", str(folder / "store"), "2" if quick else "40")
    if "scoring" in rows:
        figures["scoring six systems"] = probe(package, "scoring", "1" if quick else "5", "1" if quick else "4")
    if "short" in rows:
        figures |= separation(package, "command: separate 7 s", EXAMPLES[0], folder / "soft" / MODEL.name)
    if "long" in rows:
        length = 20 if quick else 3600
        figures |= separation(package, f"command: separate {length} s", folder / "long.wav",
                              folder / "soft" / MODEL.name)
    return figures


def main() -> None:
    """Measure all rounds and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--before", default=BEFORE, help="commit of the reference")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--rows", nargs="+", choices=ROWS, default=ROWS)
    parser.add_argument("--quick", action="store_true", help="one small round, to check that the benchmark works")
    options = parser.parse_args()
    measured: dict[str, list[dict[str, float]]] = {"reference": [], "value": []}
    with checkout(options.before) as before, tempfile.TemporaryDirectory() as folder:
        write_store(load_corpus(None, [EMBEDDED_SUBSET], check="headers"), Path(folder) / "store", RATE_HZ)
        write_repeated(Path(folder) / "long.wav", 20 if options.quick else 3600)
        write_soft_model(Path(folder) / "soft")
        for _ in range(1 if options.quick else options.rounds):
            for column, package in (("reference", before), ("value", ROOT)):
                measured[column].append(measure_round(package, options.rows, Path(folder), options.quick))
                print(column, measured[column][-1], file=sys.stderr, flush=True)
    table = pd.DataFrame({column: pd.DataFrame(rounds).median() for column, rounds in measured.items()})
    table = table.rename_axis("name").reset_index()
    units = ["MB" if name.endswith("memory") else UNITS.get(name, "s") for name in table["name"]]
    table = table.assign(unit=units, ratio=(table["value"] / table["reference"]).round(3))
    options.out.parent.mkdir(parents=True, exist_ok=True)
    write_csv(table[["name", "value", "unit", "reference", "ratio"]], options.out)
    print(table.to_string(index=False))


if __name__ == "__main__":
    main()

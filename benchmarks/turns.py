"""Measurements of two variants in processes of their own that run in turns, and the table that compares them.

The speed of a machine changes within minutes, so a process of each variant runs in each round, and the figures are
medians over the rounds.
"""

import argparse
import json
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pandas as pd

from benchmarks.__main__ import ROOT
from lab41_sce.runs.run_directory import write_csv


def compare_in_turns(description: str, module: str, measure_here: Callable[[str, str], Mapping[str, float]],
                     cases: Mapping[str, str], variants: tuple[str, str], units: Mapping[str, str], rounds: int,
                     prepare: Callable[[], None] = lambda: None) -> None:
    """Serve as the main function of a benchmark: measure every case with both variants, and write a table.

    Args:
        description: of the command.
        module: name of the benchmark, run with `--here CASE VARIANT` in the processes.
        measure_here: measures a case with a variant in this process; returns figures by name. A figure `checksum`
            must be the same for both variants, to 1e-4.
        cases: what the table calls each case.
        variants: the reference, then the one whose figures are the values.
        units: unit of each figure that the table has.
        rounds: default number of rounds.
        prepare: called before the first round.
    """
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("out", type=Path)
    parser.add_argument("--rounds", type=int, default=rounds)
    parser.add_argument("--here", nargs=2, metavar=("CASE", "VARIANT"), help="measure in this process and print")
    options = parser.parse_args()
    if options.here:
        print(json.dumps(measure_here(*options.here)))
        return
    prepare()
    rows = []
    for _ in range(options.rounds):
        for case in cases:
            for variant in variants:
                command = [sys.executable, "-m", module, options.out, "--here", case, variant]
                printed = subprocess.run(command, check=True, cwd=ROOT, stdout=subprocess.PIPE).stdout
                rows.append({"case": case, "variant": variant, **json.loads(printed.splitlines()[-1])})
                print(rows[-1], file=sys.stderr, flush=True)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    write_csv(comparison(pd.DataFrame(rows), cases, variants, units), options.out)


def comparison(rows: pd.DataFrame, cases: Mapping[str, str], variants: Sequence[str],
               units: Mapping[str, str]) -> pd.DataFrame:
    """Return the medians of the rows as a table with `name`, `value`, `unit`, `reference` and `ratio`.

    Raises:
        RuntimeError: the variants have different checksums.
    """
    medians = rows.groupby(["case", "variant"]).median()
    summary = []
    for case, name in cases.items():
        reference, value = (medians.loc[(case, variant)] for variant in variants)
        if "checksum" in medians and abs(value["checksum"] - reference["checksum"]) > 1e-4 * abs(reference["checksum"]):
            raise RuntimeError(f"the results of {name} differ: {value['checksum']} and {reference['checksum']}")
        summary += [{"name": f"{name}: {figure}", "value": value[figure], "unit": unit, "reference": reference[figure],
                     "ratio": value[figure] / reference[figure]} for figure, unit in units.items()]
    return pd.DataFrame(summary).round(3)

"""Break things on purpose, and write what survived: `make torture`, some hours.

    python tools/torture.py results/reliability [--parts faults disk inputs page ...] [--quick]

Each part is a script of its own, `torture_PART.py`, and runs in a process of its own. `summary.csv` has the columns
campaign, tried, survived, lost, tracebacks, hangs, note: `tried` counts what was done to the program, `survived` how
often it then did what it promises (the same result, or one clear sentence), `lost` how often something was gone or half
written, `note` what else was measured. A part that is run again replaces its rows only. `RELIABILITY.md`, beside the
folder, shows the table.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path

import pandas as pd
from bench import machine

from lab41_sce.atomic_write import write_text
from lab41_sce.runs import run_directory

PARTS = ("faults", "disk", "inputs", "page", "numbers", "mutants", "cluster")
COLUMNS = ["part", "campaign", "tried", "survived", "lost", "tracebacks", "hangs", "note"]
INTRODUCTION = """# What was broken on purpose

Written by `make torture` from [`reliability/summary.csv`](reliability/summary.csv): how often something was done to the
program, how often it then did what it promises (the same result as undisturbed, or one clear sentence and nothing
else), how often data was lost or half written, how often it showed a traceback or hung. Of mutants, which are mistakes
put into the code, those count as survived that the tests noticed ([those that they did not](reliability/README.md)).
Random masks may be better than the ideal one in SI-SDR, which is not what it is ideal for, but none may keep out more
of who is not wanted.

"""


class Campaigns:
    """Collect the campaigns of a part, told as they end.

    Args:
        folder: where a part may leave further tables.
    """

    def __init__(self, folder: Path):
        self.folder, self.rows = folder, []

    def add(self, campaign: str, tried: int, survived: int, lost: int = 0, tracebacks: int = 0, hangs: int = 0,
            note: str = "") -> None:
        """Append a campaign's row."""
        self.rows.append((campaign, tried, survived, lost, tracebacks, hangs, note))
        told = f"{survived} of {tried} survived, {lost} lost, {tracebacks} tracebacks, {hangs} hangs"
        print(f"{campaign}: {told}. {note}", file=sys.stderr, flush=True)


def part_main(run) -> None:
    """Run a part's `run(campaigns, quick)` from the command line, and write its rows."""
    parser = argparse.ArgumentParser()
    parser.add_argument("out", type=Path)
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    campaigns = Campaigns(options.out.parent)
    run(campaigns, options.quick)
    run_directory.write_csv(pd.DataFrame(campaigns.rows, columns=COLUMNS[1:]), options.out)


def run_part(part: str, results: Path, quick: bool) -> pd.DataFrame:
    """Run the script of a part in a process of its own; return its rows."""
    out = results / f".{part}.csv"
    script = Path(__file__).with_name(f"torture_{part}.py")
    subprocess.run([sys.executable, script, out, *["--quick"] * quick], check=True)
    rows = pd.read_csv(out, keep_default_na=False)
    out.unlink()
    rows.insert(0, "part", part)
    return rows


def markdown(table: pd.DataFrame) -> str:
    """Lay the campaigns out."""
    shown = table.drop(columns="part")
    lines = [shown.columns, ["---", *["--:"] * 5, "---"], *shown.to_numpy().tolist()]
    return "".join(f"| {' | '.join(map(str, line))} |\n" for line in lines)


def main():
    """Run the parts, and write after each."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("results", type=Path, help="folder to write to")
    parser.add_argument("--parts", nargs="+", default=PARTS, choices=PARTS)
    parser.add_argument("--quick", action="store_true", help="some cases of each campaign: to see that it works")
    options = parser.parse_args()
    options.results.mkdir(parents=True, exist_ok=True)
    summary = options.results / "summary.csv"
    table = pd.read_csv(summary, keep_default_na=False) if summary.exists() else pd.DataFrame(columns=COLUMNS)
    for part in options.parts:
        found = run_part(part, options.results, options.quick)
        table = pd.concat([table[table["part"] != part], found], ignore_index=True)
        order = table["part"].map(PARTS.index)
        table = table.loc[order.sort_values(kind="stable").index].reset_index(drop=True)
        run_directory.write_csv(table, summary)
        write_text(options.results / "machine.json", json.dumps(machine(), indent=2) + "\n")
        write_text(options.results.parent / "RELIABILITY.md", INTRODUCTION + markdown(table))
    print(markdown(table))


if __name__ == "__main__":
    main()

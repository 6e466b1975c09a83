"""A campaign does something to the program again and again; its counts become a row of `summary.csv`.

The columns are part, campaign, tried, survived, lost, tracebacks, hangs, note. `tried` counts the cases, `survived`
those in which the program kept its promise (the same result, or one clear error message), `lost` those in which data
was missing or half written. `RELIABILITY.md`, beside it, shows the table.
"""

import faulthandler
import json
import resource
import shutil
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from hypothesis.errors import HypothesisException, StopTest

from benchmarks.timing import machine, markdown
from lab41_sce.atomic_write import write_text
from lab41_sce.runs.run_directory import write_csv
from reliability.processes import Ended, Running, half_written, run
from reliability.subjects import Subject

PARTS = ("faults", "disk", "concurrency", "resume", "recordings", "inputs", "page", "numbers", "mutants", "cluster")
COUNTS = ("tried", "survived", "lost", "tracebacks", "hangs")
MAX_SECONDS = 59  # of a case in this process; the fuzz tests themselves allow 60 s
INTRODUCTION = """# Reliability campaigns

Written by `make torture` from [`summary.csv`](summary.csv). "Tried" counts the cases of a
campaign, "survived" those in which the program kept its promise: the same result as undisturbed, or one clear error
message and nothing else. "Lost" counts the cases in which data was missing or half written, the last columns those that
showed a traceback or hung. Mutants are faults put into the code; those that the tests noticed count as survived
([the others](README.md)). A random mask may have a better SI-SDR than the ideal binary mask, which does not
maximise SI-SDR, but none may let through less energy of the other speakers.

"""


class Lost(AssertionError):
    """A file is missing, changed or half written, or something happened that must not."""


class Hang(BaseException):
    """A case took too long; not an `Exception`, so that no handler turns it into an error message."""


@dataclass
class Campaign:
    """Counts of a campaign.

    Args:
        part: one of `PARTS`.
        results: folder of `summary.csv`.
    """

    part: str
    results: Path
    tried: int = 0
    survived: int = 0
    lost: int = 0
    tracebacks: int = 0
    hangs: int = 0
    slowest_seconds: float = 0.0

    def count(self, survived: bool, lost: bool = False) -> None:
        """Count a case."""
        self.tried += 1
        self.survived += bool(survived)
        self.lost += bool(lost)

    def case(self, name: str, *ended: Ended, lost: Sequence[str] = (), wrong: Sequence[str] = ()) -> None:
        """Count a case, and print what went wrong.

        Args:
            name: of the case.
            ended: how the commands of the case ended.
            lost: what is missing or half written.
            wrong: other broken promises.
        """
        has_traceback = any("Traceback (most recent call last)" in end.output for end in ended)
        hung = any(end.code is None for end in ended)
        survived = not (lost or wrong or has_traceback or hung)
        self.count(survived, bool(lost))
        self.tracebacks += has_traceback
        self.hangs += hung
        if not survived:
            outputs = "\n".join(f"exit status {end.code}:\n{end.output[-3000:]}" for end in ended)
            print(f"NOT SURVIVED: {name}; lost {lost}, wrong {wrong}\n{outputs}", file=sys.stderr, flush=True)

    def resume(self, name: str, subject: Subject, stopped: Running, folder: Path, lost: Iterable[str] = (),
               wrong: Sequence[str] = ()) -> None:
        """Count a case: continue in the folder of a stopped command, compare, and delete the folder.

        Processes that a killed command has started still run meanwhile.
        """
        lost = [*sorted(lost), *half_written(folder)]
        again = run(subject.again(folder))
        wrong = [*wrong, *subject.differences(again, folder)]
        self.case(f"{subject.name}, {name}", stopped.end(), again, lost=lost, wrong=wrong)
        shutil.rmtree(folder)

    def run(self, case: Callable[[], object], lost: type[Exception] = Lost) -> None:
        """Run a case in this process and count it.

        Args:
            case: function that raises if a promise is broken.
            lost: exception that reports a loss of data.
        """
        def stop(*_):
            raise Hang

        started, self.tried = time.monotonic(), self.tried + 1
        signal.signal(signal.SIGALRM, stop)
        signal.alarm(MAX_SECONDS)
        faulthandler.dump_traceback_later(5 * MAX_SECONDS, exit=True)  # where the alarm is not delivered
        try:
            case()
            self.survived += 1
        except (HypothesisException, StopTest):  # Hypothesis could not draw this case
            self.tried -= 1
            raise
        except (Hang, Exception, SystemExit) as error:
            traceback.print_exc(limit=-6)
            self.hangs += isinstance(error, Hang)
            self.lost += isinstance(error, lost)
            self.tracebacks += not isinstance(error, (Hang, AssertionError))
        finally:
            signal.alarm(0)
            faulthandler.cancel_dump_traceback_later()
            self.slowest_seconds = max(self.slowest_seconds, time.monotonic() - started)

    def time_and_memory(self, peak_bytes: float | None = None) -> str:
        """Describe the slowest case, and the peak memory, of this process by default."""
        peak = peak_bytes or 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return f"the slowest took {self.slowest_seconds:.1f} s; at most {peak / 1e6:.0f} MB"

    def write(self, name: str, note: str = "") -> None:
        """Write the row of the campaign in place of its earlier one, and the page."""
        counts = {count: int(getattr(self, count)) for count in COUNTS}
        row = pd.DataFrame([{"part": self.part, "campaign": name, **counts, "note": note}])
        summary = self.results / "summary.csv"
        self.results.mkdir(parents=True, exist_ok=True)
        if summary.exists():
            table = pd.read_csv(summary, keep_default_na=False)
            row = pd.concat([table[(table["part"] != self.part) | (table["campaign"] != name)], row])
        table = row.sort_values("part", key=lambda parts: parts.map(PARTS.index), kind="stable")
        write_csv(table, summary)
        write_text(self.results / "machine.json", json.dumps(machine(), indent=2) + "\n")
        write_text(self.results / "RELIABILITY.md", INTRODUCTION + markdown(table.drop(columns="part")))

    def record(self, name: str, note: str = "") -> None:
        """Write the row, and raise AssertionError unless every case survived."""
        self.write(name, note)
        assert self.tried == self.survived, f"{name}: {self.survived} of {self.tried} survived; see above"

"""Inputs that break programs: each is to end in a right answer or one clear sentence.

    python tools/torture_inputs.py rows.csv [--quick]

What tests/test_fuzz.py tries some dozens of is tried here by the hundred, and how each ends is counted: no traceback,
none that takes a minute, no allocation of 2 GB, no file lost or half there. Then the commands run as processes of
their own on the worst of it. `torture_hostile.py` has what a stranger would send on purpose.
"""

import faulthandler
import io
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections import Counter
from pathlib import Path

import numpy as np
import soundfile
from hypothesis.errors import HypothesisException
from torture import Campaigns, part_main

TESTS = Path(__file__).parent.parent / "tests"
MOST_BYTES, MOST_SECONDS = 2e9, 59  # the tests themselves give up after 60 s


def run(campaigns: Campaigns, quick: bool) -> None:
    """Run the campaigns."""
    os.environ["FUZZ_CASES"] = "5" if quick else "400"  # for each of the tests; read on import
    sys.path.insert(0, str(TESTS))
    import test_fuzz
    import torture_hostile

    separator = test_fuzz.untrained()
    separator.separate(np.ones(20000, np.float32), 16000)  # threads and buffers are made now
    limit_memory()
    with tempfile.TemporaryDirectory() as folder:
        folders = Folders(Path(folder))
        for campaign, test, given in (
                ("Signals, to Separator.separate", test_fuzz.test_any_signal, {"separator": separator}),
                ("Rates, shapes and numbers of speakers", test_fuzz.test_any_argument, {"separator": separator}),
                ("Files and options, to lab41_sce.separate", test_fuzz.test_any_file,
                 {"separator": separator, "tmp_path_factory": folders}),
                ("Settings, to lab41_sce.experiment", test_fuzz.test_any_setting, {}),
                ("References and estimates, to score_mixture", test_fuzz.test_any_scores, {}),
                ("Vectors, to clustering", test_fuzz.test_any_vectors, {})):
            fuzz(campaigns, campaign, test, given)
        for campaign, cases in (
                ("Archives that would write elsewhere or grow without end", torture_hostile.archives(folders, quick)),
                ("Models of strangers that would run code", torture_hostile.models(folders, separator, quick)),
                ("Configurations that would call other code", torture_hostile.targets(quick)),
                ("Lists that point outside the corpus", torture_hostile.lists(folders))):
            endings = Endings()
            for case in cases:
                endings.of(case)
            endings.add_to(campaigns, campaign)
        processes(campaigns, folders, quick)


class Folders:
    """Make folders of their own, as pytest's `tmp_path_factory` does."""

    def __init__(self, root: Path):
        self._root = root

    def mktemp(self, name: str) -> Path:
        """Make one."""
        return Path(tempfile.mkdtemp(prefix=name, dir=self._root))


def limit_memory() -> None:
    """Let an allocation fail that is too large, whether what it gets would ever be used or not."""
    in_use = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (int(in_use + MOST_BYTES), resource.RLIM_INFINITY))


class Hang(BaseException):
    """It took too long; no `Exception`, so that nothing makes a sentence of it."""


class Endings:
    """Count how cases end."""

    def __init__(self):
        self.counts, self.slowest = Counter(), 0.0

    def of(self, case) -> None:
        """Run a case, a function that raises if something is wrong, and count how it ends."""
        from test_fuzz import Lost

        def stop(*_):
            raise Hang

        started = time.monotonic()
        signal.signal(signal.SIGALRM, stop)
        signal.alarm(MOST_SECONDS)
        faulthandler.dump_traceback_later(5 * MOST_SECONDS, exit=True)  # where even the alarm is not heard
        try:
            case()
            ending = "survived"
        except HypothesisException:  # no such case can be drawn
            raise
        except (Hang, Exception, SystemExit) as error:
            traceback.print_exc(limit=-6)
            kinds = {Hang: "hangs", Lost: "lost", AssertionError: "wrong"}
            ending = kinds.get(type(error), "tracebacks")
        finally:
            signal.alarm(0)
            faulthandler.cancel_dump_traceback_later()
        self.counts.update(["tried", ending])
        self.slowest = max(self.slowest, time.monotonic() - started)

    def add_to(self, campaigns: Campaigns, campaign: str, peak_bytes: float | None = None) -> None:
        """Append the campaign's row."""
        peak = peak_bytes or 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        campaigns.add(campaign, **{name: self.counts[name] for name in ("tried", "survived", "lost", "tracebacks",
                                                                        "hangs")},
                      note=f"the slowest took {self.slowest:.1f} s; at most {peak / 1e6:.0f} MB")


def fuzz(campaigns: Campaigns, campaign: str, test, given: dict) -> None:
    """Let Hypothesis draw a test's cases, and count how they end: it hears of none that fails, so it draws them all.

    Args:
        campaigns: for the row.
        campaign: its name.
        test: of tests/test_fuzz.py.
        given: the test's fixtures.
    """
    endings, inner = Endings(), test.hypothesis.inner_test
    test.hypothesis.inner_test = lambda *args, **kwargs: endings.of(lambda: inner(*args, **kwargs))
    test(**given)
    endings.add_to(campaigns, campaign)


def processes(campaigns: Campaigns, folders: Folders, quick: bool) -> None:
    """Run the commands as anybody would, on what is no sound, lies about its size, or is no setting."""
    from test_fuzz import said_clearly

    endings, peak = Endings(), 0.0
    for arguments, code in commands(folders)[:: 12 if quick else 1]:

        def case(arguments=arguments, code=code):
            nonlocal peak
            found, said, used = measured([sys.executable, "-m", *arguments])
            peak = max(peak, used)
            if "Traceback" in said:
                raise RuntimeError(f"{arguments}: {said}")
            right = found in (0, 1) if code is None else found == code
            assert right and used < MOST_BYTES, f"{arguments}: {used} bytes, ended with {found}: {said}"
            if found:
                said_clearly(said)

        endings.of(case)
    endings.add_to(campaigns, "Commands as processes of their own", peak)


def measured(command: list[str]) -> tuple[int, str, float]:
    """Run a command; return its code, what it said on stderr, and the most bytes of memory that it had."""
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=said, stdin=subprocess.DEVNULL)
        try:
            _, status, usage = os.wait4(process.pid, 0)
        except BaseException:  # it hangs
            process.kill()
            raise
        said.seek(0)
        text = said.read().decode(errors="replace")
    return os.waitstatus_to_exitcode(status), text, 1024 * usage.ru_maxrss


def commands(folders: Folders) -> list[tuple[list[str], int | None]]:
    """List arguments of the commands, and the code that each is to end with, if it is known."""
    from test_fuzz import NO_FILES

    folder, listed = folders.mktemp("processes"), []

    def separate(name, *options, code=1):
        listed.append((["lab41_sce.separate", str(folder / name), "--out-dir", str(folder / "out"), *options], code))

    for kind, make in NO_FILES.items():
        make(folder / f"{kind}.wav")
        separate(f"{kind}.wav")
    noise = np.random.default_rng(0).standard_normal(8000) / 10
    for name in ("plain.wav", "with space.flac", "it's \"so\".ogg", "two\nlines.wav"):
        soundfile.write(folder / name, noise, 8000, format=name[-4:].strip(".").upper())
        separate(name, "--json", "--rttm", code=0)
    no_text = os.fsdecode(b"\xff\xfe.wav")
    (folder / no_text).write_bytes((folder / "plain.wav").read_bytes())
    separate(no_text)
    for name, content in liars(noise).items():
        (folder / name).write_bytes(content)
        separate(name, code=None)  # libsndfile knows better than some headers
    for option in ("--speakers=0", "--speakers=1e9", "--channels=9", f"--enroll={folder / 'pipe.wav'}",
                   f"--model={folder / 'plain.wav'}", f"--model={folder}", f"--out-dir={folder / 'plain.wav'}"):
        separate("plain.wav", option)
    soundfile.write(folder / "many channels.wav", np.tile(noise[:1000, None], 64), 768000)
    separate("many channels.wav", "--channels", "each", code=0)
    for setting in ("seed=-1", "training.minutes=never", "mixtures=5", "others=null", "method=magic", "nothing=1",
                    "network.units=-3", "front_end.frame_length=0", "corpus.root=/dev/zero", "corpus.subsets=[../..]",
                    "method.build._target_=os.system", "corpus.utterances=/dev/null", "noise.folder=/dev/null",
                    "embedding_size=1.5", "training.updates=1e99", f"run_dir={folder / 'plain.wav'}"):
        listed.append((["lab41_sce.experiment", "+exp=smoke", f"run_dir={folder / 'run'}", setting], 1))
    return listed


def liars(noise: np.ndarray) -> dict[str, bytes]:
    """Make files whose headers promise far more than there is, and some that are nothing."""

    def changed(format, place, content):
        file = io.BytesIO()
        soundfile.write(file, noise, 8000, format=format)
        data = bytearray(file.getvalue())
        place = place if isinstance(place, int) else data.find(place[0]) + place[1]
        data[place : place + len(content)] = content
        return bytes(data)

    eight_channels = ((1048575 << 44) | (7 << 41) | (15 << 36) | 2**36 - 1).to_bytes(8, "big")  # of 6.9e10 samples
    return {
        "size.wav": changed("WAV", (b"data", 4), b"\xff\xff\xff\xf0"), "size.flac": changed("FLAC", 18, eight_channels),
        "samples.flac": changed("FLAC", 22, b"\xff\xff\xff\xff"),
        "size.w64": changed("W64", (b"data", 16), (2**60).to_bytes(8, "little")),
        "size.rf64": changed("RF64", (b"ds64", 16), 2 * (2**60).to_bytes(8, "little")),
        "size.au": changed("AU", 8, b"\xff\xff\xff\xf0"),
        "size.aiff": changed("AIFF", (b"COMM", 10), b"\xff\xff\xff\xf0"),
        "none.wav": changed("WAV", 22, b"\0\0"), "many.wav": changed("WAV", 22, b"\xff\xff"),
        "rate.wav": changed("WAV", 24, b"\xff\xff\xff\x7f"), "empty.wav": b"",
        "random.ogg": np.random.default_rng(1).bytes(5000), "truncated.flac": changed("FLAC", 0, b"")[:2000]}


if __name__ == "__main__":
    part_main(run)

"""Inputs that break programs: each must end in a right answer or one clear error message.

The tests of tests/commands/test_fuzz.py run here with hundreds of cases, and the ends are counted: no traceback, no
case of a minute, no allocation of 2 GB, no file lost or half written. Then the commands run as processes of their own
on the worst inputs. Intended attacks are in `test_hostile_files.py` and `test_hostile_models.py`.
"""

import contextlib
import importlib
import inspect
import io
import itertools
import logging
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
import soundfile

from lab41_sce.cli import COMMANDS
from lab41_sce.commands import separate
from lab41_sce.data.corpus import load_corpus
from lab41_sce.runs.config_schema import check, compose_config
from lab41_sce.separation.staging import PREFIX
from reliability.bad_files import files_with_false_headers
from reliability.processes import Running

pytestmark = pytest.mark.torture(part="inputs")
FUZZ_TESTS = {"test_any_signal": "Signals, to Separator.separate",
              "test_any_argument": "Rates, shapes and numbers of speakers",
              "test_any_file": "Files and options, to lab41_sce.separate",
              "test_any_setting": "Settings, to lab41_sce.experiment",
              "test_any_scores": "References and estimates, to score_mixture",
              "test_any_vectors": "Vectors, to clustering"}
WRONG_SETTINGS = ("seed=-1", "training.minutes=never", "mixtures=5", "others=null", "method=magic", "nothing=1",
                  "network.units=-3", "front_end.frame_length=0", "corpus.root=/dev/zero", "corpus.subsets=[../..]",
                  "method.build._target_=os.system", "corpus.utterances=/dev/null", "noise.folder=/dev/null",
                  "embedding_size=1.5", "training.updates=1e99")
ODD_NAMES = ("Gespräch.wav", "話.wav", "\N{MICROPHONE}.flac", "a\N{RIGHT-TO-LEFT OVERRIDE}b.wav", "two\nlines.wav",
             "tab\t.wav", "red\x1b[31m.wav", os.fsdecode(b"\xff\xfe.wav"), "-out.wav", " .wav", "a=b, (c) #1.wav",
             "%s.wav", "talk_1.WAV", "talk.WAV", "talk.ogg", f"{'é' * 120}.wav",
             *(f"{'x' * length}.wav" for length in (235, 239, 243, 244, 251)))
STREAMS = ("utf-8", "cp1252", "ascii", "full stdout", "full stderr", "no reader", "closed")
# Without the experiment: Hydra replaces the log handlers of the process, which pytest needs.
MODULES = ("lab41_sce.cli", *(f"lab41_sce.commands.{name.replace('-', '_')}" for name in COMMANDS
                              if name not in ("demo", "experiment")),
           "lab41_sce.commands.train_with_torch", "lab41_sce.demo.__main__", "lab41_sce.article.__main__",
           "lab41_sce.article.draw", "lab41_sce.article.timing", "lab41_sce.runs.reproduction")
ODD_FOLDERS = ("Gespräch", "話", "a=b", "a(b)", "a#b", "a,b", "[x]", "{x}", "it's", '"x"', "two words", "a&b;c!", "~",
               "\\", "é'\\", "$HOME", "%s", "a:b", "é, è = (#)", "null")


@pytest.mark.parametrize("name", FUZZ_TESTS)
def test_fuzz_tests(campaign, fuzz, limited_memory, name, separator, tmp_path_factory):
    """Hypothesis sees no failure, so that it draws all cases of a test."""
    test = getattr(fuzz, name)
    given = {"separator": separator, "tmp_path_factory": tmp_path_factory}
    inner = test.hypothesis.inner_test
    test.hypothesis.inner_test = lambda *args, **kwargs: campaign.run(lambda: inner(*args, **kwargs), fuzz.Lost)
    test(**{fixture: given[fixture] for fixture in inspect.signature(test).parameters})
    campaign.record(FUZZ_TESTS[name], campaign.time_and_memory())


def run_command(command):
    """Run a command; return its exit status, its errors, and its peak memory in bytes."""
    with tempfile.TemporaryFile() as errors:
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=errors, stdin=subprocess.DEVNULL)
        try:
            _, status, usage = os.wait4(process.pid, 0)
        except BaseException:  # it hangs
            process.kill()
            raise
        errors.seek(0)
        return os.waitstatus_to_exitcode(status), errors.read().decode(errors="replace"), 1024 * usage.ru_maxrss


def bad_commands(folder, no_files):
    """List arguments of commands, and the exit statuses that are right."""
    listed, noise = [], np.random.default_rng(0).standard_normal(8000) / 10

    def separate(name, *options, right=(1,)):
        listed.append((["lab41_sce.separate", str(folder / name), "--out-dir", str(folder / "out"), *options], right))

    for kind, make in no_files.items():
        make(folder / f"{kind}.wav")
        separate(f"{kind}.wav")
    for name in ("plain.wav", "with space.flac", "it's \"so\".ogg", "two\nlines.wav"):
        soundfile.write(folder / name, noise, 8000, format=name[-4:].strip(".").upper())
        separate(name, "--json", "--rttm", right=(0,))
    not_utf8 = os.fsdecode(b"\xff\xfe.wav")
    (folder / not_utf8).write_bytes((folder / "plain.wav").read_bytes())
    separate(not_utf8)
    for name, content in files_with_false_headers().items():
        (folder / name).write_bytes(content)
        separate(name, right=(0, 1))  # libsndfile corrects some headers
    for option in ("--speakers=0", "--speakers=1e9", "--channels=9", f"--enroll={folder / 'pipe.wav'}",
                   f"--model={folder / 'plain.wav'}", f"--model={folder}", f"--out-dir={folder / 'plain.wav'}"):
        separate("plain.wav", option)
    soundfile.write(folder / "many channels.wav", np.tile(noise[:1000, None], 64), 768000)
    separate("many channels.wav", "--channels", "each", right=(0,))
    for setting in (*WRONG_SETTINGS, f"run_dir={folder / 'plain.wav'}"):
        listed.append((["lab41_sce.experiment", "+exp=smoke", f"run_dir={folder / 'run'}", setting], (1,)))
    return listed


def test_commands(campaign, fuzz, limited_memory, quick, tmp_path):
    peaks = []
    for arguments, right in bad_commands(tmp_path, fuzz.NO_FILES)[:: 12 if quick else 1]:

        def case(arguments=arguments, right=right):
            code, errors, used_bytes = run_command([sys.executable, "-m", *arguments])
            peaks.append(used_bytes)
            if "Traceback" in errors:
                raise RuntimeError(f"{arguments}: {errors}")
            assert code in right and used_bytes < limited_memory, f"{arguments}: {used_bytes} bytes, {code}: {errors}"
            if code:
                fuzz.is_clear(errors)

        campaign.run(case)
    campaign.record("Commands as processes of their own", campaign.time_and_memory(max(peaks)))


@contextlib.contextmanager
def hostile_streams(kind):
    """Replace stdout and stderr by one of `STREAMS`; yield a function that returns what they have received."""
    encoding = kind if kind in ("utf-8", "cp1252", "ascii") else "utf-8"
    healthy = out, err = [io.TextIOWrapper(io.BytesIO(), encoding, write_through=True) for _ in range(2)]
    with contextlib.ExitStack() as stack:
        if kind == "no reader":
            reader, writer = os.pipe()
            os.close(reader)
            out = stack.enter_context(open(writer, "w"))
        elif kind == "full stdout":
            out = stack.enter_context(open("/dev/full", "w"))
        elif kind == "full stderr":
            err = stack.enter_context(open("/dev/full", "w", buffering=1))
        elif kind == "closed":
            out = err = None
        # A command's log handlers end with its streams.
        with mock.patch.object(sys, "stdout", out), mock.patch.object(sys, "stderr", err), \
                mock.patch.object(logging.root, "handlers", []):
            yield lambda: b"".join(stream.buffer.getvalue() for stream in healthy).decode(errors="replace")


def status_of(main, arguments):
    """Run a command in this process; return its exit status."""
    with mock.patch.object(sys, "argv", ["command", *arguments]):
        try:
            return main() or 0
        except SystemExit as end:
            return end.code or 0


def test_odd_names_on_hostile_terminals(campaign, fuzz, separator, quick, tmp_path):
    """Beside every odd name lies a plain recording, whose voices must be written in any case."""
    sound = np.random.default_rng(0).standard_normal(2000) / 10
    for number, (name, kind) in enumerate([*itertools.product(ODD_NAMES, STREAMS)][:: 20 if quick else 1]):
        folder = tmp_path / str(number)
        folder.mkdir()
        for each in (name, "plain.wav"):
            content = io.BytesIO()
            soundfile.write(content, sound, 8000, format=each[-4:].strip(".").upper())
            (folder / each).write_bytes(content.getvalue())
        before = {path: path.read_bytes() for path in folder.iterdir()}

        def case(folder=folder, kind=kind, before=before):
            arguments = ["--out-dir", str(folder / "out"), "--speakers", "2", "--json"]
            with mock.patch.object(separate, "load_separator", lambda *_: separator), hostile_streams(kind) as received:
                statuses = [status_of(separate.main, [str(folder), *arguments]) for _ in range(2)]
                assert "Traceback" not in received()
            voices = [path for path in (folder / "out").iterdir() if path.suffix != ".json"]
            if {path: path.read_bytes() for path in before} != before or [*(folder / "out").glob(f"{PREFIX}*")]:
                raise fuzz.Lost("a recording was changed, or temporary files are left")
            if {f"plain_{number}.wav" for number in (1, 2)} - {path.name for path in voices}:
                raise fuzz.Lost("the other recording was not separated")
            assert all(len(soundfile.read(io.BytesIO(path.read_bytes()))[0]) == len(sound) for path in voices)
            # A given number of voices leaves nothing to report on the standard errors, unless a file is refused.
            refused, streams_fail = len(voices) == 2, kind in ("full stdout", "no reader")
            assert len(voices) in (2, 4) and refused <= all(statuses)
            assert statuses[0] == int(refused or streams_fail), f"{kind}: {statuses}"

        campaign.run(case, fuzz.Lost)
    campaign.record("Odd names on hostile terminals, two recordings each", campaign.time_and_memory())


def test_every_command_on_hostile_terminals(campaign, fuzz, quick):
    cases = [*itertools.product(MODULES, (["--help"], ["--nothing"]), STREAMS)]
    for module, arguments, kind in cases[:: 20 if quick else 1]:

        def case(module=module, arguments=arguments, kind=kind):
            with hostile_streams(kind) as received:
                status = status_of(importlib.import_module(module).main, arguments)
                assert "Traceback" not in received()
            wrong = arguments == ["--nothing"]
            lost = kind in ("full stdout", "no reader")
            assert bool(status) == (wrong or lost), f"{module} {arguments} {kind}: {status}"

        campaign.run(case)
    campaign.record("Help and mistakes of every command on hostile terminals", campaign.time_and_memory())


def test_odd_folders_in_settings(campaign, fuzz, quick, corpus, tmp_path):
    for name in ODD_FOLDERS[:: 10 if quick else 1]:
        (tmp_path / name).symlink_to(corpus)

        def case(name=name):
            root, run_dir = str(tmp_path / name), f"{tmp_path / name}/é"
            settings = check(compose_config(["+exp=smoke", f"corpus.root={root}", f"run_dir={run_dir}"]))
            assert settings.corpus.root == root and settings.run_dir == run_dir
            subsets = [path.name for path in Path(settings.corpus.root).iterdir() if path.is_dir()]
            assert len(load_corpus(settings.corpus.root, subsets, min_seconds=0.1, check="headers"))

        campaign.run(case)
    campaign.record("Folders of speech with odd names, in settings", campaign.time_and_memory())


@pytest.mark.parametrize("jobs", [1, 2])
def test_signals(campaign, quick, tmp_path, jobs):
    """A signal while voices are written leaves the finished recordings, and nothing of the others."""
    sound = np.random.default_rng(0).standard_normal(8000 * 120) / 10
    for name in "ab":
        soundfile.write(tmp_path / f"{name}.wav", sound, 8000)
    wanted = {f"{name}_{voice}.wav" for name in "ab" for voice in (1, 2)}
    for number in (signal.SIGTERM,) if quick else (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        out = tmp_path / f"out {number}"
        running = Running(["-m", "lab41_sce.separate", tmp_path / "a.wav", tmp_path / "b.wav", "--speakers", "2",
                           "--jobs", jobs, "--out-dir", out])
        begun = running.wait_until(lambda out=out: [*out.glob(f"{PREFIX}*/.*.part.wav")])
        running.send(number)
        ended = running.end()
        clear = begun and ended.code == 128 + number and "interrupted: finished recordings" in ended.output
        campaign.case(f"signal {number}, {jobs} processes", ended, wrong=[] if clear else [f"begun: {begun}"],
                      lost=sorted({path.name for path in out.iterdir()} - wanted))
    campaign.record(f"Signals to separate, {jobs} processes")

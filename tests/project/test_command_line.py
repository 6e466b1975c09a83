"""Every command ends with an exit status and one sentence, also on a terminal or pipe that refuses its output."""

import io
import os
import signal
import sys

import pytest

from lab41_sce.command_line import Parser, command
from lab41_sce.errors import UserError

KEPT = "interrupted: finished work is kept"


def ended(main, monkeypatch, out="", err=""):
    """Run a command into two files, or onto two streams; return its exit status and what the streams received."""
    streams = [io.TextIOWrapper(open(name, "wb", buffering=0), "utf-8") if name else io.StringIO()
               for name in (out, err)]
    monkeypatch.setattr(sys, "stdout", streams[0])
    monkeypatch.setattr(sys, "stderr", streams[1])
    try:
        status = command(KEPT)(main)()
    except SystemExit as end:
        status = end.code
    return status, *(None if isinstance(stream, io.TextIOWrapper) else stream.getvalue() for stream in streams)


def test_a_mistake_of_the_user_is_one_sentence(monkeypatch):
    def main(_):
        raise UserError("the value 3 is not possible; give 4.")

    assert ended(main, monkeypatch) == (1, "", "error: the value 3 is not possible; give 4.\n")


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_signals_that_end_a_command_let_it_clean_up(monkeypatch, tmp_path, number, status):
    def main(_):
        (tmp_path / "temporary").touch()
        try:
            os.kill(os.getpid(), number)
            return 0
        finally:
            (tmp_path / "temporary").unlink()

    before = {signal.SIGINT: signal.signal(signal.SIGINT, signal.default_int_handler)}
    before |= {other: signal.signal(other, signal.SIG_DFL) for other in (signal.SIGTERM, signal.SIGHUP)}
    try:
        assert ended(main, monkeypatch) == (status, "", f"{KEPT}\n")
        assert not [*tmp_path.iterdir()] and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    finally:
        for other, handler in before.items():
            signal.signal(other, handler)


def test_a_signal_that_the_caller_ignores_stays_ignored(monkeypatch):
    """As nohup does with SIGHUP."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        assert ended(lambda _: os.kill(os.getpid(), signal.SIGHUP) or 7, monkeypatch)[0] == 7
    finally:
        signal.signal(signal.SIGHUP, before)


def test_work_goes_on_when_stdout_is_full(monkeypatch):
    done = []

    def main(_):
        for number in range(3):
            print(number, flush=True)
            done.append(number)
        return 0

    status, _, err = ended(main, monkeypatch, out="/dev/full")
    assert status == 1 and err == "error: standard output cannot be written (No space left on device).\n"
    assert done == [0, 1, 2]


@pytest.mark.parametrize("end", [lambda: 0, lambda: sys.exit(0)])  # argparse exits after --help
def test_text_that_was_never_written_is_an_error(monkeypatch, end):
    def main(_):
        print("a line that stays in the buffer until the end")
        return end()

    assert ended(main, monkeypatch, out="/dev/full")[0] == 1


def test_a_reader_that_has_ended_is_no_error_to_explain(monkeypatch):
    reader, writer = os.pipe()
    os.close(reader)

    def main(_):
        print("x" * 100_000, flush=True)
        print("more")
        return 0

    assert ended(main, monkeypatch, out=writer)[::2] == (1, "")


def test_full_stderr_does_not_stop_the_work(monkeypatch):
    def main(_):
        print("a warning", file=sys.stderr, flush=True)
        print("the result")
        return 0

    assert ended(main, monkeypatch, err="/dev/full")[:2] == (1, "the result\n")


def test_closed_streams_are_no_error(monkeypatch):
    """Python sets them to None."""
    def main(_):
        print("a result", file=sys.stdout, flush=True)
        sys.stderr.write("a warning")
        return 0

    monkeypatch.setattr(sys, "stdout", None)
    monkeypatch.setattr(sys, "stderr", None)
    assert command()(main)() == 0


@pytest.mark.parametrize(("encoding", "shown"), [
    ("utf-8", "Gespräch 話 \\udcff"), ("cp1252", "Gespräch \\u8a71 \\udcff"),
    ("ascii", "Gespr\\xe4ch \\u8a71 \\udcff"),
])
def test_letters_that_the_encoding_lacks_are_escaped(monkeypatch, encoding, shown):
    stream = io.TextIOWrapper(io.BytesIO(), encoding, write_through=True)
    monkeypatch.setattr(sys, "stdout", stream)
    assert command()(lambda _: print("Gespräch 話 " + os.fsdecode(b"\xff")) or 0)() == 0
    assert stream.buffer.getvalue().decode(encoding) == f"{shown}\n"


def test_an_error_in_the_program_keeps_its_traceback(monkeypatch):
    def main(_):
        print("text", flush=True)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        ended(main, monkeypatch, out="/dev/full")


@pytest.mark.parametrize(("arguments", "wanted"), [
    (["--speekers", "2"], "there is no option --speekers; did you mean --speakers?"),
    (["--speekers=2"], "there is no option --speekers; did you mean --speakers?"),
    (["--xyz"], "there is no option --xyz; lab41-sce try --help lists the options."),
    (["more"], "there is no place for the argument more; lab41-sce try --help lists the options."),
    (["--speakers"], "argument --speakers: expected one argument; lab41-sce try --help lists the options."),
])
def test_a_misspelt_option_is_one_sentence(capsys, arguments, wanted):
    parser = Parser("lab41-sce try")
    parser.add_argument("--speakers")
    with pytest.raises(SystemExit) as end:
        parser.parse_args(arguments)
    assert end.value.code == 2 and capsys.readouterr().err == f"error: {wanted}\n"


@pytest.mark.parametrize("arguments", [["a", "b", "--speakers", "2"], ["a", "--speakers", "2", "b"],
                                       ["--speakers", "2", "a", "b"]])
def test_files_may_stand_before_and_after_options(arguments):
    parser = Parser("lab41-sce try")
    parser.add_argument("files", nargs="+")
    parser.add_argument("--speakers")
    parsed = parser.parse_args(arguments)
    assert (parsed.files, parsed.speakers) == (["a", "b"], "2")


@pytest.mark.parametrize("arguments", [[], ["--speakers", "2"]])
def test_missing_files_are_one_sentence(capsys, arguments):
    parser = Parser("lab41-sce try")
    parser.add_argument("files", nargs="+", metavar="FILE")
    parser.add_argument("--speakers")
    with pytest.raises(SystemExit) as end:
        parser.parse_args(arguments)
    wanted = "the following arguments are required: FILE; lab41-sce try --help lists the options."
    assert end.value.code == 2 and capsys.readouterr().err == f"error: {wanted}\n"

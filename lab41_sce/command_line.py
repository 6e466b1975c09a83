"""The `main` of a command becomes one that ends with an exit status and one sentence, whatever happens.

| what happens | exit status | message |
| --- | --- | --- |
| `UserError` | 1 | its sentence |
| a path that is too long for the system | 1 | one sentence |
| Ctrl-C, SIGTERM, SIGHUP | 130, 143, 129 | the command's sentence about what is kept; temporary files are removed |
| stdout is full | 1, at the end | one sentence; the work is finished |
| the reader of stdout has ended, as `head -1` does | 1, at the end | none; the work is finished |

Letters that the terminal's encoding lacks are printed as escape sequences, such as `\\xe9`. Libraries in C write no
lines of their own (`quiet.py`) without `--verbose`.
"""

import argparse
import contextlib
import errno
import functools
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from types import FrameType
from typing import Any, NoReturn, TextIO

from lab41_sce.errors import UserError
from lab41_sce.printable import printable
from lab41_sce.quiet import ALL_MESSAGES, LEVEL_VARIABLE, NO_MESSAGES, quiet_tensorflow
from lab41_sce.suggestion import did_you_mean

INTERRUPTING_SIGNALS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))

VERBOSE = ("-v", "--verbose")

Main = Callable[[Sequence[str] | None], int]


class Parser(argparse.ArgumentParser):
    """Parse a command line with `--verbose`; a mistake is one sentence, with the nearest name of a misspelt option."""

    def __init__(self, *args: Any, **options: Any):
        super().__init__(*args, **options)
        self.add_argument(*VERBOSE, action=_Verbose, nargs=0, default=argparse.SUPPRESS,
                          help="show the messages of TensorFlow and of decoders, too")

    def parse_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Parse all arguments; an unknown option ends the process with exit status 2."""
        parsed, unknown = self.parse_known_intermixed_args(args, namespace)
        if unknown:
            name = unknown[0].partition("=")[0]
            if not name.startswith("-"):
                self.error(f"there is no place for the argument {unknown[0]}")
            self.error(f"there is no option {name}{did_you_mean(name, self._option_string_actions)}")
        return parsed

    def error(self, message: str) -> NoReturn:
        """End the process with exit status 2 after one sentence."""
        hint = "" if message.endswith("?") else f"; {self.prog} --help lists the options."
        self.exit(2, f"error: {_printable_lines(message.rstrip('.'))}{hint}\n")


class _Verbose(argparse.Action):
    """Leave the messages of libraries as they are, also in the processes that the command starts."""

    def __call__(self, *_: Any, **__: Any) -> None:
        show_messages()


def show_messages() -> None:
    """Let TensorFlow and decoders write their messages, as `--verbose` requests; before TensorFlow is imported."""
    os.environ[LEVEL_VARIABLE] = ALL_MESSAGES


class _Terminated(KeyboardInterrupt):
    """SIGTERM or SIGHUP was received; its argument is the number of the signal."""


class _Stream:
    """Print to a stream whose encoding, reader or disk may refuse the text; keep the first error."""

    def __init__(self, stream: TextIO | None):
        self._stream = stream or open(os.devnull, "w")  # None where the caller has closed the file descriptor
        self.error: OSError | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        encoding = self._stream.encoding or "utf-8"
        with self._discard_after_error():
            self._stream.write(text.encode(encoding, "backslashreplace").decode(encoding))
        return len(text)

    def flush(self) -> None:
        with self._discard_after_error():
            self._stream.flush()

    @contextlib.contextmanager
    def _discard_after_error(self) -> Iterator[None]:
        """Keep an error, and send what follows to the null device, also what Python flushes when the process ends."""
        try:
            yield
        except OSError as error:
            self.error = self.error or error
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, self._stream.fileno())
            os.close(null)


def command(interrupted: str = "interrupted") -> Callable[[Main], Callable[..., int]]:
    """Return a decorator for the `main` of a command.

    Args:
        interrupted: sentence to print after an interruption: what is kept, and how to continue.
    """
    def decorate(main: Main) -> Callable[..., int]:
        @functools.wraps(main)
        def ended(arguments: Sequence[str] | None = None) -> int:
            os.environ.setdefault(LEVEL_VARIABLE, NO_MESSAGES)  # also of the processes that the command starts
            quiet_tensorflow()
            with _streams(), _interrupting_signals():
                try:
                    return main(arguments)
                except UserError as error:
                    print(f"error: {_printable_lines(str(error))}", file=sys.stderr)
                    return 1
                except OSError as error:
                    if error.errno != errno.ENAMETOOLONG:
                        raise
                    print(f"error: {error.filename} is too long for the name of a file; give another.", file=sys.stderr)
                    return 1
                except KeyboardInterrupt as interruption:
                    print(interrupted, file=sys.stderr)
                    return 128 + (interruption.args[0] if isinstance(interruption, _Terminated) else signal.SIGINT)
        return ended
    return decorate


def _printable_lines(text: str) -> str:
    """Escape characters that a terminal would obey, such as those in the name of a file, except ends of lines."""
    return "\n".join(map(printable, text.split("\n")))


@contextlib.contextmanager
def _streams() -> Iterator[None]:
    """Make stdout and stderr accept any text; exit with 1 at the end if one of them refused it."""
    out: Any = _Stream(sys.stdout)
    err: Any = _Stream(sys.stderr)
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            yield
        finally:
            out.flush()
            if out.error and not isinstance(out.error, BrokenPipeError):
                print(f"error: standard output cannot be written ({out.error.strerror}).", file=err)
            err.flush()
            if (out.error or err.error) and not isinstance(sys.exc_info()[1], Exception):
                sys.exit(1)


@contextlib.contextmanager
def _interrupting_signals() -> Iterator[None]:
    """Let signals that would kill the process interrupt the command as Ctrl-C does."""
    def interrupt(number: int, _: FrameType | None) -> None:
        raise _Terminated(number)

    in_main_thread = threading.current_thread() is threading.main_thread()  # only there can a signal be handled
    numbers = [number for number in INTERRUPTING_SIGNALS
               if in_main_thread and signal.getsignal(number) is signal.SIG_DFL]
    for number in numbers:
        signal.signal(number, interrupt)
    try:
        yield
    finally:
        for number in numbers:
            signal.signal(number, signal.SIG_DFL)

"""Libraries in C write no lines of their own to stderr: TensorFlow while it is imported, libmpg123 while it decodes.

| `TF_CPP_MIN_LOG_LEVEL` | lines of these libraries |
| --- | --- |
| 3, or not set | none |
| 0, 1, 2 | as the libraries write them |

Some lines of TensorFlow 2.21 precede its settings, and libmpg123 in libsndfile 1.2.2 has none, so file descriptor 2 is
redirected for as long as they write. A process that dies during the import shows the reason with `--verbose`.
"""

import contextlib
import logging
import os
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType

LEVEL_VARIABLE = "TF_CPP_MIN_LOG_LEVEL"
ALL_MESSAGES, NO_MESSAGES = "0", "3"
LOGGERS = ("tensorflow", "absl")  # Python's part of TensorFlow, such as its warnings about retracing

_redirection = threading.RLock()  # the process has one file descriptor 2


def is_quiet() -> bool:
    """Return whether the libraries shall write no lines of their own."""
    return os.environ.get(LEVEL_VARIABLE, NO_MESSAGES) == NO_MESSAGES


@contextlib.contextmanager
def held_stderr(*discarded: str) -> Iterator[None]:
    """Hold back what is written to file descriptor 2 within a block, by any thread; discard lines of a library.

    Args:
        *discarded: the lines that contain one of these texts are discarded, and others written at the end of the
            block. Without a text, all are discarded. After an exception, all lines are written.
    """
    with _redirection, contextlib.ExitStack() as stack:
        try:
            stderr = os.dup(2)
        except OSError:  # the caller has closed it
            yield
            return
        held = stack.enter_context(tempfile.TemporaryFile())
        stack.callback(os.close, stderr)
        os.dup2(held.fileno(), 2)
        failed = True
        try:
            yield
            failed = False
        finally:
            os.dup2(stderr, 2)
            held.seek(0)
            unwanted = discarded or ("",)
            with open(2, "wb", closefd=False) as out:
                out.writelines(line for line in held if failed or not any(text.encode() in line for text in unwanted))


class _TensorFlowFinder(MetaPathFinder):
    """Find TensorFlow, with a loader that writes nothing."""

    def find_spec(self, name: str, path: Sequence[str] | None = None,
                  target: ModuleType | None = None) -> ModuleSpec | None:
        if name != "tensorflow" or not is_quiet():
            return None
        spec = PathFinder.find_spec(name, path, target)
        if spec is None or spec.loader is None:
            return None
        load = spec.loader.exec_module

        def load_quietly(module: ModuleType) -> None:
            was_set = LEVEL_VARIABLE in os.environ
            os.environ[LEVEL_VARIABLE] = NO_MESSAGES  # TensorFlow reads it once, during the import
            try:
                with held_stderr():
                    load(module)
            finally:
                if not was_set:
                    del os.environ[LEVEL_VARIABLE]
            for logger in LOGGERS:
                logging.getLogger(logger).setLevel(logging.ERROR)

        spec.loader.exec_module = load_quietly  # type: ignore[method-assign]
        return spec


def quiet_tensorflow() -> None:
    """Let the first import of TensorFlow in this process write nothing, unless `TF_CPP_MIN_LOG_LEVEL` is 0, 1 or 2."""
    if not any(isinstance(finder, _TensorFlowFinder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _TensorFlowFinder())

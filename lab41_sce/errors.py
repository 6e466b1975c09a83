"""The exception whose message is meant for the user, and the reason of another error in a few words."""

import sysconfig
import traceback
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent
LIBRARIES = tuple({sysconfig.get_path(name) for name in ("stdlib", "purelib", "platlib")})


class UserError(Exception):
    """A mistake or lack that the user can fix; the message is one sentence that explains how."""


def reason(error: BaseException) -> str:
    """Return the reason of an error in one line, without a final full stop and the number and path of an OSError."""
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return [*text.splitlines(), ""][0].rstrip(".") or type(error).__name__


def reason_and_place(error: Exception) -> str:
    """Describe an error in one line, with its kind and the last line of code outside Python and other packages."""
    while "Exception encountered when calling" in str(error) and isinstance(error.__context__, Exception):
        error = error.__context__  # Keras repeats an error of a layer with pages of arguments
    frames = traceback.extract_tb(error.__traceback__)
    frame = [*frames[-1:], *(frame for frame in frames if not _is_of_a_library(frame.filename))][-1]
    text = (str(error).splitlines() or [""])[0].rstrip(".")
    return f"{type(error).__name__}{': ' if text else ''}{text}, in {Path(frame.filename).name}, line {frame.lineno}"


def _is_of_a_library(filename: str) -> bool:
    """Return whether a frame of a traceback is of Python or of another installed package."""
    return filename.startswith(("<", *LIBRARIES)) and PACKAGE not in Path(filename).parents

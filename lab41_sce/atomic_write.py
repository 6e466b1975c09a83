"""Files are written whole or not at all: under a temporary name first, then renamed."""

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock, Timeout

from lab41_sce.errors import UserError

if TYPE_CHECKING:  # pandas takes a third of a second to load
    import pandas as pd


def make_folder(folder: str | Path) -> None:
    """Create a folder and its parents, unless they exist.

    Raises:
        UserError: the folder cannot be created (a file has this name, or permission is missing).
    """
    try:
        Path(folder).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"the folder {folder} cannot be made ({error.strerror}); choose another.") from None


@contextlib.contextmanager
def lock(path: str | Path) -> Iterator[None]:
    """Lock a file that several processes might write; the operating system releases the lock of a process that dies.

    Args:
        path: the file; the lock is the hidden file `.NAME.lock` beside it.

    Raises:
        UserError: another process holds the lock, or its file cannot be made.
    """
    path = Path(path)
    held = FileLock(path.with_name(f".{path.name}.lock"))
    try:
        held.acquire(timeout=0)
    except Timeout:
        raise UserError(f"another process is writing {path}; wait for it, or choose another name.") from None
    except OSError as error:
        raise UserError(f"{path} could not be written ({error.strerror or error}); choose another folder.") from None
    try:
        yield
    finally:
        held.release()


def temporary_name(path: str | Path) -> Path:
    """Return the temporary name of a file: hidden, in the same folder, with the same suffix.

    The name is always the same, so that the next call replaces a file that a killed process left.
    """
    return Path(path).with_name(f".{Path(path).stem}.part{Path(path).suffix}")


def write_whole(path: str | Path, write: Callable[[Path], object]) -> None:
    """Write a file under its temporary name, then rename it; if the process is killed, the old file stays.

    Args:
        path: the file to create or replace.
        write: writes to the path that it receives.

    Raises:
        UserError: the file cannot be written (no such folder, no permission, no space).
    """
    path, temporary = Path(path), temporary_name(path)
    try:
        write(temporary)
        temporary.replace(path)
    except OSError as error:
        raise UserError(f"{path} could not be written ({error.strerror or error}); free some space or choose "
                        "another folder.") from None
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: str | Path, text: str) -> None:
    """Write a text file in UTF-8, whole or not at all; errors as in `write_whole`."""
    write_whole(path, lambda temporary: temporary.write_text(text, "utf-8"))


def write_csv(table: "pd.DataFrame", path: str | Path) -> None:
    """Write a table without its index as a CSV file, whole or not at all.

    Args:
        table: the rows.
        path: the file to create or replace.

    Raises:
        UserError: see `write_whole`.
    """
    write_whole(path, lambda temporary: table.to_csv(temporary, index=False))

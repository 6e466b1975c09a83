"""Files are written whole or not at all: under a temporary name first, then renamed.

A lock keeps two processes from writing the same file at once. `fsync` before and after the rename keeps a loss of power
from leaving an empty file under the final name.
"""

import contextlib
import errno
import os
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
def lock(path: str | Path, busy: str = "") -> Iterator[None]:
    """Hold a lock against other processes and threads; the operating system releases the lock of a killed process.

    Args:
        path: the lock file, in a folder that exists. It is made, and deleted at the end.
        busy: sentence of the error if the lock is held already. Without it, wait until the lock is released.

    Raises:
        UserError: the lock is held already, or the lock file cannot be made.
    """
    with contextlib.ExitStack() as held:
        try:
            held.enter_context(_locked(Path(path), 0 if busy else -1))
        except Timeout:
            raise UserError(busy) from None
        except OSError as error:
            raise UserError(f"{Path(path).parent} cannot be written to ({error.strerror or error}); "
                            "choose another folder.") from None
        yield


@contextlib.contextmanager
def _locked(path: Path, timeout: float) -> Iterator[None]:
    """Hold a lock and delete its file before the release: filelock discards a lock on a deleted file."""
    path.parent.stat()  # raises FileNotFoundError; filelock would make the folder
    with FileLock(path, timeout=timeout):
        try:
            yield
        finally:
            with contextlib.suppress(OSError):  # Windows deletes no open file; filelock does so after the release
                path.unlink()


def temporary_name(path: str | Path) -> Path:
    """Return the temporary name of a file: hidden, in the same folder, with the same suffix.

    The name is always the same, so that the next call replaces a file that a killed process left. Only the holder of
    a lock may write to it.
    """
    return Path(path).with_name(f".{Path(path).stem}.part{Path(path).suffix}")


def lock_name(path: str | Path) -> Path:
    """Return the name of the lock file that a writer of a file holds: hidden, in the same folder."""
    return Path(path).with_name(f".{Path(path).name}.part.lock")


def sync(path: Path) -> None:
    """Wait until the contents of a file, or the names in a folder, are on the disk.

    Raises:
        OSError: the disk reports an error.
    """
    is_folder, on_windows = path.is_dir(), os.name == "nt"
    if is_folder and on_windows:  # Windows opens no folder
        return
    descriptor = os.open(path, os.O_RDWR if on_windows else os.O_RDONLY)  # Windows syncs no file opened to read
    try:
        os.fsync(descriptor)
    except OSError as error:
        if not (is_folder and error.errno in (errno.EINVAL, errno.ENOTSUP)):  # some network disks sync no folder
            raise
    finally:
        os.close(descriptor)


def put_in_place(temporary: Path, path: Path) -> None:
    """Rename a complete file or folder; after a loss of power, the old one or the new one is there, whole.

    Raises:
        OSError: the disk reports an error.
    """
    for part in temporary.rglob("*") if temporary.is_dir() else ():
        sync(part)
    sync(temporary)
    temporary.replace(path)
    sync(path.parent)


def write_whole(path: str | Path, write: Callable[[Path], object]) -> None:
    """Write a file under its temporary name, then rename it; if the process is killed, the old file stays.

    A second process that writes the same file waits for the first.

    Args:
        path: the file to create or replace.
        write: writes to the path that it receives.

    Raises:
        UserError: the file cannot be written (no such folder, no permission, no space).
    """
    path, temporary = Path(path), temporary_name(path)
    try:
        with _locked(lock_name(path), -1):
            try:
                write(temporary)
                put_in_place(temporary, path)
            finally:
                temporary.unlink(missing_ok=True)
    except OSError as error:
        raise UserError(f"{path} could not be written ({error.strerror or error}); free some space or choose "
                        "another folder.") from None


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

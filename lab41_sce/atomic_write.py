"""Files that appear whole or not at all."""

from collections.abc import Callable
from pathlib import Path

from lab41_sce.errors import UserError


def make_folder(folder: str | Path) -> None:
    """Make a folder, and those above it, if it is not there.

    Raises:
        UserError: it cannot be made (a file of that name, no permission).
    """
    try:
        Path(folder).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"the folder {folder} cannot be made ({error.strerror}); choose another.") from None


def temporary_name(path: str | Path) -> Path:
    """Name the file that becomes `path`: always the same, so that what a kill left is replaced next time."""
    return Path(path).with_name(f".{Path(path).stem}.part{Path(path).suffix}")


def write_whole(path: str | Path, write: Callable[[Path], object]) -> None:
    """Let `write` make a file under a temporary name, then rename it: a kill leaves what was there before.

    Args:
        path: the file to make or replace.
        write: is given the temporary path, which has the same suffix and folder.

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
    """Write a text (UTF-8) to a file, whole or not at all; raises like `write_whole`."""
    write_whole(path, lambda temporary: temporary.write_text(text, "utf-8"))

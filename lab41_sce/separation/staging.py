"""Files are written to a hidden folder of their own; complete, they move into the folder of the outputs together.

    .lab41-sce.lock           held while files move and while hidden folders are made or deleted
    .lab41-sce-XXXX.part/     the files of one recording in one call; its `.lock` is held until they have moved
"""

import contextlib
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from lab41_sce import atomic_write
from lab41_sce.errors import UserError

PREFIX, SUFFIX = ".lab41-sce-", ".part"

# Raises UserError if an output may not be written: (temporary path of each output).
CheckPlaces = Callable[[Mapping[Path, Path]], None]


@contextlib.contextmanager
def staged(outputs: Sequence[Path], check: CheckPlaces) -> Iterator[dict[Path, Path]]:
    """Yield a temporary path for each output; at the end, move the files to their places, the first output last.

    Several calls may have the same outputs. They write to different temporary paths, and `check` runs while no other
    call moves files, so that each call sees the outputs of the calls that were faster.

    Args:
        outputs: files of one folder, which is made if it does not exist.
        check: raises if an output may not be written.

    Raises:
        UserError: `check` raises it, or the folder cannot be written to; or the block has raised it, about a temporary
            path: the sentence then names the output.
    """
    folder = outputs[0].parent
    is_new = not folder.exists()
    atomic_write.make_folder(folder)
    try:
        with _staged(outputs, check, folder) as files:
            yield files
    except BaseException:
        if is_new:
            with contextlib.suppress(OSError):  # it has files of another call
                folder.rmdir()
        raise


@contextlib.contextmanager
def _staged(outputs: Sequence[Path], check: CheckPlaces, folder: Path) -> Iterator[dict[Path, Path]]:
    """Yield the temporary paths in an existing folder; arguments and errors as in `staged`."""
    with contextlib.ExitStack() as stack:
        with _one_at_a_time(folder):
            _delete_abandoned(folder)
            staging = Path(tempfile.mkdtemp(SUFFIX, PREFIX, folder))
            stack.callback(shutil.rmtree, staging, ignore_errors=True)
            stack.enter_context(atomic_write.lock(staging / ".lock"))
        files = {output: staging / output.name for output in outputs}
        try:
            yield files
        except UserError as error:
            raise UserError(str(error).replace(f"{staging}", f"{folder}")) from None
        for file in files.values():
            atomic_write.sync(file)
        with _one_at_a_time(folder):
            check(files)
            for output in reversed(files):
                files[output].replace(output)
        atomic_write.sync(folder)


def _one_at_a_time(folder: Path) -> contextlib.AbstractContextManager[None]:
    """Wait until no other call moves files into a folder, and keep others from it."""
    return atomic_write.lock(folder / ".lab41-sce.lock")


def delete_abandoned(folder: Path) -> None:
    """Delete the hidden folders of calls that were killed, if there are any."""
    if any(folder.glob(f"{PREFIX}*{SUFFIX}")):
        with _one_at_a_time(folder):
            _delete_abandoned(folder)


def _delete_abandoned(folder: Path) -> None:
    """Delete the hidden folders whose locks are free, while no other call makes one."""
    for staging in folder.glob(f"{PREFIX}*{SUFFIX}"):
        with contextlib.suppress(UserError), atomic_write.lock(staging / ".lock", "the call is alive."):
            shutil.rmtree(staging, ignore_errors=True)

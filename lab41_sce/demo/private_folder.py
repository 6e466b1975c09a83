"""The files of all visitors are in one temporary folder, which does not outlive the page for long.

The page deletes its folder when it ends. A page that was killed cannot, so the next page deletes the folder: a page
holds a lock in its folder, and the operating system releases the lock of a killed process.
"""

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout

PREFIX = "lab41_sce_demo_"
LOCK = ".lock"


@contextlib.contextmanager
def private_folder() -> Iterator[Path]:
    """Delete the folders of pages that were killed; yield a new folder, which is deleted in the end.

    Only the user who runs this program can read the folder.
    """
    delete_leftovers()
    unlocked = Path(tempfile.mkdtemp(prefix="lab41_sce_new_"))
    with FileLock(unlocked / LOCK):
        # Under its final name, the folder was never without a lock, so no other page takes it for a leftover.
        folder = unlocked.rename(unlocked.with_name(PREFIX + unlocked.name.rpartition("_")[2]))
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def delete_leftovers() -> None:
    """Delete the folders of this user's pages that no longer run."""
    for folder in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        with contextlib.suppress(Timeout, OSError):
            if folder.is_dir() and not folder.is_symlink() and folder.stat().st_uid == os.getuid():
                with FileLock(folder / LOCK, timeout=0):
                    shutil.rmtree(folder)

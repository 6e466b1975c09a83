"""Every visitor has a private folder and one job at a time; both are deleted when the visitor leaves.

    root/voices/TOKEN/   the voices of a visitor, or the preview of the chosen sound
    root/uploads/TOKEN/  one upload

A token cannot be guessed, and only the user who runs this program can read the folders. Each folder is deleted after
an hour at the latest. Each job has its own thread. One job runs at a time; a waiting or running job can be stopped.
"""

import contextlib
import os
import secrets
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from lab41_sce.errors import UserError

MAX_AGE_SECONDS = 3600.0  # of a folder
MAX_STORED_BYTES, MAX_FOLDERS = 2 * 10**9, 1000  # of all visitors
_ONE_AT_A_TIME = threading.Lock()  # one separation uses all cores


def _stored_bytes(folder: Path) -> int:
    """Add up the sizes of the files in a folder; other threads may delete some meanwhile."""
    n_bytes = 0
    for place, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(FileNotFoundError):
                n_bytes += os.stat(os.path.join(place, name)).st_size
    return n_bytes


class Stopped(Exception):
    """The visitor has stopped the job; the message states how."""


class Job:
    """Run work in a thread.

    Args:
        work: receives a function to call with the share of the work done since the last call, and returns the result.

    Attributes:
        share: of the work that is done; None while the job waits for other visitors' jobs.
        result: of the work; None until it is done.
    """

    def __init__(self, work: Callable[[Callable[[float], None]], object]):
        self.share: float | None = None
        self.result: Any = None
        self._error: Exception | None = None
        self._stop, self._reason = threading.Event(), ""
        self._thread = threading.Thread(target=self._run, args=(work,), daemon=True)
        self._thread.start()

    def stop(self, reason: str = "Cancelled.") -> None:
        """Stop the work at its next progress report; the first reason counts."""
        self._reason = self._reason or reason
        self._stop.set()

    def watch(self, seconds: float = 0.2) -> Iterator[float | None]:
        """Yield `share` at regular intervals until the job ends.

        Args:
            seconds: between two values.

        Raises:
            Stopped: the job was stopped; raised at once, even if the thread is still running.
            Exception: the exception that the work raised.
        """
        while self._thread.is_alive() and not self._stop.is_set():
            yield self.share
            self._thread.join(seconds)
        self.raise_if_stopped()
        if self._error:
            raise self._error

    def raise_if_stopped(self) -> None:
        """Raise `Stopped` if the job was stopped."""
        if self._stop.is_set():
            raise Stopped(self._reason)

    def _run(self, work: Callable[[Callable[[float], None]], object]) -> None:
        """Wait for other jobs, then run the work."""
        try:
            while not _ONE_AT_A_TIME.acquire(timeout=0.1):
                self.raise_if_stopped()
            try:
                self.share = 0.0
                self.result = work(self._advance)
            finally:
                _ONE_AT_A_TIME.release()
        except Exception as error:  # `watch` raises it
            self._error = error

    def _advance(self, share: float) -> None:
        """Add to the share of the work that is done."""
        self.raise_if_stopped()
        self.share = min((self.share or 0.0) + share, 1.0)

class Visitors:
    """Keep the folder, the job and the uploads of each visitor.

    Args:
        root: parent of all folders, made if necessary; `close` deletes it.
        max_age_seconds: age at which `expire` deletes a folder.
    """

    def __init__(self, root: Path, max_age_seconds: float = MAX_AGE_SECONDS):
        self.root, self.max_age_seconds = Path(root), max_age_seconds
        self.voices, self.uploads = self.root / "voices", self.root / "uploads"
        for folder in (self.root, self.voices, self.uploads):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._made: dict[Path, float] = {}  # times by a clock that is never set, of all folders
        self._folders: dict[str, dict[str, Path]] = {}  # of each visitor, by purpose
        self._jobs: dict[str, Job] = {}
        self._uploads: dict[str, set[Path]] = {}
        self._lock = threading.RLock()

    def folder(self, visitor: str, purpose: str = "voices") -> Path:
        """Return a new, empty folder for a visitor's voices, or for another purpose; the old one is deleted.

        Raises:
            UserError: the visitors' files take too much space.
        """
        with self._lock:
            folders = self._folders.setdefault(visitor, {})
            self._delete(folders.pop(purpose, None))
            folders[purpose] = folder = self._make_folder(self.voices)
            return folder

    def new_upload(self, name: str) -> Path:
        """Return the path of a new upload with this name, in a new folder; errors as in `folder`."""
        return self._make_folder(self.uploads) / name

    def is_upload(self, path: Path) -> bool:
        """Return whether a path is that of a stored upload."""
        return path.parent in self._made and path.parent.parent == self.uploads and path.is_file()

    def delete_upload(self, path: Path) -> None:
        """Delete an upload and its folder."""
        with self._lock:
            path.unlink(missing_ok=True)
            self._delete(path.parent)

    def start(self, visitor: str, work: Callable) -> Job:
        """Stop a visitor's job and start a new one (see `Job`)."""
        with self._lock:
            self.cancel(visitor, "Started again.")
            self._jobs[visitor] = job = Job(work)
            return job

    def finish(self, visitor: str, job: Job) -> None:
        """Stop a job, unless it has ended, and release its result."""
        job.stop()
        with self._lock:
            if self._jobs.get(visitor) is job:
                del self._jobs[visitor]

    def cancel(self, visitor: str, reason: str = "Cancelled.") -> bool:
        """Stop a visitor's job for a reason; return whether there was one."""
        with self._lock:
            job = self._jobs.pop(visitor, None)
        if job:
            job.stop(reason)
        return job is not None

    def hold(self, visitor: str, upload: str | Path) -> None:
        """Register a visitor's upload; it is deleted when all visitors who uploaded it have left."""
        with self._lock:
            self._uploads.setdefault(visitor, set()).add(Path(upload))

    def leave(self, visitor: str) -> None:
        """Stop a visitor's job and delete the visitor's folder and uploads."""
        self.cancel(visitor)
        with self._lock:
            for folder in self._folders.pop(visitor, {}).values():
                self._delete(folder)
            for upload in self._uploads.pop(visitor, set()):
                if not any(upload in others for others in self._uploads.values()):
                    self.delete_upload(upload)

    def expire(self) -> None:
        """Delete the folders that are older than `max_age_seconds`."""
        with self._lock:
            for folder in [folder for folder, made in self._made.items()
                           if time.monotonic() - made > self.max_age_seconds]:
                self._delete(folder)

    def close(self) -> None:
        """Delete the data of all visitors."""
        for visitor in {*self._folders, *self._jobs, *self._uploads}:
            self.leave(visitor)
        shutil.rmtree(self.root, ignore_errors=True)

    def _make_folder(self, parent: Path) -> Path:
        """Make a folder whose name cannot be guessed, if there is space."""
        with self._lock:
            n_bytes = _stored_bytes(self.root)
            if n_bytes > MAX_STORED_BYTES or len(self._made) >= MAX_FOLDERS:
                raise UserError(f"this page stores {n_bytes / 1e9:.1f} GB in {len(self._made)} folders of visitors, "
                                f"and at most {MAX_STORED_BYTES / 1e9:g} GB in {MAX_FOLDERS}; try again in an hour.")
            folder = parent / secrets.token_hex(16)
            folder.mkdir(mode=0o700)
            self._made[folder] = time.monotonic()
            return folder

    def _delete(self, folder: Path | None) -> None:
        """Delete a folder that `_make_folder` has made."""
        if folder is not None and self._made.pop(folder, None) is not None:
            shutil.rmtree(folder, ignore_errors=True)

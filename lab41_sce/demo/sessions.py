"""Every visitor has a private folder and one job at a time; both are deleted when the visitor leaves.

The name of a folder cannot be guessed, and only the user who runs this program can read it. Each job has its own
thread. One job runs at a time; a waiting or running job can be stopped.
"""

import secrets
import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

_ONE_AT_A_TIME = threading.Lock()  # one separation uses all cores


class Stopped(Exception):
    """The visitor has stopped the job."""


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
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(work,), daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop the work at its next progress report."""
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
        if self._stop.is_set():
            raise Stopped
        if self._error:
            raise self._error

    def _run(self, work: Callable[[Callable[[float], None]], object]) -> None:
        """Wait for other jobs, then run the work."""
        try:
            while not _ONE_AT_A_TIME.acquire(timeout=0.1):
                self._raise_if_stopped()
            try:
                self.share = 0.0
                self.result = work(self._advance)
            finally:
                _ONE_AT_A_TIME.release()
        except Exception as error:  # `watch` raises it
            self._error = error

    def _advance(self, share: float) -> None:
        """Add to the share of the work that is done."""
        self._raise_if_stopped()
        self.share = min((self.share or 0.0) + share, 1.0)

    def _raise_if_stopped(self) -> None:
        if self._stop.is_set():
            raise Stopped


class Visitors:
    """Keep the folder, the job and the uploads of each visitor.

    Args:
        root: parent of the visitors' folders, made if necessary; `close` deletes it.
    """

    def __init__(self, root: Path):
        self.root = Path(root)
        self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._folders: dict[str, Path] = {}
        self._jobs: dict[str, Job] = {}
        self._uploads: dict[str, set[Path]] = {}
        self._lock = threading.Lock()

    def folder(self, visitor: str) -> Path:
        """Return a new, empty folder for a visitor; the old one is deleted."""
        with self._lock:
            self._delete_folder(visitor)
            self._folders[visitor] = folder = self.root / secrets.token_hex(16)
            folder.mkdir(mode=0o700)
            return folder

    def start(self, visitor: str, work: Callable) -> Job:
        """Stop a visitor's job and start a new one (see `Job`)."""
        self.cancel(visitor)
        self._jobs[visitor] = Job(work)
        return self._jobs[visitor]

    def cancel(self, visitor: str) -> bool:
        """Stop a visitor's job; return whether there was one."""
        job = self._jobs.pop(visitor, None)
        if job:
            job.stop()
        return job is not None

    def hold(self, visitor: str, upload: str | Path) -> None:
        """Register a visitor's upload; it is deleted when all visitors who uploaded it have left."""
        with self._lock:
            self._uploads.setdefault(visitor, set()).add(Path(upload))

    def leave(self, visitor: str) -> None:
        """Stop a visitor's job and delete the visitor's folder and uploads."""
        self.cancel(visitor)
        with self._lock:
            self._delete_folder(visitor)
            for upload in self._uploads.pop(visitor, set()):
                if not any(upload in others for others in self._uploads.values()):
                    upload.unlink(missing_ok=True)

    def close(self) -> None:
        """Delete the data of all visitors."""
        for visitor in {*self._folders, *self._jobs, *self._uploads}:
            self.leave(visitor)
        shutil.rmtree(self.root, ignore_errors=True)

    def _delete_folder(self, visitor: str) -> None:
        if folder := self._folders.pop(visitor, None):
            shutil.rmtree(folder, ignore_errors=True)

"""Every visitor gets a private folder and one piece of work at a time, and both end when the visitor leaves.

A folder's name cannot be guessed, and nobody but this program's user may look into it. Work runs in a thread of its
own, one after the other over all visitors; whoever waits or works can be stopped.
"""

import secrets
import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

_ONE_AT_A_TIME = threading.Lock()  # the machine's cores and memory are for one separation


class Stopped(Exception):
    """The visitor does not want the result any more."""


class Job:
    """Run a piece of work in a thread, watch it, stop it.

    Args:
        work: is given a function to call with the share of the work that was done since the last call; what it
            returns is the result.

    Attributes:
        share: of the work that is done; None while other visitors' work is.
    """

    def __init__(self, work: Callable[[Callable[[float], None]], object]):
        self.share, self.result, self._error = None, None, None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(work,), daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Ask the work to stop; it does where it next tells its progress."""
        self._stop.set()

    def watch(self, seconds: float = 0.2) -> Iterator[float | None]:
        """Yield `share` every so many seconds until the work ends or is stopped; then `result` is there.

        Raises:
            Stopped: it was stopped. (At once, even if the thread still has to notice.)
            Exception: what the work raised.
        """
        while self._thread.is_alive() and not self._stop.is_set():
            yield self.share
            self._thread.join(seconds)
        if self._stop.is_set():
            raise Stopped
        if self._error:
            raise self._error

    def _run(self, work):
        try:
            while not _ONE_AT_A_TIME.acquire(timeout=0.1):
                self._go_on()
            try:
                self.share = 0.0
                self.result = work(self._advance)
            finally:
                _ONE_AT_A_TIME.release()
        except Exception as error:  # told to whoever watches
            self._error = error

    def _advance(self, share):
        self._go_on()
        self.share = min(self.share + share, 1.0)

    def _go_on(self):
        if self._stop.is_set():
            raise Stopped


class Visitors:
    """Keep what belongs to each visitor.

    Args:
        root: folder for theirs; made if need be. It and all in it are deleted by `close`.
    """

    def __init__(self, root: Path):
        self.root = Path(root)
        self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._folders, self._jobs, self._uploads = {}, {}, {}
        self._lock = threading.Lock()

    def folder(self, visitor: str) -> Path:
        """Return a visitor's folder, empty: what was in it is deleted."""
        with self._lock:
            self._delete_folder(visitor)
            self._folders[visitor] = folder = self.root / secrets.token_hex(16)
            folder.mkdir(mode=0o700)
            return folder

    def start(self, visitor: str, work: Callable) -> Job:
        """Start a visitor's work (see `Job`), and stop what ran before."""
        self.cancel(visitor)
        self._jobs[visitor] = Job(work)
        return self._jobs[visitor]

    def cancel(self, visitor: str) -> bool:
        """Stop a visitor's work; tell whether there was any."""
        job = self._jobs.pop(visitor, None)
        if job:
            job.stop()
        return job is not None

    def hold(self, visitor: str, upload: str | Path) -> None:
        """Remember a file that a visitor has uploaded, to delete it when nobody who uploaded it is left."""
        with self._lock:
            self._uploads.setdefault(visitor, set()).add(Path(upload))

    def leave(self, visitor: str) -> None:
        """Stop a visitor's work and delete the visitor's folder and uploads."""
        self.cancel(visitor)
        with self._lock:
            self._delete_folder(visitor)
            for upload in self._uploads.pop(visitor, set()):
                if not any(upload in others for others in self._uploads.values()):
                    upload.unlink(missing_ok=True)

    def close(self) -> None:
        """Delete everything."""
        for visitor in {*self._folders, *self._jobs, *self._uploads}:
            self.leave(visitor)
        shutil.rmtree(self.root, ignore_errors=True)

    def _delete_folder(self, visitor):
        if folder := self._folders.pop(visitor, None):
            shutil.rmtree(folder, ignore_errors=True)

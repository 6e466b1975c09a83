"""Numbers of batches become batches, each drawn by one of several processes into memory that it shares with this one.

A batch depends on its number only, so the batches do not depend on the number of processes. A batch of 256 excerpts has
20 MB: nothing is sent or copied but its number, as long as one of the shared blocks of memory is free.
"""

import multiprocessing
import os
import threading
import weakref
from concurrent.futures import CancelledError, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any, Protocol

import numpy as np

from lab41_sce.errors import UserError

SPARE_BLOCKS = 8  # besides one for each process: the batches that TensorFlow prefetches and uses, and some

_process: dict[str, Any] = {}  # what a drawing process received at its start


class Drawn(Protocol):
    """What draws numbered batches."""

    def batch(self, index: int, into: dict[str, np.ndarray] | None = None) -> dict[str, np.ndarray]:
        """Make batch number `index`."""

    def empty_batch(self) -> dict[str, np.ndarray]:
        """Return arrays for a batch, without values."""


class DrawingProcesses:
    """Start processes that draw the batches of some mixtures.

    Args:
        mixtures: each process receives a copy, with the speech that is in memory.
        n_processes: number of processes.
    """

    def __init__(self, mixtures: Drawn, n_processes: int):
        context = multiprocessing.get_context("spawn")  # a fork of a process that runs TensorFlow may hang
        self._like = mixtures.empty_batch()
        n_bytes = sum(_padded(values.nbytes) for values in self._like.values())
        # Anonymous memory: the operating system frees the blocks even if all processes are killed.
        self._blocks = [context.RawArray("b", n_bytes) for _ in range(n_processes + SPARE_BLOCKS)]
        self._free = list(range(len(self._blocks)))
        self._is_closed = False
        self._executor = ProcessPoolExecutor(n_processes, context, _start, (mixtures, self._blocks))

    def batch(self, index: int) -> dict[str, np.ndarray]:
        """Return batch number `index`; its memory is used again as soon as no array of the batch exists any more.

        Raises:
            UserError: speech cannot be read, a process was killed, or `close` was called.
        """
        if self._is_closed:
            raise _ended()
        try:
            number: int | None = self._free.pop()
        except IndexError:  # all blocks are in use
            number = None
        try:
            drawn = self._executor.submit(_draw, index, number).result()
        except CancelledError:
            raise _ended() from None
        except BrokenProcessPool:
            raise UserError("a process that draws mixtures was killed, perhaps for lack of memory; start fewer "
                            "(mixtures.workers), and resume.") from None
        if number is None:
            assert drawn is not None
            return drawn
        memory = np.frombuffer(self._blocks[number], np.uint8)
        weakref.finalize(memory, self._free.append, number)
        return _arrays(memory, self._like)

    def close(self) -> None:
        """End the processes."""
        self._is_closed = True
        self._executor.shutdown(wait=False, cancel_futures=True)


def _ended() -> UserError:
    """Return the error of batches that TensorFlow prefetches after the training."""
    return UserError("the processes that draw mixtures were ended.")


def _padded(n_bytes: int) -> int:
    """Round a size up, so that every array begins where TensorFlow can use it without a copy."""
    return -(-n_bytes // 64) * 64


def _arrays(memory: np.ndarray, like: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return arrays of given shapes and types that lie one after the other in a block of memory."""
    arrays, start = {}, 0
    for name, values in like.items():
        arrays[name] = memory[start : start + values.nbytes].view(values.dtype).reshape(values.shape)
        start += _padded(values.nbytes)
    return arrays


def _start(mixtures: Drawn, blocks: list[Any]) -> None:
    """Keep the arguments of a drawing process, and end the process when its parent ends, even if that is killed."""
    like = mixtures.empty_batch()
    _process.update(mixtures=mixtures, batches=[_arrays(np.frombuffer(block, np.uint8), like) for block in blocks])
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """Wait for the end of the parent."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _draw(index: int, number: int | None) -> dict[str, np.ndarray] | None:
    """Draw a batch into a block of memory, or return it."""
    if number is None:
        return _process["mixtures"].batch(index)
    _process["mixtures"].batch(index, _process["batches"][number])
    return None

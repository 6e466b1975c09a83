"""A function is computed for several items at once, in threads; the results come in order.

NumPy, SciPy, soxr and onnxruntime release Python's lock while they compute, so threads use several cores.
"""

import os
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache
from typing import TypeVar

from threadpoolctl import ThreadpoolController

MOST_AT_ONCE = 8  # items, because each needs memory

Item = TypeVar("Item")
Result = TypeVar("Result")
_worker = threading.local()
_limits: list = []  # of BLAS, one for each call that is computing
_limits_lock = threading.Lock()


def n_threads() -> int:
    """Return the number of threads: `OMP_NUM_THREADS`, which joblib sets in its processes, or one for each core."""
    given = os.environ.get("OMP_NUM_THREADS", "")
    if given.isdecimal() and int(given) > 0:
        return int(given)
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def in_parallel(function: Callable[[Item], Result], items: Sequence[Item]) -> Iterator[Result]:
    """Yield the result of a function for each item, in order; a few items are computed ahead.

    A call in a thread of another call computes one item after the other.

    Args:
        function: can be called in several threads at once.
        items: its arguments.

    Raises:
        Exception: what the function raises, when its result is due.
    """
    most = min(n_threads(), MOST_AT_ONCE, len(items))
    if most <= 1 or getattr(_worker, "busy", False):
        yield from map(function, items)
        return
    with one_blas_thread(), ThreadPoolExecutor(most, initializer=lambda: setattr(_worker, "busy", True)) as pool:
        pending: deque = deque()
        try:
            for item in items:
                if len(pending) == most:
                    yield pending.popleft().result()
                pending.append(pool.submit(function, item))
            while pending:
                yield pending.popleft().result()
        finally:  # the caller may stop early
            for future in pending:
                future.cancel()


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Let each matrix product of NumPy use one thread: products of several threads at once would share the cores."""
    with _limits_lock:
        _limits.append(None if _limits else _controller().limit(limits=1, user_api="blas"))
    try:
        yield
    finally:
        with _limits_lock:
            if len(_limits) == 1:
                _limits[0].restore_original_limits()
            _limits.pop()


@cache
def _controller() -> ThreadpoolController:
    """Find the libraries with threads of their own that are loaded."""
    return ThreadpoolController()

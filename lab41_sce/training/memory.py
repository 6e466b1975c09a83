"""Memory that an update frees stays with the process, for the next update.

glibc takes a large block from the kernel with each request and returns it when it is freed. The kernel fills every page
of it with zeros. The updates of a training take and free the same blocks again and again: without this, the kernel
takes 18 % of the processor time of an update (results/performance/kept_memory).
"""

import ctypes

TRIM_THRESHOLD, MMAP_MAX = -1, -4  # numbers of mallopt's parameters in glibc's malloc.h


def keep_freed_memory() -> bool:
    """Let the C library keep freed memory, from now on and for this process.

    Returns:
        Whether it does; false for other C libraries than glibc, which are left as they are.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return False
    # large blocks come from the heap, too, and the heap never shrinks; see mallopt(3)
    return bool(mallopt(MMAP_MAX, 0) and mallopt(TRIM_THRESHOLD, -1))

"""Errors of FFmpeg become ValueErrors, so that PyAV is loaded only for files that need it (0.1 s, 17 MB of memory)."""

import contextlib
from collections.abc import Iterator


@contextlib.contextmanager
def ffmpeg_errors() -> Iterator[None]:
    """Raise a ValueError with the reason that FFmpeg gives, in place of an error of PyAV; also a decorator."""
    import av

    try:
        yield
    except av.error.FFmpegError as error:
        raise ValueError(error.strerror) from None

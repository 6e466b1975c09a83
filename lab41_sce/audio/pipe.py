"""Standard input becomes a temporary file, because a recording is read several times."""

import contextlib
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from lab41_sce.errors import UserError

STDIN = Path("-")
MAX_BYTES = 2**33  # 12 hours of one channel at 48 kHz in floats; a pipe can be endless
BLOCK_BYTES = 2**20


@contextlib.contextmanager
def saved_stdin() -> Iterator[Path]:
    """Save standard input to a temporary file named `stdin`, which is deleted at the end.

    Yields:
        The path of the file.

    Raises:
        UserError: standard input is a terminal or too long, or the file cannot be written; or the block has raised
            it, about the file: the sentence then names standard input.
    """
    if sys.stdin is None or sys.stdin.isatty():
        raise UserError("standard input (-) is a terminal; send a recording to it: lab41-sce separate - < talk.wav")
    folder = Path(tempfile.mkdtemp(prefix="lab41-sce-"))
    try:
        n_bytes = 0
        try:
            with open(folder / "stdin", "wb") as file:
                while block := sys.stdin.buffer.read(BLOCK_BYTES):
                    if (n_bytes := n_bytes + len(block)) > MAX_BYTES:
                        raise UserError(f"standard input (-) has more than {MAX_BYTES / 2**30:g} GB; give a file.")
                    file.write(block)
        except OSError as error:
            raise UserError(f"standard input (-) could not be saved to {folder} ({error.strerror or error}); free some "
                            "space, or name another folder with TMPDIR.") from None
        yield folder / "stdin"
    except UserError as error:
        raise UserError(str(error).replace(f"{folder / 'stdin'}", "standard input (-)")) from None
    finally:
        shutil.rmtree(folder, ignore_errors=True)

"""Serve the page: run `lab41-sce demo`, then open the address that it prints."""

import argparse
import contextlib
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from lab41_sce.command_line import Parser, command
from lab41_sce.demo.private_folder import private_folder
from lab41_sce.errors import UserError

MAX_PORT = 65535


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = Parser("lab41-sce demo", description="Separate recordings on a page in the browser.")
    parser.add_argument("--host", default="127.0.0.1",
                        help="address of the server (default: %(default)s, this computer only; 0.0.0.0: also from the "
                             "network)")
    parser.add_argument("--allow-host", action="append", default=[], metavar="NAME",
                        help="answer requests for this host name, too, such as that of a proxy (can be repeated)")
    parser.add_argument("--port", type=int, help="port of the server (default: the first free one from 7860)")
    parser.add_argument("--model", type=Path, metavar="RUN_OR_FILE",
                        help="offer this model instead of the shipped one")
    parser.add_argument("--run", type=Path, help="offer the trained systems of this run, too")
    parser.add_argument("--max-seconds", type=float, default=120.0,
                        help="maximum length of a recording (default: %(default)g)")
    parser.add_argument("--max-megabytes", type=float, default=20.0,
                        help="maximum size of a file (default: %(default)g)")
    options = parser.parse_args(arguments)
    for name in ("max_seconds", "max_megabytes"):
        if not 0 < getattr(options, name) < float("inf"):
            parser.error(f"--{name.replace('_', '-')} {getattr(options, name)} is not possible; give a number above 0.")
    if options.port is not None and not 0 <= options.port <= MAX_PORT:
        parser.error(f"--port {options.port} is not possible; give 1 to {MAX_PORT}, or 0 for any free port.")
    return options


@command()
def main(arguments: Sequence[str] | None = None) -> int:
    """Serve the page until it is interrupted; return 0, or 1 after a sentence about what is wrong."""
    options = parse(arguments)
    with contextlib.suppress(KeyboardInterrupt), private_folder() as folder:  # SIGTERM is one, too
        _serve(options, folder)
    return 0


def _serve(options: argparse.Namespace, folder: Path) -> None:
    """Serve the page; the files of visitors are in this folder."""
    # Gradio reads these variables on import.
    os.environ |= {"GRADIO_TEMP_DIR": str(folder / "uploads"), "GRADIO_ANALYTICS_ENABLED": "False"}
    try:
        from lab41_sce.demo.page import Page
        from lab41_sce.demo.serving import serve
        from lab41_sce.demo.sessions import Visitors
        from lab41_sce.demo.sounds import Limits
        from lab41_sce.demo.systems import Systems
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "gradio":
            raise
        raise UserError('the page needs Gradio, which is not installed; run make demo, or pip install ".[demo]" in '
                        "the folder of the project.") from None
    systems = Systems(options.model, options.run)
    systems.load(systems.names[0])  # a model that cannot be loaded is reported before the page is served
    serve(Page(systems, Limits(options.max_megabytes, options.max_seconds), Visitors(folder)), options.host,
          options.port, options.allow_host)


if __name__ == "__main__":
    sys.exit(main())

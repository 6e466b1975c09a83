"""Show the page: `python -m lab41_sce.demo`, then open the address that it prints."""

import argparse
import os
import signal
import sys
import tempfile
from pathlib import Path

from lab41_sce.errors import UserError


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser("python -m lab41_sce.demo",
                                     description="Separate recordings on a page in the browser.")
    parser.add_argument("--host", default="127.0.0.1",
                        help="to listen at (default: %(default)s, this computer only; 0.0.0.0: the network, too)")
    parser.add_argument("--port", type=int, help="to listen at (default: the first free one from 7860)")
    parser.add_argument("--model", type=Path, metavar="RUN_OR_FILE", help="take this model in place of the shipped one")
    parser.add_argument("--run", type=Path, help="folder of a run: its trained systems are offered, too")
    parser.add_argument("--max-seconds", type=float, default=120.0, help="longest recording (default: %(default)g)")
    parser.add_argument("--max-megabytes", type=float, default=20.0, help="largest file (default: %(default)g)")
    options = parser.parse_args(arguments)
    for name in ("max_seconds", "max_megabytes"):
        if not 0 < getattr(options, name) < float("inf"):
            parser.error(f"--{name.replace('_', '-')} {getattr(options, name)} is not possible; give a number above 0.")
    return options


def main(arguments: list[str] | None = None) -> int:
    """Show the page until it is interrupted."""
    options = parse(arguments)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # ends as Ctrl-C does: nothing of the visitors is left
    folder = Path(tempfile.mkdtemp(prefix="lab41_sce_demo_"))  # for its owner only
    os.environ |= {"GRADIO_TEMP_DIR": str(folder / "uploads"), "GRADIO_ANALYTICS_ENABLED": "False"}  # read on import
    try:
        from lab41_sce.demo.page import Page
        from lab41_sce.demo.serving import serve
        from lab41_sce.demo.sessions import Visitors
        from lab41_sce.demo.systems import Systems
        from lab41_sce.demo.work import Limits
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "gradio":
            raise
        print('error: the page needs Gradio; install it: pip install "lab41_sce[demo]", or make demo.', file=sys.stderr)
        return 1
    try:
        systems = Systems(options.model, options.run)
        systems.load(systems.names[0])  # what is wrong with it is told now
        serve(Page(systems, Limits(options.max_megabytes, options.max_seconds), Visitors(folder)), options.host,
              options.port)
    except (UserError, OSError) as error:  # a port that is taken
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

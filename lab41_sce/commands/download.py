"""`lab41-sce download`: subsets of LibriSpeech are downloaded from OpenSLR, verified and unpacked.

    lab41-sce download --list
    lab41-sce download train-clean-5 dev-clean-2 --root data/mini_librispeech
"""

import logging
import sys
from collections.abc import Sequence
from pathlib import Path

from lab41_sce.command_line import Parser, command
from lab41_sce.data.download import ARCHIVES, download_missing
from lab41_sce.errors import UserError


@command("interrupted: the downloaded part is kept; repeat the command to continue")
def main(arguments: Sequence[str] | None = None) -> int:
    """Download subsets of LibriSpeech, or list those that can be downloaded.

    Args:
        arguments: of the command line; those of the process if None.

    Returns:
        The exit status: 0 if all subsets are complete, 1 after an error, 130 after an interruption.
    """
    parser = Parser(
        "lab41-sce download", description="Download subsets of LibriSpeech from OpenSLR, verify and unpack them.",
        epilog="Repeat an interrupted command to continue; complete subsets are skipped. Exit status: 0 complete, "
               "1 error, 2 wrong arguments, 130 interrupted.")
    parser.add_argument("subsets", nargs="*", metavar="SUBSET", help="such as train-clean-100")
    parser.add_argument("--root", type=Path, metavar="DIR", help="folder of the corpus, made if it does not exist")
    parser.add_argument("--mirror", metavar="URL", help="download URL/RESOURCE/SUBSET.tar.gz instead, such as "
                                                        "URL/12/dev-clean.tar.gz")
    parser.add_argument("--list", action="store_true", help="print the known subsets and their download sizes")
    options = parser.parse_args(arguments)
    if options.list:
        for name, archive in ARCHIVES.items():
            print(f"{name:16} {archive.size:>7}  OpenSLR {archive.resource}")
        return 0
    if not options.subsets or options.root is None:
        parser.error("give the subsets to download and --root DIR, or --list")
    logging.basicConfig(format="%(message)s", level=logging.INFO)
    if options.mirror is not None and not options.mirror.startswith(("https://", "http://")):
        raise UserError(f"--mirror {options.mirror} is not a URL; give one that begins with https:// or http://.")
    download_missing(options.subsets, options.root, options.mirror)
    print(f"{options.root} holds {', '.join(options.subsets)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""`lab41-sce download`: subsets of LibriSpeech and metadata of LibriMix are downloaded and verified.

    lab41-sce download --list
    lab41-sce download train-clean-5 dev-clean-2 --root data/mini_librispeech
    lab41-sce download test-clean libri2mix_test-clean --root LibriSpeech
"""

import logging
import sys
from collections.abc import Sequence
from pathlib import Path

from lab41_sce.command_line import Parser, command
from lab41_sce.data.download import ARCHIVES, LIBRIMIX_METADATA, download_metadata, download_missing
from lab41_sce.errors import UserError
from lab41_sce.suggestion import did_you_mean


@command("interrupted: the downloaded part is kept; repeat the command to continue")
def main(arguments: Sequence[str] | None = None) -> int:
    """Download subsets of LibriSpeech and metadata of LibriMix, or list what can be downloaded.

    Args:
        arguments: of the command line; those of the process if None.

    Returns:
        The exit status: 0 if everything is complete, 1 after an error, 130 after an interruption.
    """
    parser = Parser(
        "lab41-sce download", description="Download subsets of LibriSpeech from OpenSLR, verify and unpack them; and "
        "metadata of LibriMix from GitHub, for lab41-sce benchmark.",
        epilog="Repeat an interrupted command to continue; complete subsets are skipped. Exit status: 0 complete, "
               "1 error, 2 wrong arguments, 130 interrupted.")
    parser.add_argument("subsets", nargs="*", metavar="SUBSET", help="such as train-clean-100 or libri2mix_test-clean")
    parser.add_argument("--root", type=Path, metavar="DIR", help="folder of the corpus, made if it does not exist")
    parser.add_argument("--mirror", metavar="URL", help="download from there instead, such as "
                                                        "URL/12/dev-clean.tar.gz or "
                                                        "URL/Libri2Mix/libri2mix_test-clean.csv")
    parser.add_argument("--list", action="store_true", help="print the known subsets and their download sizes")
    options = parser.parse_args(arguments)
    if options.list:
        for name, archive in ARCHIVES.items():
            print(f"{name:20} {archive.size:>7}  OpenSLR {archive.resource}")
        for name in LIBRIMIX_METADATA:
            print(f"{name:20} {'< 1 MB':>7}  metadata of LibriMix")
        return 0
    if not options.subsets or options.root is None:
        parser.error("give the subsets to download and --root DIR, or --list")
    logging.basicConfig(format="%(message)s", level=logging.INFO)
    if options.mirror is not None and not options.mirror.startswith(("https://", "http://")):
        raise UserError(f"--mirror {options.mirror} is not a URL; give one that begins with https:// or http://.")
    known = [*ARCHIVES, *LIBRIMIX_METADATA]
    for name in options.subsets:
        if name not in known:
            hint = did_you_mean(name, known) or f"; choose from {', '.join(known)}."
            raise UserError(f"there is no {name} to download{hint}")
    metadata = [name for name in options.subsets if name in LIBRIMIX_METADATA]
    download_missing([name for name in options.subsets if name not in metadata], options.root, options.mirror)
    if metadata:
        download_metadata(metadata, options.root, options.mirror)
    print(f"{options.root} holds {', '.join(options.subsets)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

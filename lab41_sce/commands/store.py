"""`lab41-sce store`: a corpus in LibriSpeech's layout becomes a store, for corpora that are larger than memory.

    lab41-sce store CORPUS_ROOT STORE_FOLDER --subsets train-clean-100 test-other
    lab41-sce experiment +exp=two_speaker corpus=store corpus.root=STORE_FOLDER
"""

import logging
import math
import sys
from collections.abc import Sequence
from pathlib import Path

from lab41_sce.command_line import Parser, command
from lab41_sce.errors import UserError


@command("interrupted: finished shards are kept; repeat the command to continue")
def main(arguments: Sequence[str] | None = None) -> int:
    """Make a store.

    Args:
        arguments: of the command line; those of the process if None.

    Returns:
        The exit status: 0 if the store is complete, 1 after an error, 130 after an interruption.
    """
    parser = Parser(
        "lab41-sce store", description="Decode and resample the speech of a corpus once, into a few large files.",
        epilog="Repeat an interrupted command to continue. Exit status: 0 complete, 1 error, 2 wrong arguments, "
               "130 interrupted.")
    parser.add_argument("root", type=Path, metavar="CORPUS_ROOT", help="folder with SPEAKERS.TXT and the subsets")
    parser.add_argument("folder", type=Path, metavar="STORE_FOLDER", help="folder of the store to make")
    parser.add_argument("--subsets", nargs="+", required=True, metavar="NAME", help="such as train-clean-100")
    parser.add_argument("--sample-rate", type=int, default=10_000, metavar="HZ",
                        help="sample rate of the front end that will use the store (default: %(default)s)")
    parser.add_argument("--min-seconds", type=float, default=1.0, metavar="SECONDS",
                        help="minimum duration of an utterance (default: %(default)s)")
    parser.add_argument("--jobs", type=int, default=-1, metavar="N",
                        help="number of threads that decode (default: one per core)")
    options = parser.parse_args(arguments)
    logging.basicConfig(format="%(message)s")
    from lab41_sce.data.corpus import load_corpus  # pandas is not needed for the help
    from lab41_sce.data.store_reader import load_store
    from lab41_sce.data.store_tables import MAX_RATE_HZ
    from lab41_sce.data.store_writer import write_store

    if not 1 <= options.sample_rate <= MAX_RATE_HZ:
        raise UserError(f"--sample-rate {options.sample_rate} is not possible; give a rate of 1 to {MAX_RATE_HZ} Hz, "
                        "such as 10000.")
    if not 0 <= options.min_seconds < math.inf:
        raise UserError(f"--min-seconds {options.min_seconds:g} is not possible; give seconds of at least 0.")
    if options.jobs < -1 or options.jobs == 0:
        raise UserError(f"--jobs {options.jobs} is not possible; give a number of threads, or -1 for one per core.")

    if missing := [name for name in options.subsets if not (options.root / name).is_dir()]:
        raise UserError(f"{options.root} has no folder {', '.join(missing)}; give existing folders to --subsets. "
                        "lab41-sce download fetches those of LibriSpeech.")
    utterances = load_corpus(options.root, options.subsets, min_seconds=options.min_seconds, check="headers")
    if any(options.folder.glob("shard_*.json")):  # names and durations do not show that samples have changed
        print(f"{options.folder} has speech of an earlier call, which is kept; delete the folder if the speech has "
              "changed since.", file=sys.stderr)
    write_store(utterances, options.folder, options.sample_rate, options.jobs)
    table = load_store(options.folder)
    print(f"{options.folder}: {len(table)} utterances of {table['speaker'].nunique()} speakers, "
          f"{table['seconds'].sum() / 3600:.1f} hours at {options.sample_rate} Hz")
    return 0


if __name__ == "__main__":
    sys.exit(main())

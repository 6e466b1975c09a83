"""`lab41-sce rooms`: draw a bank of simulated room responses for training mixtures.

    lab41-sce rooms rooms.npz
    lab41-sce experiment +exp=complex_masks_rooms corpus=librispeech corpus.root=CORPUS_ROOT rooms.file=rooms.npz
"""

import sys
from collections.abc import Sequence
from pathlib import Path

from lab41_sce.atomic_write import write_whole
from lab41_sce.command_line import Parser, command
from lab41_sce.errors import UserError

LIMITS = {"rooms": (1, 10_000), "places": (2, 20), "sample_rate": (8_000, 48_000), "seed": (0, 2**32 - 1)}
MAX_BYTES = 1e9  # of a bank in memory


@command("interrupted: nothing was written")
def main(arguments: Sequence[str] | None = None) -> int:
    """Draw a bank.

    Args:
        arguments: of the command line; those of the process if None.

    Returns:
        The exit status: 0 if the file is in place, 1 after an error, 130 after an interruption.
    """
    parser = Parser(
        "lab41-sce rooms", description="Draw simulated rooms with a microphone and places of speakers, and write the "
        "responses from each place to the microphone. The setting rooms.file of an experiment uses them.",
        epilog="Exit status: 0 written, 1 error, 2 wrong arguments, 130 interrupted.")
    parser.add_argument("out", type=Path, metavar="OUT.npz", help="file to create")
    parser.add_argument("--rooms", type=int, default=300, metavar="N", help="number of rooms (default: %(default)s)")
    parser.add_argument("--places", type=int, default=3, metavar="N",
                        help="places of speakers in each room; a mixture needs one for each speaker "
                             "(default: %(default)s)")
    parser.add_argument("--rt60", type=float, nargs=2, default=(0.1, 0.8), metavar=("LOW", "HIGH"),
                        help="range of the reverberation time in seconds (default: 0.1 0.8)")
    parser.add_argument("--distance", type=float, nargs=2, default=(0.5, 3.0), metavar=("LOW", "HIGH"),
                        help="range of the distance of speakers from the microphone in metres (default: 0.5 3)")
    parser.add_argument("--sample-rate", type=int, default=10_000, metavar="HZ",
                        help="sample rate of the responses; an experiment resamples them if its rate differs "
                             "(default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="the same seed draws the same rooms (default: %(default)s)")
    options = parser.parse_args(arguments)
    for name, (least, most) in LIMITS.items():
        value = getattr(options, name)
        if not least <= value <= most:
            raise UserError(f"--{name.replace('_', '-')} {value} is not possible; give a whole number from {least} to "
                            f"{most}.")
    if options.out.suffix != ".npz" or not options.out.parent.is_dir():
        raise UserError(f"{options.out} cannot be written; give a file that ends in .npz, in a folder that exists.")
    if options.out.exists():
        raise UserError(f"{options.out} exists already; delete it or choose another name.")
    import numpy as np  # not needed for the help

    from lab41_sce.data.room_simulation import RoomRanges, draw_bank

    ranges = RoomRanges(tuple(options.rt60), tuple(options.distance))
    n_bytes = 2 * options.rooms * options.places * ranges.rt60[1] * options.sample_rate
    if n_bytes > MAX_BYTES:
        raise UserError(f"the bank would need {n_bytes / 1e9:.1f} GB of memory instead of at most "
                        f"{MAX_BYTES / 1e9:g} GB; give fewer --rooms, fewer --places or a lower --sample-rate.")
    bank = draw_bank(options.rooms, options.places, ranges, options.sample_rate, options.seed)
    write_whole(options.out, lambda temporary: np.savez_compressed(
        temporary, responses=bank["responses"], sample_rate_hz=bank["sample_rate_hz"], rt60=bank["rt60"]))
    print(f"{options.out}: {options.rooms} rooms with {options.places} places, "
          f"{options.out.stat().st_size / 1e6:.1f} MB")
    return 0


if __name__ == "__main__":
    sys.exit(main())

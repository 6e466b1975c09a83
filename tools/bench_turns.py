"""Training at one size, separation of two lengths: short enough for turns with an earlier checkout."""

from bench import part_main
from bench_separation import commands
from bench_training import RECIPES
from bench_training import measure as training

SIZES = {"pretrained recipe": [(32, 100)]}
SECONDS = (60, 600)


def measure(rows, quick: bool) -> None:
    """Measure both: first the command, while this process, whose memory its beginning shares, is small."""
    commands(rows, SECONDS)
    training(rows, quick, {name: (RECIPES[name][0], sizes) for name, sizes in SIZES.items()})


if __name__ == "__main__":
    part_main(measure)

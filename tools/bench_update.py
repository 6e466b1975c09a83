"""The update and training at three sizes only: short enough to be measured in turns with an earlier checkout."""

from functools import partial

from bench import part_main
from bench_training import RECIPES, measure

SIZES = {"shipped recipe": [(16, 100), (32, 100)], "article's network": [(32, 40)]}

if __name__ == "__main__":
    part_main(partial(measure, recipes={name: (RECIPES[name][0], sizes) for name, sizes in SIZES.items()}))

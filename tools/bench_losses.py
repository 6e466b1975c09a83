"""Losses alone, forward and backward, at the article's sizes and a batch of 32: see `lab41_sce/article/timing.py`."""

import numpy as np
from bench import part_main

from lab41_sce.article.timing import FRAMES, SPEAKERS, loss_steps, measure_seconds


def measure(rows, quick: bool) -> None:
    """Time each loss, in turns."""
    batch = 2 if quick else 32
    steps = loss_steps(batch, FRAMES, SPEAKERS)
    for step in steps.values():
        step()
    for system, taken in measure_seconds(steps, 1 if quick else 20).items():
        rows.add(f"loss of {system.replace('_', ' ')}, {batch} x {FRAMES} frames", 1e3 * np.median(taken), "ms")


if __name__ == "__main__":
    part_main(measure)

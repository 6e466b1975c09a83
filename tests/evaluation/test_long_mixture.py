"""Perceptual scores of a long mixture are means over the blocks in which a reference speaks."""

import numpy as np
import pytest

from lab41_sce.evaluation import long_mixture
from lab41_sce.evaluation.long_mixture import add_blocks, score_long_mixture


def test_blocks_without_speech_of_a_reference_do_not_count(monkeypatch):
    """The perceptual score of this test is the gain of the estimate, 1, 2 and 3 in the three blocks."""
    monkeypatch.setattr(long_mixture, "perceptual_scores", lambda references, estimates, rate_hz, metrics: {
        "STOI": estimates.std(axis=1) / references.std(axis=1)})
    rng, blocks = np.random.default_rng(0), []
    for gain, levels in ((1, [1, 1]), (2, [1, 1]), (3, [1e-3, 1])):  # the first reference is silent in the third block
        references = rng.standard_normal((2, 1000)) * np.array(levels)[:, None]
        blocks.append(np.stack([references.sum(axis=0), *references, *gain * references[::-1]]))
    correlations = add_blocks(lambda: iter(blocks), 2)
    scores = score_long_mixture(lambda: iter(blocks), 2, correlations, ["STOI"], 8000)
    assert [*scores] == ["STOI", "STOIi"] and scores["STOI"] == pytest.approx((1.5 + 2) / 2)

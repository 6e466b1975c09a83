"""Sums of products over blocks give the ratios of the whole signals."""

import numpy as np
import pytest
from test_metrics import make_estimates, make_sources

from lab41_sce.evaluation.correlations import Correlations
from lab41_sce.evaluation.metrics import best_bss_eval, best_si_sdr


def added(signals, n_references, block=3001):
    """Add up signals [1 + S + E, N] in blocks."""
    correlations = Correlations(n_references, len(signals) - 1 - n_references)
    for start in range(0, signals.shape[1], block):
        correlations.add(signals[:, start : start + block])
    return correlations


def test_ratios_of_blocks_equal_those_of_whole_signals():
    sources = make_sources(0)
    estimates = make_estimates(sources, 1)
    mixture = sources.sum(axis=0) + 0.01
    correlations = added(np.stack([mixture, *sources, *estimates]), 2)
    for column, signals in (([0, 0], np.stack([mixture, mixture])), ([1, 2], estimates)):
        found = [ratios[[0, 1], column] for ratios in (*correlations.bss_eval(), correlations.si_sdr())]
        expected = [*best_bss_eval(sources, signals, in_order=True), best_si_sdr(sources, signals)]
        np.testing.assert_allclose(found, expected, atol=1e-6)


def test_perfect_estimates_reach_the_limit():
    sources = make_sources(0)
    correlations = added(np.stack([sources.sum(axis=0), *sources, *sources]), 2)
    for ratios in (*correlations.bss_eval(), correlations.si_sdr()):
        np.testing.assert_allclose(ratios[[0, 1], [1, 2]], [100, 100], atol=1e-6)


@pytest.mark.parametrize("offset", [0.0, 0.5])
def test_silence_copies_and_the_mixture_itself_are_recognised(offset):
    sources = make_sources(0)
    mixture = sources.sum(axis=0)
    signals = np.stack([mixture, *sources, np.full_like(mixture, offset), mixture * (1 + 1e-7)])
    correlations = added(signals, 2)
    np.testing.assert_array_equal(correlations.silent(), [False] * 3 + [True, False])
    np.testing.assert_array_equal(correlations.equals_mixture(), [False, True])
    assert correlations.mixture_is_sum() and not correlations.has_copies()
    signals[2] = -0.5 * signals[1]
    copies = added(signals, 2)
    assert copies.has_copies() and not copies.mixture_is_sum()

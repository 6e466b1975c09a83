"""A long mixture, its references and its estimates, read in blocks `[1 + S + E, n]`, become the scores of the whole.

SDR, SIR, SAR and SI-SDR are those of the whole signals (`correlations.py`). The perceptual metrics are means over the
blocks in which the reference is at most 40 dB below its loudest block, the range in which STOI looks for speech.
"""

import warnings
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from lab41_sce.evaluation.correlations import Correlations
from lab41_sce.evaluation.definitions import ENERGY_METRICS, PERCEPTUAL_METRICS, with_improvements
from lab41_sce.evaluation.metrics import LIMIT_DB, best_pairs, white_noise
from lab41_sce.evaluation.perceptual import perceptual_scores

Blocks = Callable[[], Iterator[np.ndarray]]
SPEECH_RANGE_DB = 40.0


def add_blocks(blocks: Blocks, n_references: int) -> Correlations:
    """Add up the products of all blocks `[1 + S + E, n]`."""
    total: Correlations | None = None
    for block in blocks():
        total = total or Correlations(n_references, len(block) - 1 - n_references)
        total.add(block)
    assert total is not None  # a file has samples
    return total


def replace_silence(blocks: Blocks, silent: np.ndarray) -> Blocks:
    """Replace signals by white noise.

    Args:
        blocks: of all signals.
        silent: the signals to replace, bool `[1 + S + E]`.
    """
    def replaced() -> Iterator[np.ndarray]:
        generator = white_noise()
        for block in blocks():
            yield np.where(silent[:, None], generator.standard_normal(block.shape), block)

    return replaced


def score_long_mixture(blocks: Blocks, n_references: int, correlations: Correlations, metrics: Sequence[str],
                       sample_rate_hz: int) -> dict[str, float]:
    """Score the estimates of a long mixture; with another number of estimates than references, the best subset.

    Args:
        blocks: mixture, references and estimates, none of them silent.
        n_references: S.
        correlations: of these blocks.
        metrics: those of `definitions.ALL_METRICS` to compute.
        sample_rate_hz: of the blocks.

    Returns:
        Mean over the references that have an estimate, by metric and improvement. All values are NaN if a reference is
        a filtered copy of another.
    """
    ratios_db = {"SI-SDR": correlations.si_sdr()} | dict(zip(ENERGY_METRICS, correlations.bss_eval()))
    if correlations.has_copies() or np.isnan(ratios_db["SDR"]).any():
        return dict.fromkeys(with_improvements(metrics), np.nan)
    same, n_estimates = correlations.equals_mixture().all(), len(ratios_db["SDR"][0]) - 1
    by_si_sdr = best_pairs(ratios_db["SI-SDR"][:, 1:])
    by_sir = best_pairs(ratios_db["SIR"][:, 1:]) if n_estimates == n_references else by_si_sdr
    scores: dict[str, tuple[float, float]] = {}  # of the estimates and of the mixture
    for metric in ENERGY_METRICS:
        references, estimates = by_si_sdr if metric == "SI-SDR" else by_sir
        baseline = ratios_db[metric][references, 0]
        if metric == "SAR" and correlations.mixture_is_sum():
            baseline = np.full(len(references), LIMIT_DB)
        found = baseline if same else ratios_db[metric][references, 1 + estimates]
        scores[metric] = float(found.mean()), float(baseline.mean())
    scores |= _perceptual(blocks, n_references, by_si_sdr, metrics, sample_rate_hz)
    return {name: value for metric, (value, baseline) in scores.items() if metric in metrics
            for name, value in ((metric, value), (f"{metric}i", value - baseline))}


def _perceptual(blocks: Blocks, n_references: int, pairs: tuple[np.ndarray, np.ndarray], metrics: Sequence[str],
                sample_rate_hz: int) -> dict[str, tuple[float, float]]:
    """Average the perceptual metrics of estimates and of the mixture over the blocks with speech."""
    wanted = [metric for metric in PERCEPTUAL_METRICS if metric in metrics]
    if not wanted:
        return {}
    levels, values = [], []
    for block in blocks():
        references, estimates = block[1 + pairs[0]], block[1 + n_references + pairs[1]]
        of_both = [perceptual_scores(references, signals, sample_rate_hz, wanted)
                   for signals in (estimates, np.broadcast_to(block[0], references.shape))]
        values.append([[scores[metric] for metric in wanted] for scores in of_both])  # [2, metrics, pairs]
        levels.append(references.std(axis=1))
    loud = np.array(levels) >= 10 ** (-SPEECH_RANGE_DB / 20) * np.max(levels, axis=0)  # [blocks, pairs]
    table = np.where(loud[:, None, None], values, np.nan)  # [blocks, 2, metrics, pairs]
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Mean of empty slice", RuntimeWarning)  # no block with speech: NaN
        means = np.nanmean(np.nanmean(table, axis=0), axis=-1)
    return {metric: (float(means[0, place]), float(means[1, place])) for place, metric in enumerate(wanted)}

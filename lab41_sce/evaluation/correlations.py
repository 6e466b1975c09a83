"""Blocks of a long mixture, its references and its estimates become SDR, SIR, SAR and SI-SDR of the whole signals.

    blocks [1 + S + E, n] of mixture, references, estimates
        -> sums of products of the signals, at lags of 0 to 511 samples
        -> ratios of each reference to the mixture and to each estimate, [S, 1 + E] in dB

The projection of an estimate onto filtered references depends on these sums only (Scheibler 2022, arXiv 2110.06440), so
the ratios are those of the whole signals, and memory does not grow with their length.
"""

import numpy as np
from scipy.fft import irfft, next_fast_len, rfft

from lab41_sce.evaluation.bss_eval import TAPS, distortion_filters
from lab41_sce.evaluation.metrics import COPY_TOLERANCE, LIMIT_DB, SILENCE_DB


class Correlations:
    """Add up products of signals, block by block.

    Args:
        n_references: S.
        n_estimates: E.

    Attributes:
        n_samples: N, the samples so far.
    """

    def __init__(self, n_references: int, n_estimates: int):
        n_signals = 1 + n_references + n_estimates
        self._references = slice(1, 1 + n_references)
        self._others = np.r_[0, 1 + n_references : n_signals]  # the mixture and the estimates
        self.n_samples = 0
        self._past = np.zeros((n_references, TAPS - 1))
        self._sums, self._products = np.zeros(n_signals), np.zeros((n_signals, n_signals))
        self._lagged = np.zeros((n_signals, n_references, TAPS))  # sum over t of signal[t] reference[t - lag]
        self._lows, self._highs = np.full(n_signals, np.inf), np.full(n_signals, -np.inf)
        self._rest_peak, self._rest_energy = 0.0, 0.0  # of the mixture minus its references
        self._differences = np.zeros(n_estimates)  # largest distance between estimate and mixture

    def add(self, block: np.ndarray) -> None:
        """Add the next samples of all signals, float `[1 + S + E, n]`: mixture, references, estimates."""
        block = np.asarray(block, np.float64)
        references = block[self._references]
        delayed = np.concatenate([self._past, references], axis=1)
        size = next_fast_len(delayed.shape[1], real=True)
        spectra, delayed_spectra = rfft(block, size), rfft(delayed, size)
        for signal, spectrum in enumerate(spectra):
            self._lagged[signal] += irfft(spectrum.conj() * delayed_spectra, size)[:, :TAPS][:, ::-1]
        self._past = delayed[:, -(TAPS - 1):]
        self.n_samples += block.shape[1]
        self._sums += block.sum(axis=1)
        self._products += block @ block.T
        self._lows, self._highs = np.minimum(self._lows, block.min(axis=1)), np.maximum(self._highs, block.max(axis=1))
        rest = block[0] - references.sum(axis=0)
        self._rest_peak = max(self._rest_peak, float(np.abs(rest).max()))
        self._rest_energy += float(np.sum(rest**2))
        estimates = block[self._references.stop :]
        self._differences = np.maximum(self._differences, np.abs(estimates - block[0]).max(axis=1))

    @property
    def _covariances(self) -> np.ndarray:
        """Return the covariances of all signals."""
        means = self._sums / self.n_samples
        return self._products / self.n_samples - np.outer(means, means)

    def silent(self) -> np.ndarray:
        """Mark the signals that are constant or more than 200 dB below the mixture, bool `[1 + S + E]`."""
        powers = np.diag(self._covariances)
        return (self._highs == self._lows) | (powers <= 10 ** (SILENCE_DB / 10) * powers[0])

    def has_copies(self) -> bool:
        """Return whether a reference is a copy of another one, at any level, to within 60 dB."""
        covariances = self._covariances[self._references, self._references]
        deviations = np.sqrt(np.diag(covariances))
        correlations = np.abs(covariances / np.outer(deviations, deviations)) - np.eye(len(deviations))
        return bool((correlations > 1 - COPY_TOLERANCE).any())

    def mixture_is_sum(self) -> bool:
        """Return whether the mixture is the sum of the references, each of them in a file of 16 bits or more."""
        peak = max(abs(self._lows[0]), abs(self._highs[0]), 1.0)
        steps = (self._references.stop) * peak / 2**15
        deviation = np.sqrt(self._rest_energy / self.n_samples)
        return bool(self._rest_peak <= steps and deviation <= 0.01 * np.sqrt(self._covariances[0, 0]))

    def equals_mixture(self) -> np.ndarray:
        """Mark the estimates that equal the mixture within 1e-5 of its peak, bool `[E]`."""
        return self._differences <= 1e-5 * max(abs(self._lows[0]), abs(self._highs[0]))

    def si_sdr(self) -> np.ndarray:
        """Compute SI-SDR of each reference to the mixture and to each estimate, `[S, 1 + E]` in dB."""
        covariances = self._covariances
        energies = np.diag(covariances)
        shared = covariances[self._references][:, self._others] ** 2 / energies[self._references, None]
        return _decibels(shared, energies[self._others] - shared)

    def bss_eval(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Compute SDR, SIR and SAR of each reference to the mixture and to each estimate.

        Returns:
            Three arrays `[S, 1 + E]` in dB; NaN if the equations of the distortion filters have no solution.
        """
        shared = self._lagged[self._others]  # [1 + E, S, TAPS]
        energies = np.diag(self._products)[self._others]
        try:
            of_all, of_each = distortion_filters(self._lagged[self._references], shared)
        except np.linalg.LinAlgError:
            unsolved = np.full(shared.shape[1::-1], np.nan)
            return unsolved, unsolved, unsolved
        together = np.sum(shared * of_all, axis=(1, 2))  # energies of the projections onto all references
        targets = np.sum(shared * of_each, axis=2).T  # [S, 1 + E], onto one reference
        sar = np.broadcast_to(_decibels(together, energies - together), targets.shape)
        return _decibels(targets, energies - targets), _decibels(targets, together - targets), sar


def _decibels(wanted: np.ndarray, unwanted: np.ndarray) -> np.ndarray:
    """Return the ratio of two energies in dB, limited; rounding errors can make an energy of zero negative."""
    with np.errstate(divide="ignore", invalid="ignore"):
        ratios_db = 10 * np.log10(np.maximum(wanted, 0) / np.maximum(unwanted, 0))
    return np.clip(np.nan_to_num(ratios_db, nan=-LIMIT_DB), -LIMIT_DB, LIMIT_DB)

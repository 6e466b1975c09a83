"""References and estimates become SDR, SIR and SAR of BSS Eval 3 (Vincent et al. 2006), for every pair of them.

    references [S, N], estimates [E, N]
        -> Gram matrices of the references, each delayed by 0 to 511 samples: of all together and of each
        -> filters [S, 512, E] that project the estimates onto the delayed references
        -> SDR, SIR, SAR, each [S, E]

`mir_eval` is the judge. It builds and solves the equations anew for each pair of a reference and an estimate;
`bss_eval` solves those of the references once, for the estimates of all systems together. `judged_bss_eval` has
`mir_eval` score some pairs of every mixture, and all pairs where the two differ. They differ where the references have
no energy in a band: there the equations have almost no unique solution, and rounding decides.
"""

import warnings

import numpy as np
from mir_eval import separation
from scipy.fft import irfft, next_fast_len, rfft
from scipy.linalg import toeplitz

TAPS = 512  # of the distortion filter, as in mir_eval
TOLERANCE_DB = 1e-3
LARGEST_DB = 60.0  # above it, rounding of the samples decides


def judged_bss_eval(references: np.ndarray, estimates: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Compute SDR, SIR and SAR of every pair as `mir_eval` does; see `bss_eval` for arguments, results and errors.

    `mir_eval` scores the last S estimates, each with one reference. All pairs are computed by it if one of these ratios
    differs by more than 0.001 dB (ratios above 60 dB are not compared).
    """
    ratios_db = np.stack(bss_eval(references, estimates))
    rows = np.arange(len(references))
    columns = (rows - len(references)) % len(estimates)
    judged, found = mir_eval_pairs(references, estimates[columns]), ratios_db[:, rows, columns]
    agree = (np.abs(found - judged) <= TOLERANCE_DB) | (np.minimum(found, judged) > LARGEST_DB)
    if not agree.all():
        repeated = [mir_eval_pairs(references, np.repeat(estimate[None], len(references), axis=0))
                    for estimate in estimates]
        ratios_db = np.stack(repeated, axis=-1)
    sdr, sir, sar = ratios_db
    return sdr, sir, sar


def mir_eval_pairs(references: np.ndarray, estimates: np.ndarray) -> np.ndarray:
    """Let `mir_eval` compute SDR, SIR and SAR of each reference `[S, N]` and the estimate in its row: `[3, S]`."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # mir_eval 0.8 announces that the module will be removed
        return np.stack(separation.bss_eval_sources(references, estimates, compute_permutation=False)[:3])


def bss_eval(references: np.ndarray, estimates: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Compute SDR, SIR and SAR of every pair of a reference and an estimate.

    Args:
        references: true sources, float `[S, N]`, none of them all zero.
        estimates: separated signals, float `[E, N]`.

    Returns:
        SDR, SIR and SAR, each float64 `[S, E]` in dB; infinite where an error is exactly zero.

    Raises:
        np.linalg.LinAlgError: the equations have no unique solution.
    """
    references, estimates = np.asarray(references, np.float64), np.asarray(estimates, np.float64)
    n_samples = references.shape[1] + TAPS - 1  # of a filtered reference
    size = next_fast_len(n_samples, real=True)
    spectra, estimate_spectra = rfft(references, size), rfft(estimates, size)

    def lagged(one: np.ndarray) -> np.ndarray:
        """Compute the products of one signal and the references delayed by 0 to 511 samples, [S, TAPS]."""
        return irfft(one * spectra.conj(), size)[:, :TAPS]

    def filtered(filters: np.ndarray, of: slice) -> np.ndarray:
        """Add up references that pass through their filters [S, TAPS], [N + TAPS - 1]."""
        return irfft((rfft(filters, size) * spectra[of]).sum(axis=0), size)[:n_samples]

    of_all, of_each = distortion_filters(np.stack([*map(lagged, spectra)]), np.stack([*map(lagged, estimate_spectra)]))
    sdr, sir, sar = (np.empty((len(references), len(estimates))) for _ in range(3))
    for column, estimate in enumerate(np.pad(estimates, ((0, 0), (0, TAPS - 1)))):
        projection = filtered(of_all[column], slice(None))
        sar[:, column] = _ratio_db(projection, estimate - projection)
        for row in range(len(references)):
            target = filtered(of_each[column, row : row + 1], slice(row, row + 1))
            sdr[row, column] = _ratio_db(target, estimate - target)
            sir[row, column] = _ratio_db(target, projection - target)
    return sdr, sir, sar


def distortion_filters(among: np.ndarray, shared: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Solve for the filters whose outputs, from the references, are nearest to each estimate.

    Args:
        among: `[S, S, TAPS]`, sums over n of `reference_i[n] reference_j[n - lag]`.
        shared: `[E, S, TAPS]`, sums over n of `estimate[n] reference_j[n - lag]`.

    Returns:
        The filters for all references together, and those for each reference alone, both `[E, S, TAPS]`.

    Raises:
        np.linalg.LinAlgError: the equations have no unique solution.
    """
    n_references = len(among)
    gram = np.block([[toeplitz(among[column, row], among[row, column]) for column in range(n_references)]
                     for row in range(n_references)])
    of_all = np.linalg.solve(gram, shared.reshape(len(shared), -1).T).T.reshape(shared.shape)
    parts = [slice(row * TAPS, (row + 1) * TAPS) for row in range(n_references)]
    of_each = [np.linalg.solve(gram[part, part], shared[:, row].T).T for row, part in enumerate(parts)]
    return of_all, np.stack(of_each, axis=1)


def _ratio_db(wanted: np.ndarray, unwanted: np.ndarray) -> float:
    """Return the ratio of the energies of two signals in dB."""
    with np.errstate(divide="ignore"):
        return 10 * np.log10(np.sum(wanted**2) / np.sum(unwanted**2))

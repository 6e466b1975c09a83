"""Non-negative matrix factorisation (NMF): the magnitudes of a mixture `[T, F]` are a sum of few spectra over time.

NMF factorises `|X| ~ W H` into activations W `[T, J]` times components H `[J, F]`, here by the multiplicative updates
of the Kullback-Leibler divergence (Lee and Seung, NIPS 2000; speech: Smaragdis, 2007). Once each component belongs to a
speaker, the mask of a speaker in a bin is the share of the speaker's components in W H. The two systems differ in how
components find their speakers:

- `supervised` learns components from each speaker's training utterances, and receives the speakers of a mixture;
- `blind` uses the mixture alone, and groups its components by pitch. The pitches of real voices overlap, so it
  separates little. Grouping by timbre (mel-frequency cepstra, Spiertz and Gnann, DAFx 2009) gave less on speech.

Both stop after a fixed number of updates: many more updates fit the magnitudes better and separate worse.
"""

import numpy as np
from sklearn.cluster import KMeans
from sklearn.decomposition import NMF, non_negative_factorization

from lab41_sce.data.mixture import Mixture
from lab41_sce.errors import UserError
from lab41_sce.methods.base import Setup, System

MIN_PITCH_HZ, MAX_PITCH_HZ = 80.0, 300.0  # of voices


def supervised(setup: Setup, *, n_components: int, beta_loss: str, max_iter: int, seed: int) -> System:
    """Build the system that knows its training speakers; `experiments/method/nmf_supervised.yaml` has the defaults.

    Args:
        setup: a `Setup` with `speech` and `utterances`. The components of a speaker are learnt when the speaker is
            first in a mixture.
        n_components: spectra for each speaker.
        beta_loss: divergence to minimise: "kullback-leibler" or "frobenius".
        max_iter: updates, both to learn a speaker and to separate.
        seed: of the initial factors.

    Returns:
        A function of a `Mixture` that returns masks, float32 `[S, T, F]`, in the order of its speakers; they sum to
        one over S. It raises UserError if a speaker of the mixture has no training utterance.
    """
    assert setup.speech is not None and setup.utterances is not None
    speech, utterances = setup.speech, setup.utterances.groupby("speaker")["utterance"].apply(list).to_dict()
    options = {"solver": "mu", "beta_loss": beta_loss, "max_iter": max_iter, "tol": 0.0}
    learnt: dict[str, np.ndarray] = {}

    def components(speaker: str) -> np.ndarray:  # [J, F]
        if speaker not in learnt:
            frames = np.concatenate([_magnitudes(setup, speech.excerpt(name, 0, speech.length(name)))
                                     for name in utterances[speaker]])
            spectra = NMF(n_components, init="random", random_state=seed, **options).fit(frames).components_
            learnt[speaker] = spectra / np.maximum(spectra.sum(axis=1, keepdims=True), 1e-12)
        return learnt[speaker]

    def masks(mixture: Mixture) -> np.ndarray:
        if not mixture.speakers or not utterances.keys() >= set(mixture.speakers):
            raise UserError(f"supervised factorisation needs mixtures of speakers with training utterances, got "
                            f"{mixture.speakers}; score it in-set only.")
        spectra = np.concatenate([components(speaker) for speaker in mixture.speakers])  # [S J, F]
        activations, _, _ = non_negative_factorization(_magnitudes(setup, mixture.signal), H=spectra, update_H=False,
                                                       n_components=len(spectra), **options)
        owners = np.repeat(np.arange(mixture.n_speakers), n_components)
        return _ratio_masks(activations, spectra, owners, mixture.n_speakers)

    return masks


def blind(setup: Setup, *, n_components: int, max_iter: int, power: float, seed: int) -> System:
    """Build the system that groups components by pitch; `experiments/method/nmf_blind.yaml` has the defaults.

    Args:
        setup: only its front end is used.
        n_components: spectra for each mixture.
        max_iter: updates.
        power: exponent of the speakers' magnitudes in the masks. Below 1 the masks are softer, so that a component in
            the wrong group does less harm.
        seed: of the initial factors and of k-means.

    Returns:
        A function of a `Mixture` that returns masks, float32 `[S, T, F]`, in arbitrary but repeatable order; they sum
        to one over S.
    """

    def masks(mixture: Mixture) -> np.ndarray:
        factorisation = NMF(n_components, init="random", solver="mu", beta_loss="kullback-leibler",
                            max_iter=max_iter, tol=0.0, random_state=seed)
        activations = factorisation.fit_transform(_magnitudes(setup, mixture.signal))
        spectra = factorisation.components_
        log_periods = _log_periods(spectra, setup.front_end.sample_rate_hz)
        owners = KMeans(mixture.n_speakers, n_init=10, random_state=seed).fit_predict(log_periods[:, None])
        return _ratio_masks(activations, spectra, owners, mixture.n_speakers, power)

    return masks


def _magnitudes(setup: Setup, signal: np.ndarray) -> np.ndarray:
    """Compute the magnitudes of a signal `[N]`: float32 `[T, F]`."""
    return np.abs(setup.front_end.spectrogram(signal))


def _log_periods(spectra: np.ndarray, sample_rate_hz: int) -> np.ndarray:
    """Estimate the log pitch periods `[J]` of magnitude spectra `[J, F]` from the peaks of their inverse transforms."""
    shortest, longest = int(sample_rate_hz / MAX_PITCH_HZ), int(sample_rate_hz / MIN_PITCH_HZ)
    return np.log(shortest + np.fft.irfft(spectra)[:, shortest : longest + 1].argmax(axis=1))


def _ratio_masks(activations: np.ndarray, spectra: np.ndarray, owners: np.ndarray, n_speakers: int,
                 power: float = 1.0) -> np.ndarray:
    """Turn activations `[T, J]`, spectra `[J, F]` and each component's speaker `[J]` into masks `[S, T, F]`."""
    shares = np.stack([activations[:, owners == speaker] @ spectra[owners == speaker]
                       for speaker in range(n_speakers)])
    shares = shares**power + 1e-12  # silence is divided evenly
    return (shares / shares.sum(axis=0)).astype(np.float32)

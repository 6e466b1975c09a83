"""A mixture's magnitudes `[T, F]` are a sum of few spectra, each with its activation over time: masks by factorisation.

Non-negative matrix factorisation writes `|X| ~ W H`, activations `[T, J]` times components `[J, F]`, here by the
multiplicative updates of the Kullback-Leibler divergence (Lee & Seung 2001; speech: Smaragdis 2007). Once every
component belongs to a speaker, each speaker has a share of W H in every bin: the masks. How the components find their
speakers is what differs:

- `supervised` learns components from each speaker's training utterances, and is told who talks in a mixture;
- `blind` knows the mixture alone and groups its components by pitch. Real voices overlap in pitch, so expect little;
  grouping by timbre (mel-frequency cepstra, Spiertz & Gnann, DAFx 2009) gave less on speech.

Both stop after a fixed number of updates: many more fit the magnitudes better and separate worse.
"""

import numpy as np
from sklearn.cluster import KMeans
from sklearn.decomposition import NMF, non_negative_factorization

from lab41_sce.errors import UserError

PITCHES_HZ = 80.0, 300.0  # of voices


def supervised(setup, n_components=20, beta_loss="kullback-leibler", max_iter=15, seed=0):
    """Build the system that knows the voices of its training speakers and is told which of them talk.

    Args:
        setup: a `Setup` with `speech` and `utterances`; a speaker is learnt when first met.
        n_components: spectra for each speaker.
        beta_loss: divergence to minimise: "kullback-leibler" or "frobenius".
        max_iter: updates, in learning a speaker and in separating.
        seed: of the first guess.

    Returns:
        A function of a `Mixture` that returns masks, float32 `[S, T, F]`, in the order of its speakers; they sum to
        one over S. It raises UserError if a speaker of the mixture has no training utterance.
    """
    options = {"solver": "mu", "beta_loss": beta_loss, "max_iter": max_iter, "tol": 0.0}
    names = setup.utterances.groupby("speaker")["utterance"].apply(list).to_dict()
    learnt = {}

    def components(speaker):
        if speaker not in learnt:
            frames = np.concatenate([_levels(setup, setup.speech.excerpt(name, 0, setup.speech.length(name)))
                                     for name in names[speaker]])
            spectra = NMF(n_components, init="random", random_state=seed, **options).fit(frames).components_
            learnt[speaker] = spectra / np.maximum(spectra.sum(axis=1, keepdims=True), 1e-12)
        return learnt[speaker]

    def masks(mixture):
        if not mixture.speakers or not names.keys() >= set(mixture.speakers):
            raise UserError(f"supervised factorisation needs mixtures of speakers with training utterances, got "
                            f"{mixture.speakers}; score it in-set only.")
        spectra = np.concatenate([components(speaker) for speaker in mixture.speakers])
        activations, _, _ = non_negative_factorization(_levels(setup, mixture.signal), H=spectra, update_H=False,
                                                       n_components=len(spectra), **options)
        return _ratio_masks(activations, spectra, np.repeat(np.arange(mixture.n_speakers), n_components),
                            mixture.n_speakers)

    return masks


def blind(setup, n_components=40, max_iter=50, power=0.33, seed=0):
    """Build the system that groups the components of a mixture by their pitch.

    Args:
        setup: a `Setup`.
        n_components: spectra for each mixture.
        max_iter: updates.
        power: of the speakers' magnitudes in the masks; below 1 the masks are softer, which forgives wrong groups.
        seed: of the first guesses.

    Returns:
        A function of a `Mixture` that returns masks, float32 `[S, T, F]`, in arbitrary but repeatable order; they sum
        to one over S.
    """

    def masks(mixture):
        factorisation = NMF(n_components, init="random", solver="mu", beta_loss="kullback-leibler",
                            max_iter=max_iter, tol=0.0, random_state=seed)
        activations = factorisation.fit_transform(_levels(setup, mixture.signal))
        spectra = factorisation.components_
        log_periods = _log_periods(spectra, setup.front_end.sample_rate_hz)
        groups = KMeans(mixture.n_speakers, n_init=10, random_state=seed).fit_predict(log_periods[:, None])
        return _ratio_masks(activations, spectra, groups, mixture.n_speakers, power)

    return masks


def _levels(setup, signal):
    """Compute the magnitudes of a signal `[N]`: float32 `[T, F]`."""
    return np.abs(setup.front_end.spectrogram(signal))


def _log_periods(spectra, rate_hz):
    """Estimate the periods of magnitude spectra `[J, F]` by the peaks of their inverse transforms: logarithms `[J]`."""
    shortest, longest = (int(rate_hz / pitch_hz) for pitch_hz in reversed(PITCHES_HZ))
    return np.log(shortest + np.fft.irfft(spectra)[:, shortest : longest + 1].argmax(axis=1))


def _ratio_masks(activations, spectra, owners, n_speakers, power=1.0):
    """Turn activations `[T, J]`, spectra `[J, F]` and each component's speaker `[J]` into masks `[S, T, F]`."""
    shares = np.stack([activations[:, owners == speaker] @ spectra[owners == speaker]
                       for speaker in range(n_speakers)])
    shares = shares**power + 1e-12  # silence is shared evenly
    return (shares / shares.sum(axis=0)).astype(np.float32)

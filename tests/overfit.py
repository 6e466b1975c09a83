"""Train a method on a single mixture until it must separate that one: shared by the tests of the methods."""

from dataclasses import replace
from functools import partial

import keras
import numpy as np
from conftest import hum

from lab41_sce.evaluation.metrics import best_si_sdr
from lab41_sce.methods.base import Setup
from lab41_sce.models.front_end import FrontEnd
from lab41_sce.models.networks import blstm
from lab41_sce.separation.chunked_inference import estimate_masks

PITCHES_HZ = (220, 110, 160)


def tiny_setup(n_speakers=2, units=16):
    """Return a setup of the article's front end and network, with one small layer."""
    return Setup(FrontEnd(), partial(blstm, n_layers=1, units=units), n_speakers, tuple("ABC"[:n_speakers]))


def voices(n_speakers=2, seconds=1.0, seed=0):
    """Return sources of different pitch at 10 kHz, float32 [S, N]."""
    rng = np.random.default_rng(seed)
    return np.stack([hum(pitch, seconds, 10000, rng) for pitch in PITCHES_HZ[:n_speakers]])


def overfit(build, n_speakers=2, updates=100, learning_rate=0.01, network=None, **options):
    """Train a method on one mixture of made-up voices, then separate that mixture.

    Args:
        build: function of a `Setup` and the options that returns a `Method`.
        n_speakers: S, 2 or 3.
        updates: of Adam.
        learning_rate: of Adam.
        network: as in `Setup`; a small BLSTM if None.
        **options: of `build`.

    Returns:
        Mean SI-SDR in dB of the method, of the ideal binary mask and of the ideal ratio mask.
    """
    keras.utils.set_random_seed(0)
    setup = tiny_setup(n_speakers)
    setup = setup if network is None else replace(setup, network=network)
    sources = voices(n_speakers)
    method = build(setup, **options)
    method.compile(keras.optimizers.Adam(learning_rate))
    batch = {"sources": sources[None], "speaker_ids": np.arange(n_speakers, dtype=np.int32)[None]}
    for _ in range(updates):
        method.train_on_batch(batch)

    mixture = sources.sum(axis=0)
    levels = np.abs(setup.front_end.spectrogram(sources))

    def si_sdr(masks):
        estimates = setup.front_end.synthesise(setup.front_end.spectrogram(mixture) * masks, len(mixture))
        return best_si_sdr(sources, estimates).mean()

    binary, ratio = levels == levels.max(axis=0), levels / levels.sum(axis=0)
    return si_sdr(estimate_masks(method.model, mixture, n_speakers)), si_sdr(binary), si_sdr(ratio)

"""Train a method on a single mixture until it separates that mixture: shared by the tests of the methods."""

from collections.abc import Callable
from functools import partial

import keras
import numpy as np
from conftest import blstm, hum

from lab41_sce.evaluation.metrics import best_si_sdr
from lab41_sce.methods.base import Method, Setup
from lab41_sce.models.front_end import FrontEnd
from lab41_sce.separation.chunked_inference import estimate_masks

PITCHES_HZ = (220, 110, 160)


def tiny_setup(n_speakers: int = 2, units: int = 16) -> Setup:
    """Return a setup with the article's front end and its network with one small layer."""
    return Setup(FrontEnd(), partial(blstm, n_layers=1, units=units), n_speakers, tuple("ABC"[:n_speakers]))


def voices(n_speakers: int = 2, seconds: float = 1.0, seed: int = 0) -> np.ndarray:
    """Return synthetic sources of different pitch at 10 kHz, float32 `[S, N]`."""
    rng = np.random.default_rng(seed)
    return np.stack([hum(pitch, seconds, 10000, rng) for pitch in PITCHES_HZ[:n_speakers]])


def overfit(build: Callable[[Setup], Method], n_speakers: int = 2, updates: int = 100,
            learning_rate: float = 0.01) -> tuple[float, float, float]:
    """Train a method on one mixture of synthetic voices, then separate the same mixture.

    Args:
        build: maps a `Setup` to a `Method`.
        n_speakers: S, 2 or 3.
        updates: of Adam.
        learning_rate: of Adam.

    Returns:
        Mean SI-SDR in dB of the method, of the ideal binary mask and of the ideal ratio mask.
    """
    keras.utils.set_random_seed(0)
    setup, sources = tiny_setup(n_speakers), voices(n_speakers)
    method = build(setup)
    method.compile(keras.optimizers.Adam(learning_rate))
    batch = {"sources": sources[None], "speaker_ids": np.arange(n_speakers, dtype=np.int32)[None]}
    for _ in range(updates):
        method.train_on_batch(batch)

    mixture = sources.sum(axis=0)
    magnitudes = np.abs(setup.front_end.spectrogram(sources))

    def si_sdr(masks: np.ndarray) -> float:
        estimates = setup.front_end.synthesise(setup.front_end.spectrogram(mixture) * masks, len(mixture))
        return best_si_sdr(sources, estimates).mean()

    binary, ratio = magnitudes == magnitudes.max(axis=0), magnitudes / magnitudes.sum(axis=0)
    return si_sdr(estimate_masks(method.model, mixture, n_speakers)), si_sdr(binary), si_sdr(ratio)

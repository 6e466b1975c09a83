"""The loss of steered masks: its signal-to-noise ratio, absent speakers, and learning."""

import keras
import numpy as np
import pytest

from lab41_sce.methods.base import Setup
from lab41_sce.methods.steered_masks import SteeredMasks, build_refined, limited_snr_db
from lab41_sce.errors import UserError
from lab41_sce.models.band_split_model import BandSplitModel
from lab41_sce.models.front_end import FrontEnd


def steered_masks(front_end, embedding_loss_weight=0.5):
    keras.utils.set_random_seed(3)
    model = BandSplitModel(front_end, width=16, units=12, n_blocks=1, n_steered_blocks=1, frames_per_step=2,
                           embedding_size=8, hidden=24, training_dtype="float32", range_db=20.0, soft_scale=5.0)
    return SteeredMasks(model, 4, embedding_loss_weight=embedding_loss_weight, centroid_loss_weight=0.5,
                        loss_range_db=40.0, scale=5.0, speaker_lr_multiplier=10.0, kmeans_iterations=2,
                        max_snr_db=30.0)


def harmonic_batch(n_sources=2, n_samples=6000):
    """Return two steady voices with pitches of 110 and 190 Hz; further sources are silent."""
    time = np.arange(n_samples) / 10000
    sources = np.zeros((1, n_sources, n_samples), np.float32)
    for place, pitch_hz in enumerate((110, 190)):
        sources[0, place] = sum(np.sin(2 * np.pi * pitch_hz * k * time + k * k) for k in range(1, 20))
    return {"sources": sources, "speaker_ids": np.arange(n_sources, dtype=np.int32)[None]}


def test_snr_of_known_noise():
    target = np.ones((1, 100), np.float32)
    estimates = target + np.array([[0.1], [1.0], [0.0]], np.float32)
    ratios = np.asarray(limited_snr_db(np.repeat(target, 3, axis=0), estimates, 30.0))
    np.testing.assert_allclose(ratios, [10 * np.log10(1 / (0.01 + 0.001)), 10 * np.log10(1 / 1.001), 30.0], atol=1e-4)


def test_a_silent_source_changes_nothing():
    method = steered_masks(FrontEnd(), embedding_loss_weight=0.0)
    two, three = (float(method(harmonic_batch(n_sources))) for n_sources in (2, 3))
    assert two == pytest.approx(three, abs=1e-4)


@pytest.mark.slow
def test_it_learns_to_separate_two_harmonic_voices():
    method, batch = steered_masks(FrontEnd()), harmonic_batch()
    method.compile(optimizer=keras.optimizers.Adam(0.01))
    losses = [method.train_on_batch(batch) for _ in range(40)]
    sources = batch["sources"][0]
    masks = method.model.masks(sources.sum(axis=0), 2)
    estimates = method.model.front_end.synthesise(
        method.model.front_end.spectrogram(sources.sum(axis=0)) * masks, sources.shape[1])
    best = max(min(np.asarray(limited_snr_db(sources, estimates[order], 60.0))) for order in ([0, 1], [1, 0]))
    assert losses[-1] < losses[0] - 0.5 and best > 10.0


def test_an_embedder_with_another_front_end_is_refused(tiny_model, tmp_path):
    tiny_model.save(tmp_path / "model.keras")
    setup = Setup(FrontEnd(hop_length=128), None, 2)
    with pytest.raises(UserError, match="set front_end.hop_length=256"):
        build_refined(setup, embedder=str(tmp_path / "model.keras"), width=4, units=4, n_layers=1, frames_per_step=1,
                      bottleneck_rank=4, training_dtype="float32", dropout=0.0)

"""The loss of complex masks: its signal-to-noise ratio, absent speakers, agreement with separation, and learning."""

from functools import partial

import keras
import numpy as np
import pytest

from lab41_sce.errors import UserError
from lab41_sce.methods import complex_masks
from lab41_sce.methods.base import Setup
from lab41_sce.methods.complex_masks import build, limited_snr_db, to_signals
from lab41_sce.models.band_split import band_split_masks
from lab41_sce.models.embedding_model import EmbeddingModel
from lab41_sce.models.front_end import FrontEnd
from lab41_sce.models.mask_network import mask_network
from lab41_sce.models.networks import residual_blstm
from lab41_sce.separation.chunked_inference import estimate_masks

RNG = np.random.default_rng(6)
NETWORKS = {"unet": partial(mask_network, filters=[4, 6], width=8, hidden_width=8, dilations=[1, 2]),
            "bands": partial(band_split_masks, band_bins=8, width=8, hidden_width=8, dilations=[1, 2])}
OPTIONS = {"network": NETWORKS["unet"], "kmeans_iterations": 2, "leaves_rest": False, "max_snr_db": 30.0}


@pytest.fixture(params=NETWORKS)
def method(request, tiny_model, tmp_path):
    tiny_model.soft_scale = 4.0
    tiny_model.save(tmp_path / "model.keras")
    keras.utils.set_random_seed(3)
    return build(Setup(tiny_model.front_end, None, 2), embedder=str(tmp_path / "model.keras"),
                 **OPTIONS | {"network": NETWORKS[request.param]})


def harmonic_batch(n_sources=2, n_samples=6000):
    """Return two steady voices with pitches of 110 and 190 Hz; further sources are silent."""
    time = np.arange(n_samples) / 10000
    sources = np.zeros((1, n_sources, n_samples), np.float32)
    for place, pitch_hz in enumerate((110, 190)):
        sources[0, place] = sum(np.sin(2 * np.pi * pitch_hz * k * time + k * k) for k in range(1, 20))
    return {"sources": sources, "speaker_ids": np.arange(n_sources, dtype=np.int32)[None]}


def test_snr_of_known_noise():
    target = RNG.standard_normal(4000).astype(np.float32)
    noise = RNG.standard_normal(4000).astype(np.float32)
    noise *= np.linalg.norm(target) / np.linalg.norm(noise)
    estimates = target + np.array([[0.1], [1.0], [0.0]], np.float32) * noise
    found = np.asarray(limited_snr_db(np.stack([target] * 3), estimates, 30.0))
    np.testing.assert_allclose(found, [10 * np.log10(1 / (0.01 + 0.001)), 10 * np.log10(1 / 1.001), 30.0], atol=0.01)


def test_the_snr_is_that_of_signals_without_pre_emphasis():
    clean, noise = np.cumsum(RNG.standard_normal((2, 8000)), axis=1).astype(np.float32)
    clean, noise = (signal - np.linspace(signal[0], signal[-1], 8000) for signal in (clean, noise))
    emphasised = [np.append(signal[:1], signal[1:] - 0.95 * signal[:-1]).astype(np.float32)
                  for signal in (clean, clean + noise)]
    found = float(limited_snr_db(emphasised[0][None], emphasised[1][None], 60.0, pre_emphasis=0.95)[0])
    assert found == pytest.approx(10 * np.log10(np.sum(clean**2) / np.sum(noise**2)), abs=0.05)


def test_signals_are_those_of_the_synthesis():
    front_end = FrontEnd(hop_length=128)
    signals = RNG.standard_normal((2, 5000)).astype(np.float32)
    found = np.asarray(to_signals(front_end, *front_end.analyse(signals), 5000))
    expected = signals - 0.95 * np.pad(signals, [(0, 0), (1, 0)])[:, :-1]
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_a_silent_source_changes_nothing(method):
    two, three = (float(method(harmonic_batch(n_sources))) for n_sources in (2, 3))
    assert two == pytest.approx(three, abs=1e-3)


def test_workers_divide_by_the_voices_of_all_of_them(method, monkeypatch):
    """A worker with one voice more than the mean of all workers has a larger loss than alone."""
    alone = float(method(harmonic_batch()))
    monkeypatch.setattr(complex_masks, "all_reduce_mean", lambda total: total - 1.0)
    assert float(method(harmonic_batch())) == pytest.approx(2.0 * alone, rel=1e-4)


def trains_the_masks_only(method):
    return {id(weights) for weights in method.trainable_variables} == {
        id(weights) for weights in method.model.mask_network.trainable_variables}


def test_the_embeddings_are_not_trained(method):
    assert trains_the_masks_only(method)


def test_the_embeddings_of_a_model_with_complex_masks_are_not_trained(tmp_path):
    front_end = FrontEnd()
    network = residual_blstm(front_end.n_bins, 2, n_layers=1, units=3, width=4, bottleneck_rank=2, dropout=0.0,
                             training_dtype="float32")
    network.trainable = False
    EmbeddingModel(front_end, network, soft_scale=4.0).save(tmp_path / "frozen.keras")
    assert trains_the_masks_only(build(Setup(front_end, None, 2), embedder=str(tmp_path / "frozen.keras"), **OPTIONS))


def test_training_and_separation_compute_the_same_masks(method):
    for number, weights in enumerate(method.model.mask_network.trainable_variables):
        weights.assign(weights + 0.2 * np.random.default_rng(number).standard_normal(weights.shape))
    mixture = harmonic_batch()["sources"][0].sum(axis=0)
    spectrogram = method.model.front_end.spectrogram(mixture)
    soft = RNG.random((2, *spectrogram.shape)).astype(np.float32)
    soft /= soft.sum(axis=0)
    real, imaginary = method.complex_masks(spectrogram.real[None], spectrogram.imag[None], soft[None],
                                           np.ones((1, 2), np.float32))
    found = np.asarray(real)[0] + 1j * np.asarray(imaginary)[0]
    np.testing.assert_allclose(found, method.model.final_masks(spectrogram, soft), atol=1e-4)


@pytest.mark.slow
def test_it_learns_to_separate_two_harmonic_voices(method):
    batch = harmonic_batch()
    method.compile(optimizer=keras.optimizers.Adam(0.003))
    losses = [method.train_on_batch(batch) for _ in range(120)]
    assert losses[-1] < losses[0] - 6.0
    masks = estimate_masks(method.model, batch["sources"][0].sum(axis=0), 2)
    assert masks.dtype == np.complex64
    np.testing.assert_allclose(masks.sum(axis=0), 1, atol=1e-4)


def test_an_embedder_with_another_front_end_is_refused(method, tmp_path):
    with pytest.raises(UserError, match="has another front end; set front_end.hop_length="):
        build(Setup(FrontEnd(hop_length=128), None, 2), embedder=str(tmp_path / "model.keras"), **OPTIONS)


def test_a_model_with_binary_masks_is_refused(tiny_model, tmp_path):
    tiny_model.soft_scale = None
    tiny_model.save(tmp_path / "model.keras")
    with pytest.raises(UserError, match="is no model with embeddings and soft masks"):
        build(Setup(tiny_model.front_end, None, 2), embedder=str(tmp_path / "model.keras"), **OPTIONS)



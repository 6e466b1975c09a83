"""Complex masks steered by embeddings: they sum to the mixture, follow the centroids, and survive saving."""

import keras
import numpy as np
import pytest

from lab41_sce.models.band_split_model import BandSplitModel
from lab41_sce.models.front_end import FrontEnd
from lab41_sce.models.loading import load_model
from lab41_sce.models.refined_model import RefinedModel

SIGNAL = np.random.default_rng(0).standard_normal(3000).astype(np.float32)


def band_split_model(front_end):
    return BandSplitModel(front_end, width=6, units=5, n_blocks=1, n_steered_blocks=1, frames_per_step=2,
                          embedding_size=4, hidden=7, training_dtype="float32", range_db=20.0, soft_scale=5.0)


@pytest.fixture(params=["refined", "band_split"])
def model(request, front_end, tiny_model):
    keras.utils.set_random_seed(2)
    if request.param == "band_split":
        return band_split_model(front_end)
    model = RefinedModel(tiny_model, width=6, units=5, n_layers=1, frames_per_step=2, bottleneck_rank=4,
                         training_dtype="float32", dropout=0.1)
    kernel = model.network.get_layer("dense").kernel
    kernel.assign(100 * kernel)  # as after training: the initial masks are nearly those of the embeddings
    return model


@pytest.mark.parametrize("n_speakers", [1, 2, 3])
def test_masks_sum_to_one(model, n_speakers):
    masks = model.masks(SIGNAL, n_speakers)
    assert masks.shape == (n_speakers, 13, 257) and masks.dtype == np.complex64
    assert np.abs(masks.sum(axis=0) - 1).max() < 1e-5


def test_two_speakers_get_different_complex_masks(model):
    masks = model.masks(SIGNAL, 2)
    assert np.abs(masks.imag).max() > 1e-3 and np.abs(masks[0] - masks[1]).mean() > 1e-3


def test_speakers_that_change_places_change_their_masks(model):
    real, imaginary = model.front_end.analyse(SIGNAL[None])
    features, vectors = model.analyse(real, imaginary)
    centroids = np.random.default_rng(1).normal(size=(1, 2, vectors.shape[-1])).astype(np.float32)
    one, other = (np.asarray(model.steer(features, real, imaginary, model.assign(vectors, places))[0])
                  for places in (centroids, centroids[:, ::-1]))
    np.testing.assert_allclose(one, other[:, ::-1], atol=1e-5)


def test_silence_is_divided_equally(model):
    masks = model.masks(np.zeros(3000, np.float32), 2)
    assert np.isfinite(masks).all() and np.abs(masks.sum(axis=0) - 1).max() < 1e-5


def test_a_quieter_mixture_has_the_same_masks(model):
    np.testing.assert_allclose(model.masks(SIGNAL / 64, 2), model.masks(SIGNAL, 2), atol=1e-4)


def test_a_saved_model_gives_the_same_masks(model, tmp_path):
    model.save(tmp_path / "model.keras")
    np.testing.assert_array_equal(load_model(tmp_path / "model.keras").masks(SIGNAL, 2), model.masks(SIGNAL, 2))


def test_embeddings_of_the_band_split_network_have_length_one(front_end):
    vectors = band_split_model(front_end).predict_on_batch({"mixtures": SIGNAL[None]})["embeddings"]
    assert vectors.shape == (1, 13, 257, 4)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=-1), 1, atol=1e-5)


@pytest.mark.parametrize("pre_emphasis", [0.0, 0.95])
def test_signals_come_back_from_their_spectrograms(pre_emphasis):
    front_end = FrontEnd(hop_length=128, pre_emphasis=pre_emphasis)
    signals = np.asarray(front_end.to_signals(*front_end.analyse(SIGNAL[None]), len(SIGNAL)))[0]
    assert np.abs(signals - SIGNAL).max() < (1e-5 if pre_emphasis == 0 else 0.02)

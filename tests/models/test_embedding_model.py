"""The embedding model: what separation asks of it."""

import keras
import numpy as np
import pytest
from conftest import blstm

from lab41_sce.models.embedding_model import EXCERPT_FRAMES, OWN_FRAMES, EmbeddingModel
from lab41_sce.models.front_end import FrontEnd


@pytest.mark.parametrize("n_frames", [1, 2, 7, 8])
@pytest.mark.parametrize("hop_reduction", [2, 3])
def test_each_phase_is_embedded_for_itself(tiny_model, n_frames, hop_reduction):
    rng = np.random.default_rng(0)
    features = rng.standard_normal((n_frames, 257)).astype(np.float32)
    model = EmbeddingModel(tiny_model.front_end, tiny_model.network, hop_reduction=hop_reduction)
    vectors = model.vectors(model.hidden(features), n_frames)
    assert vectors.shape == (n_frames, 257, 3)
    for phase in range(min(hop_reduction, n_frames)):
        own = features[phase::hop_reduction]
        padded = np.pad(own, [(0, -(-n_frames // hop_reduction) - len(own)), (0, 0)])  # as all phases are of one length
        alone = tiny_model.network.predict_on_batch(padded[None])[0, : len(own)]
        np.testing.assert_allclose(vectors[phase::hop_reduction], alone, atol=1e-6)


def test_waveforms_and_features_get_the_same_vectors(tiny_model, tmp_path):
    model = EmbeddingModel(FrontEnd(hop_length=128), tiny_model.network, unit_norm=True, hop_reduction=2)
    waveform = np.random.default_rng(0).standard_normal(5000).astype(np.float32)
    features = model.front_end(np.abs(model.front_end.spectrogram(waveform))[None])[0]
    hidden = model.hidden(features)
    np.testing.assert_allclose(model.embed(waveform), model.vectors(hidden, len(features)), atol=1e-5)
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    assert (again.hop_reduction, again.front_end.hop_length) == (2, 128)
    np.testing.assert_allclose(again.embed(waveform), model.embed(waveform), atol=1e-6)


def test_a_denser_model_gives_masks_that_fit_its_front_end(tiny_model):
    model = EmbeddingModel(FrontEnd(hop_length=128), tiny_model.network, unit_norm=True, hop_reduction=2)
    waveform = np.random.default_rng(0).standard_normal(5000).astype(np.float32)
    masks = model.masks(waveform, 2)
    assert masks.shape == (2, *model.front_end.spectrogram(waveform).shape)
    np.testing.assert_allclose(masks.sum(axis=0), 1, atol=1e-6)


@pytest.mark.parametrize("n_frames", [EXCERPT_FRAMES, EXCERPT_FRAMES + 1, 3 * OWN_FRAMES, 1000])
@pytest.mark.parametrize("hop_reduction", [1, 2])
def test_a_frame_is_heard_with_what_is_around_it_and_no_more(tiny_model, n_frames, hop_reduction):
    model = EmbeddingModel(tiny_model.front_end, tiny_model.network, hop_reduction=hop_reduction)
    features = np.random.default_rng(0).standard_normal((n_frames * hop_reduction, 257)).astype(np.float32)
    vectors = model.vectors(model.hidden(features), len(features))
    assert vectors.shape == (len(features), 257, 3)
    around = (EXCERPT_FRAMES - OWN_FRAMES) // 2
    for own in range(0, n_frames, OWN_FRAMES):
        start = min(max(own - around, 0), n_frames - EXCERPT_FRAMES)
        for phase in range(hop_reduction):
            excerpt = features[phase::hop_reduction][None, start : start + EXCERPT_FRAMES]
            alone = tiny_model.network.predict_on_batch(excerpt)[0]
            mine = vectors[phase::hop_reduction][own : own + OWN_FRAMES]
            np.testing.assert_allclose(mine, alone[own - start : own - start + len(mine)], atol=1e-6)


@pytest.mark.parametrize("bottleneck_rank", [None, 2])
@pytest.mark.parametrize("n_frames", [1, 4, 7])
def test_hidden_layers_and_the_last_one_make_the_network(n_frames, bottleneck_rank):
    features = np.random.default_rng(0).standard_normal((n_frames, 257)).astype(np.float32)
    model = EmbeddingModel(FrontEnd(), blstm(257, 3, n_layers=2, units=4, bottleneck_rank=bottleneck_rank))
    hidden = model.hidden(features)
    assert hidden[0].size <= 8 * n_frames  # not F * K
    expected = model.network.predict_on_batch(features[None])[0]
    np.testing.assert_allclose(model.vectors(hidden, n_frames), expected, atol=1e-6)


def test_a_network_of_somebodys_own_is_not_split():
    inputs = keras.Input((None, 257))
    outputs = keras.layers.Reshape((-1, 257, 2))(keras.layers.Dense(514, name="mine")(inputs))
    model = EmbeddingModel(FrontEnd(), keras.Model(inputs, outputs))
    features = np.random.default_rng(0).standard_normal((5, 257)).astype(np.float32)
    expected = model.network.predict_on_batch(features[None])[0]
    np.testing.assert_allclose(model.vectors(model.hidden(features), 5), expected, atol=1e-6)

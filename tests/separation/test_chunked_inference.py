"""Embeddings and masks of mixtures of any length, excerpt by excerpt."""

import keras
import numpy as np
import pytest
from conftest import blstm

from lab41_sce.models.embedding_model import EmbeddingModel
from lab41_sce.models.front_end import FrontEnd
from lab41_sce.models.networks import residual_blstm
from lab41_sce.separation.chunked_inference import (
    EXCERPT_FRAMES,
    OWN_FRAMES,
    embed,
    embeddings_of_hidden,
    estimate_masks,
    hidden_outputs,
)


@pytest.mark.parametrize("n_frames", [1, 2, 7, 8])
@pytest.mark.parametrize("hop_reduction", [2, 3])
def test_interleaved_sequences_are_embedded_separately(tiny_model, n_frames, hop_reduction):
    rng = np.random.default_rng(0)
    features = rng.standard_normal((n_frames, 257)).astype(np.float32)
    model = EmbeddingModel(tiny_model.front_end, tiny_model.network, hop_reduction=hop_reduction)
    embeddings = embeddings_of_hidden(model, hidden_outputs(model, features), n_frames)
    assert embeddings.shape == (n_frames, 257, 3)
    for sequence in range(min(hop_reduction, n_frames)):
        own = features[sequence::hop_reduction]
        length = -(-n_frames // hop_reduction)  # all sequences have the same length
        padded = np.pad(own, [(0, length - len(own)), (0, 0)])
        alone = tiny_model.network.predict_on_batch(padded[None])[0, : len(own)]
        np.testing.assert_allclose(embeddings[sequence::hop_reduction], alone, atol=1e-6)


def test_waveforms_and_features_have_the_same_embeddings(tiny_model, tmp_path):
    model = EmbeddingModel(FrontEnd(hop_length=128), tiny_model.network, unit_norm=True, hop_reduction=2)
    waveform = np.random.default_rng(0).standard_normal(5000).astype(np.float32)
    features = model.front_end(np.abs(model.front_end.spectrogram(waveform))[None])[0]
    hidden = hidden_outputs(model, features)
    np.testing.assert_allclose(embed(model, waveform), embeddings_of_hidden(model, hidden, len(features)), atol=1e-5)
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    assert (again.hop_reduction, again.front_end.hop_length) == (2, 128)
    np.testing.assert_allclose(embed(again, waveform), embed(model, waveform), atol=1e-6)


def test_masks_of_a_model_with_half_the_hop_have_the_frames_of_its_front_end(tiny_model):
    model = EmbeddingModel(FrontEnd(hop_length=128), tiny_model.network, unit_norm=True, hop_reduction=2)
    waveform = np.random.default_rng(0).standard_normal(5000).astype(np.float32)
    masks = estimate_masks(model, waveform, 2)
    assert masks.shape == (2, *model.front_end.spectrogram(waveform).shape)
    np.testing.assert_allclose(masks.sum(axis=0), 1, atol=1e-6)


@pytest.mark.parametrize("n_frames", [EXCERPT_FRAMES, EXCERPT_FRAMES + 1, 3 * OWN_FRAMES, 1000])
@pytest.mark.parametrize("hop_reduction", [1, 2])
def test_each_frame_is_embedded_with_its_excerpt_only(tiny_model, n_frames, hop_reduction):
    model = EmbeddingModel(tiny_model.front_end, tiny_model.network, hop_reduction=hop_reduction)
    features = np.random.default_rng(0).standard_normal((n_frames * hop_reduction, 257)).astype(np.float32)
    embeddings = embeddings_of_hidden(model, hidden_outputs(model, features), len(features))
    assert embeddings.shape == (len(features), 257, 3)
    around = (EXCERPT_FRAMES - OWN_FRAMES) // 2
    for own in range(0, n_frames, OWN_FRAMES):
        start = min(max(own - around, 0), n_frames - EXCERPT_FRAMES)
        for sequence in range(hop_reduction):
            excerpt = features[sequence::hop_reduction][None, start : start + EXCERPT_FRAMES]
            alone = tiny_model.network.predict_on_batch(excerpt)[0]
            mine = embeddings[sequence::hop_reduction][own : own + OWN_FRAMES]
            np.testing.assert_allclose(mine, alone[own - start : own - start + len(mine)], atol=1e-6)


@pytest.mark.parametrize("bottleneck_rank", [None, 2])
@pytest.mark.parametrize("n_frames", [1, 4, 7])
def test_hidden_layers_and_the_last_layer_are_the_network(n_frames, bottleneck_rank):
    features = np.random.default_rng(0).standard_normal((n_frames, 257)).astype(np.float32)
    model = EmbeddingModel(FrontEnd(), blstm(257, 3, n_layers=2, units=4, bottleneck_rank=bottleneck_rank))
    hidden = hidden_outputs(model, features)
    assert hidden[0].size <= 8 * n_frames  # not F * K
    expected = model.network.predict_on_batch(features[None])[0]
    np.testing.assert_allclose(embeddings_of_hidden(model, hidden, n_frames), expected, atol=1e-6)


def own_network(*layers):
    inputs = keras.Input((None, 257))
    hidden = inputs
    for layer in layers:
        hidden = layer(hidden)
    return keras.Model(inputs, keras.layers.Reshape((-1, 257, 2))(hidden))


@pytest.mark.parametrize("network", [
    own_network(keras.layers.Dense(514, name="mine")),
    own_network(keras.layers.Dense(6, name="first"), keras.layers.Dense(514, name="second")),
    residual_blstm(257, 2, n_layers=1, units=4, width=8, bottleneck_rank=None, training_dtype="float32", dropout=0.0),
    keras.Sequential([keras.Input((None, 257)), keras.layers.Dense(514), keras.layers.Reshape((-1, 257, 2))]),
], ids=["one layer", "two layers", "residual", "sequential"])
def test_any_network_can_be_used(network):
    model = EmbeddingModel(FrontEnd(), network)
    features = np.random.default_rng(0).standard_normal((5, 257)).astype(np.float32)
    expected = network.predict_on_batch(features[None])[0]
    hidden = hidden_outputs(model, features)
    np.testing.assert_allclose(embeddings_of_hidden(model, hidden, 5), expected, atol=1e-6)


def test_a_network_with_two_paths_to_its_output_is_not_split():
    inputs = keras.Input((None, 257))
    outputs = keras.layers.Dense(257)(keras.layers.Dense(4)(inputs)) + inputs
    network = keras.Model(inputs, keras.layers.Reshape((-1, 257, 1))(outputs))
    features = np.random.default_rng(0).standard_normal((5, 257)).astype(np.float32)
    model = EmbeddingModel(FrontEnd(), network)
    expected = network.predict_on_batch(features[None])[0]
    np.testing.assert_allclose(embeddings_of_hidden(model, hidden_outputs(model, features), 5), expected, atol=1e-6)


def test_the_last_layer_of_any_name_is_split_off():
    """Embeddings of selected frames equal those of all frames, and the hidden outputs are small."""
    network = own_network(keras.layers.Dense(6, name="first"), keras.layers.Dense(514, name="second"))
    model = EmbeddingModel(FrontEnd(), network)
    magnitudes = np.random.default_rng(0).random((2, 7, 257)).astype(np.float32)
    selected = model.embed_frames(magnitudes, lambda hidden: hidden[:, ::3])
    np.testing.assert_allclose(selected, model.embeddings(magnitudes)[:, ::3], atol=1e-6)
    assert hidden_outputs(model, magnitudes[0]).shape == (1, 7, 6)

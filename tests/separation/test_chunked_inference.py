"""Embeddings and masks of mixtures of any length, excerpt by excerpt."""

import keras
import numpy as np
import pytest
from conftest import blstm

from lab41_sce.audio.recording import Recording
from lab41_sce.audio.windows import Window
from lab41_sce.models.embedding_model import EmbeddingModel
from lab41_sce.models.front_end import FrontEnd
from lab41_sce.models.mask_estimation import EmbeddingMasks
from lab41_sce.models.networks import residual_blstm
from lab41_sce.models.numpy_front_end import NumpyFrontEnd
from lab41_sce.separation.chunked_inference import (
    EXCERPT_FRAMES,
    embed,
    embeddings_of_hidden,
    estimate_masks,
    hidden_of_window,
    hidden_outputs,
    plan_windows_of_excerpts,
)
from lab41_sce.separation.running_scaling import RunningScaling
from lab41_sce.separation.window_signals import WindowReader, own_frames


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


@pytest.mark.parametrize(("n_frames", "starts"), [
    (EXCERPT_FRAMES, [0]), (EXCERPT_FRAMES + 1, [0, 1]), (450, [0, 200]), (451, [0, 200, 201]),
    (1000, [0, 200, 400, 600, 750])])
@pytest.mark.parametrize("hop_reduction", [1, 2])
def test_each_frame_is_embedded_with_its_excerpt_only(tiny_model, n_frames, starts, hop_reduction):
    model = EmbeddingModel(tiny_model.front_end, tiny_model.network, hop_reduction=hop_reduction)
    features = np.random.default_rng(0).standard_normal((n_frames * hop_reduction, 257)).astype(np.float32)
    embeddings = embeddings_of_hidden(model, hidden_outputs(model, features), len(features))
    assert embeddings.shape == (len(features), 257, 3)
    own_starts = [0, *range(225, 200 * len(starts), 200)]
    for start, own_start, own_stop in zip(starts, own_starts, [*own_starts[1:], n_frames], strict=True):
        for sequence in range(hop_reduction):
            excerpt = features[sequence::hop_reduction][None, start : start + EXCERPT_FRAMES]
            alone = tiny_model.network.predict_on_batch(excerpt)[0]
            mine = embeddings[sequence::hop_reduction][own_start:own_stop]
            np.testing.assert_allclose(mine, alone[own_start - start : own_stop - start], atol=1e-6)


@pytest.mark.parametrize("hop_reduction", [1, 2])
@pytest.mark.parametrize("rate_hz", [10000, 16000, 22050])
def test_windows_have_the_hidden_outputs_of_the_whole_recording(hop_reduction, rate_hz):
    front_end = NumpyFrontEnd(hop_length=256 // hop_reduction, scaling="standard")
    model = EmbeddingMasks(front_end, LongMemory(), hop_reduction=hop_reduction)
    signal = np.random.default_rng(0).standard_normal(round(19.1 * rate_hz) + 7).astype(np.float32)
    recording = Recording.of(signal, rate_hz)
    reader, scaling = WindowReader(recording, front_end), RunningScaling(front_end)
    whole = reader.magnitudes(Window(0, recording.n_samples, 0, recording.n_samples))
    scaling.add(whole)
    hidden = hidden_outputs(model, scaling(whole))
    windows, found = plan_windows_of_excerpts(model, recording, window_seconds=5), []
    for window in windows:
        magnitudes, own = reader.magnitudes(window), own_frames(window, front_end, rate_hz)
        part = hidden_of_window(model, scaling(magnitudes), own)
        assert part.shape == (hop_reduction, -(-len(magnitudes) // hop_reduction), 257)
        found.append(part[:, own.start // hop_reduction : own.stop and own.stop // hop_reduction])
    assert len(windows) == 3
    # Resampling leaves nearly nothing above 4.5 kHz, where rounding errors count.
    np.testing.assert_allclose(np.concatenate(found, axis=1)[..., :230], hidden[..., :230], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("hop_reduction", [1, 2])
@pytest.mark.parametrize("reach", [137, 500])
def test_the_context_of_a_window_contains_all_that_a_mask_network_sees(hop_reduction, reach, monkeypatch):
    model = EmbeddingMasks(NumpyFrontEnd(), None, hop_reduction=hop_reduction, mask_network=object())
    monkeypatch.setattr(model, "mask_network_reach", lambda: reach)
    windows = plan_windows_of_excerpts(model, Recording.of(np.zeros(600_000), 10000), window_seconds=15)
    assert len(windows) > 2
    for before, after in zip(windows, windows[1:], strict=False):
        assert min(after.start - after.context_start, before.context_stop - before.stop) >= reach * 256


class LongMemory:
    """A network whose outputs depend on all frames of an excerpt, and most on the first."""

    def hidden(self, features):
        weights = np.linspace(0.1, 0, features.shape[1])[:, None]
        return features + (weights * features).sum(axis=1, keepdims=True)


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

"""Soft masks become complex: their sum, chunks, scale, and the network on both runtimes."""

from functools import partial

import keras
import numpy as np
import pytest
from conftest import blstm

from lab41_sce.errors import UserError
from lab41_sce.models import complex_masks as module
from lab41_sce.models import export as export_module
from lab41_sce.models.band_split import band_split_masks
from lab41_sce.models.complex_masks import complex_masks, compress, network_input, reach, scale_of
from lab41_sce.models.embedding_model import EmbeddingModel
from lab41_sce.models.export import export, saved_network
from lab41_sce.models.front_end import FrontEnd
from lab41_sce.models.loading import load_model
from lab41_sce.models.mask_network import mask_network
from lab41_sce.models.onnx_network import load_onnx_model, onnx_function
from lab41_sce.separation.running_scaling import RunningScaling

N_BINS, DILATIONS = 17, [1, 2, 16]
REACH = 2 + 2 + 1 + sum(DILATIONS)  # encoder, decoder, last convolution, over time
NETWORKS = {"unet": partial(mask_network, filters=[3, 4], width=6, hidden_width=5, dilations=DILATIONS),
            # With its first and its last convolution, it sees as many frames as the U-Net.
            "bands": partial(band_split_masks, band_bins=4, width=5, hidden_width=6, dilations=[*DILATIONS, 3])}
RNG = np.random.default_rng(4)


@pytest.fixture(scope="module", params=NETWORKS)
def network(request):
    """A network with random weights, those too that start at zero or at one."""
    keras.utils.set_random_seed(1)
    network = NETWORKS[request.param](N_BINS)
    for weights in network.weights:
        noise = 0.3 * RNG.standard_normal(weights.shape)
        weights.assign(weights + np.abs(noise) if weights.path.endswith("variance") else weights + noise)
    return network


def recording(n_frames=40, n_voices=2):
    """Return a spectrogram and soft masks."""
    spectrogram = RNG.standard_normal((n_frames, N_BINS)) * np.exp(2j * np.pi * RNG.random((n_frames, N_BINS)))
    masks = RNG.random((n_voices, n_frames, N_BINS)).astype(np.float32)
    return spectrogram.astype(np.complex64), masks / masks.sum(axis=0)


@pytest.mark.parametrize("build", NETWORKS.values(), ids=NETWORKS)
def test_an_untrained_network_changes_nothing(build):
    spectrogram, masks = recording()
    found = complex_masks(build(N_BINS).predict_on_batch, REACH, False, spectrogram, masks)
    np.testing.assert_array_equal(found, masks)


@pytest.mark.parametrize("n_voices", [2, 3])
def test_masks_sum_to_one_and_are_complex(network, n_voices):
    spectrogram, masks = recording(n_voices=n_voices)
    found = complex_masks(network.predict_on_batch, REACH, False, spectrogram, masks)
    assert found.dtype == np.complex64 and found.shape == masks.shape
    np.testing.assert_allclose(found.sum(axis=0), 1, atol=1e-5)
    assert np.abs(found.imag).max() > 0.1


def test_a_single_voice_keeps_the_recording(network):
    spectrogram, masks = recording(n_voices=1)
    np.testing.assert_array_equal(complex_masks(network.predict_on_batch, REACH, False, spectrogram, masks), 1)


def test_a_rest_belongs_to_no_voice(network):
    spectrogram, masks = recording()
    inputs = compress(spectrogram, scale_of(spectrogram))
    changes = [network.predict_on_batch(network_input(inputs, mask)[None])[0] for mask in masks]
    found = complex_masks(network.predict_on_batch, REACH, True, spectrogram, masks)
    np.testing.assert_allclose(found, masks + [change[..., 0] + 1j * change[..., 1] for change in changes], atol=1e-5)
    assert np.abs(found.sum(axis=0) - 1).max() > 0.1
    single = complex_masks(network.predict_on_batch, REACH, True, spectrogram, np.ones_like(masks[:1]))
    assert np.abs(single - 1).max() > 0.1  # a single voice has a rest, too


def test_a_voice_of_silence_is_silent(network):
    _, masks = recording()
    found = complex_masks(network.predict_on_batch, REACH, False, np.zeros(masks.shape[1:], np.complex64), masks)
    assert np.isfinite(found).all()


def test_chunks_are_those_of_the_whole(network, monkeypatch):
    spectrogram, masks = recording(n_frames=150)
    whole = complex_masks(network.predict_on_batch, REACH, False, spectrogram, masks)
    monkeypatch.setattr(module, "CHUNK_FRAMES", 32)
    in_chunks = complex_masks(network.predict_on_batch, REACH, False, spectrogram, masks)
    np.testing.assert_allclose(in_chunks, whole, atol=1e-5)
    too_short = complex_masks(network.predict_on_batch, REACH // 2, False, spectrogram, masks)
    assert np.abs(too_short - whole).max() > 1e-3


def test_the_scale_is_that_of_the_frames_with_sound():
    spectrogram, _ = recording()
    scale = scale_of(spectrogram)
    np.testing.assert_allclose(np.mean(np.abs(compress(spectrogram, scale)) ** 2), 1, rtol=1e-5)
    np.testing.assert_allclose(scale_of(np.concatenate([spectrogram, 1e-4 * spectrogram])), scale, rtol=1e-5)
    np.testing.assert_allclose(scale_of(100 * spectrogram), 100**-0.3 * scale, rtol=1e-5)
    assert scale_of(0 * spectrogram) == 0


def test_a_part_is_scaled_like_the_whole():
    spectrogram, _ = recording()
    scaling = RunningScaling(FrontEnd(frame_length=32, hop_length=16))
    for part in (spectrogram, 0.3 * spectrogram, 1e-4 * spectrogram):
        scaling.add(np.abs(part))
    whole = np.concatenate([spectrogram, 0.3 * spectrogram])
    np.testing.assert_allclose(scaling.mask_network_scale, scale_of(whole), rtol=0.01)


def test_the_reach_of_the_network(network):
    frames = np.zeros((1, 4 * REACH, 4 * N_BINS), np.float32)
    before = network.predict_on_batch(frames)
    frames[0, 2 * REACH] = 1
    changed = np.flatnonzero((network.predict_on_batch(frames) != before).any(axis=(0, 2, 3)))
    assert (changed.min(), changed.max()) == (REACH, 3 * REACH)
    assert reach(layer.get_config() for layer in network.layers) == REACH
    assert reach(layer.settings for layer in saved_network(network).layers) == REACH


def test_the_input_of_the_network():
    spectrogram, masks = recording(n_frames=3)
    bins = network_input(spectrogram, masks[0]).reshape(3, N_BINS, 4)
    np.testing.assert_allclose(bins[..., 0] + 1j * bins[..., 1], spectrogram * masks[0], rtol=1e-5)
    np.testing.assert_allclose(bins[..., 2:], np.stack([np.abs(spectrogram), masks[0]], axis=-1), rtol=1e-5)


def test_onnx_computes_what_keras_computes(network):
    pytest.importorskip("onnxruntime")
    run = onnx_function(saved_network(network))
    for n_frames in (1, 50):
        inputs = RNG.standard_normal((2, n_frames, 4 * N_BINS)).astype(np.float32)
        expected = network.predict_on_batch(inputs)
        np.testing.assert_allclose(run(inputs), expected, atol=1e-5 * np.ptp(expected))


def test_a_saved_model_has_its_mask_network(network, tmp_path):
    pytest.importorskip("onnxruntime")
    front_end = FrontEnd(frame_length=32, hop_length=16)
    embedder = blstm(N_BINS, 2, n_layers=1, units=3)
    model = EmbeddingModel(front_end, embedder, soft_scale=4.0, mask_network=network)
    model.save(tmp_path / "model.keras")
    spectrogram, masks = recording()
    expected = model.final_masks(spectrogram, masks)
    for loaded in (load_model(tmp_path / "model.keras"), load_onnx_model(tmp_path / "model.keras")):
        np.testing.assert_allclose(loaded.final_masks(spectrogram, masks), expected,
                                   atol=1e-5 * np.abs(expected).max())


def test_the_mask_network_is_exported(network, tmp_path, monkeypatch):
    onnxruntime = pytest.importorskip("onnxruntime")
    monkeypatch.setattr(export_module, "COMPARED", ((1, 1), (2, 37)))
    embedder = blstm(N_BINS, 2, n_layers=1, units=3)
    model = EmbeddingModel(FrontEnd(frame_length=32, hop_length=16), embedder, soft_scale=4.0, mask_network=network)
    assert export(model, tmp_path / "net.onnx", "onnx", "mask_network") < 1e-5
    session = onnxruntime.InferenceSession(tmp_path / "net.onnx")
    inputs = RNG.standard_normal((1, 9, 4 * N_BINS)).astype(np.float32)
    expected = network.predict_on_batch(inputs)
    np.testing.assert_allclose(session.run(["changes"], {"features": inputs})[0], expected,
                               atol=1e-5 * np.ptp(expected))
    model.mask_network = None
    with pytest.raises(UserError, match="has no mask network; export the part network"):
        export(model, tmp_path / "other.onnx", "onnx", "mask_network")
    with pytest.raises(UserError, match="the part all is unknown; choose from network, mask_network"):
        export(model, tmp_path / "other.onnx", "onnx", "all")
    assert [path.name for path in tmp_path.iterdir()] == ["net.onnx"]

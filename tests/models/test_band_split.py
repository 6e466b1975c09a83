"""Networks over bands: their size, the place of every bin, and what an output depends on."""

import keras
import numpy as np
import pytest

from lab41_sce.models.band_split import BIN_FILTERS, band_split, band_split_masks

SIZES = {"band_bins": 4, "width": 5, "hidden_width": 6}


def layers_size(n_bands, n_inputs, n_layers):
    """Count the parameters of the split, the layers over time and over bands, and the norm."""
    over_time = 5 + (3 * 5 + 1) * 6 + (6 + 1) * 5
    over_bands = 5 + (n_bands + 1) * 2 * n_bands + (2 * n_bands + 1) * n_bands
    return (3 * 8 * n_inputs + 1) * 5 + n_layers * (over_time + over_bands) + 5


@pytest.mark.parametrize(("n_bins", "n_bands"), [(16, 4), (17, 5), (19, 5)])
def test_the_networks_have_the_size_of_their_layers_and_take_any_length(n_bins, n_bands, tmp_path):
    embeddings = band_split(n_bins, 3, dilations=[1, 2], bottleneck_rank=7, **SIZES)
    assert embeddings.count_params() == layers_size(n_bands, 1, 2) + n_bands * 5 * 7 + (7 + 1) * n_bins * 3
    masks = band_split_masks(n_bins, dilations=[1, 2], **SIZES)
    assert masks.count_params() == (layers_size(n_bands, 4, 2) + (5 + 1) * 4 * BIN_FILTERS
                                    + (3 * 3 * (BIN_FILTERS + 4) + 1) * 2)
    for network, n_inputs, n_outputs in ((embeddings, 1, 3), (masks, 4, 2)):
        network.save(tmp_path / "network.keras")
        again = keras.saving.load_model(tmp_path / "network.keras")
        for n_frames in (1, 7):
            features = np.random.default_rng(0).random((2, n_frames, n_inputs * n_bins)).astype(np.float32)
            outputs = network(features)
            assert outputs.shape == (2, n_frames, n_bins, n_outputs)
            np.testing.assert_array_equal(again(features), outputs)


def changed_outputs(network, n_bins, frame, bin):
    """Return the frames and the bins of the outputs that depend on an input bin."""
    features = np.random.default_rng(0).random((1, 40, n_bins, 4)).astype(np.float32)
    before = network.predict_on_batch(features.reshape(1, 40, -1))
    features[0, frame, bin] += 1
    differences = np.abs(network.predict_on_batch(features.reshape(1, 40, -1)) - before)[0].max(axis=2) > 1e-7
    return np.flatnonzero(differences.any(axis=1)), np.flatnonzero(differences.any(axis=0))


def with_random_correction(n_bins, dilations):
    keras.utils.set_random_seed(0)
    network = band_split_masks(n_bins, dilations=dilations, **SIZES)
    kernel = network.get_layer("correction").kernel
    kernel.assign(np.random.default_rng(1).standard_normal(kernel.shape))
    return network


@pytest.mark.parametrize(("bin", "first", "last"), [(0, 0, 4), (9, 3, 12), (10, 7, 16), (18, 15, 18)])
def test_bins_become_outputs_in_their_place(bin, first, last):
    """Without layers, bin 9 is part of the bands 4-7 (with bins 2-9) and 8-11 (6-13); the last convolution adds one."""
    network = with_random_correction(19, dilations=[])
    np.testing.assert_array_equal(changed_outputs(network, 19, 20, bin)[1], range(first, last + 1))


def test_an_output_depends_on_all_bands_and_on_the_frames_that_the_dilations_cover():
    frames, bins = changed_outputs(with_random_correction(19, dilations=[1, 4]), 19, 20, 0)
    assert (frames.min(), frames.max()) == (20 - 7, 20 + 7)
    np.testing.assert_array_equal(bins, range(19))

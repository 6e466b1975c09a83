"""The front end in NumPy computes what the Keras layer computes."""

from itertools import product

import numpy as np
import pytest
from scipy.signal import lfilter

from lab41_sce.models.front_end import FrontEnd, magnitude
from lab41_sce.models.numpy_front_end import NumpyFrontEnd

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("length", [1, 300, 5000])
@pytest.mark.parametrize(("frame", "hop", "pre_emphasis"), [(512, 128, 0.95), (512, 256, 0.0), (400, 100, 0.5),
                                                          (255, 85, 0.95)])
def test_spectrograms_and_magnitudes(length, frame, hop, pre_emphasis):
    front_end = FrontEnd(frame_length=frame, hop_length=hop, pre_emphasis=pre_emphasis)
    signals = RNG.standard_normal((2, 3, length)).astype(np.float32)
    real, imaginary = front_end.analyse(signals)
    expected = np.array(real) + 1j * np.array(imaginary)
    found = NumpyFrontEnd(frame_length=frame, hop_length=hop, pre_emphasis=pre_emphasis).spectrogram(signals)
    assert found.dtype == np.complex64
    np.testing.assert_allclose(found, expected, atol=1e-6 * np.abs(expected).max())
    np.testing.assert_allclose(front_end.magnitudes(signals), magnitude(real, imaginary),
                               atol=1e-6 * np.abs(expected).max())


def test_pre_emphasis_is_undone_as_by_a_filter():
    hops = RNG.standard_normal((2, 40, 128))
    expected = lfilter([1.0], [1.0, -0.95], hops.reshape(2, -1))
    np.testing.assert_allclose(NumpyFrontEnd(hop_length=128)._without_emphasis(hops).reshape(2, -1), expected)


@pytest.mark.parametrize(("compression", "scaling"), [*product(("sqrt", "log"), ("min_max", "standard"))])
def test_features(compression, scaling):
    front_end = FrontEnd(compression=compression, scaling=scaling)
    for magnitudes in (np.exp(2 * RNG.standard_normal((50, 257))), np.full((3, 257), 1e-8)):  # the second is silence
        magnitudes = magnitudes.astype(np.float32)
        found = front_end.features(magnitudes)
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, front_end(magnitudes[None])[0], atol=1e-5)

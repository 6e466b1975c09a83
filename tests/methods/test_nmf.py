"""Factorisation of synthetic voices: separation, order of the speakers, masks, silence, repeatability."""

import numpy as np
import pandas as pd
import pytest
import soundfile
from conftest import hum

from lab41_sce.data.mixture import Mixture
from lab41_sce.data.speech import Speech
from lab41_sce.errors import UserError
from lab41_sce.evaluation.metrics import si_sdr_improvement
from lab41_sce.methods.base import Setup
from lab41_sce.models.front_end import FrontEnd
from lab41_sce.yaml_defaults import with_yaml_defaults

RATE_HZ = 10000
PITCHES_HZ = {"low": 110, "high": 220, "middle": 160}


def supervised(setup, seed=0, **changes):
    return with_yaml_defaults("method/nmf_supervised", seed=seed, **changes)(setup)


def blind(setup, seed=0, **changes):
    return with_yaml_defaults("method/nmf_blind", seed=seed, **changes)(setup)


SYSTEMS = [supervised, blind]


@pytest.fixture(scope="module")
def setup(tmp_path_factory):
    """Return a setup of three voices with two training utterances each."""
    folder, rng, rows = tmp_path_factory.mktemp("voices"), np.random.default_rng(0), []
    for speaker, pitch_hz in PITCHES_HZ.items():
        for number in range(2):
            path = folder / f"{speaker}-{number}.wav"
            soundfile.write(path, hum(pitch_hz, 1.5, RATE_HZ, rng), RATE_HZ)
            rows.append((path.stem, speaker, str(path), 1.5))
    utterances = pd.DataFrame(rows, columns=["utterance", "speaker", "path", "seconds"])
    return Setup(FrontEnd(), None, 2, tuple(PITCHES_HZ), Speech(utterances, RATE_HZ), utterances)


def make_mixture(*speakers):
    """Return a mixture of utterances that were not trained on."""
    rng = np.random.default_rng(1)
    return Mixture(np.stack([hum(PITCHES_HZ[speaker], 1.5, RATE_HZ, rng) for speaker in speakers]), speakers)


def estimates(setup, system, mixture):
    masked = setup.front_end.spectrogram(mixture.signal) * system(mixture)
    return setup.front_end.synthesise(masked, len(mixture.signal))


def improvement_db(setup, system, mixture):
    """Return the mean SI-SDR of a system's estimates above that of the mixture."""
    return si_sdr_improvement(mixture.sources, mixture.signal, estimates(setup, system, mixture))


@pytest.mark.parametrize("speakers", [("low", "high"), ("low", "high", "middle")])
def test_voices_are_separated(setup, speakers):
    mixture = make_mixture(*speakers)
    assert improvement_db(setup, supervised(setup), mixture) > 7
    assert improvement_db(setup, blind(setup), mixture) > 3


def test_masks_follow_the_order_of_the_speakers(setup):
    system = supervised(setup)
    for speakers in (("low", "high"), ("high", "low"), ("middle", "high", "low")):
        mixture = make_mixture(*speakers)
        similarity = np.corrcoef(mixture.sources, estimates(setup, system, mixture))[: len(speakers), len(speakers) :]
        assert (similarity.argmax(axis=1) == np.arange(len(speakers))).all()


def test_only_trained_speakers_are_known(setup):
    system = supervised(setup)
    mixture = make_mixture("low", "high")
    for speakers in (("low", "stranger"), ()):
        with pytest.raises(UserError, match="in-set"):
            system(Mixture(mixture.sources, speakers))


@pytest.mark.parametrize("build", SYSTEMS)
def test_masks_are_shares_and_repeatable(setup, build):
    mixture = make_mixture("low", "high", "middle")
    small = {"n_components": 8, "max_iter": 10}
    system = build(setup, **small)
    masks = system(mixture)
    assert masks.dtype == np.float32 and masks.shape == setup.front_end.spectrogram(mixture.sources).shape
    assert masks.min() >= 0
    np.testing.assert_allclose(masks.sum(axis=0), 1.0, atol=1e-5)
    np.testing.assert_array_equal(system(mixture), masks)
    np.testing.assert_array_equal(build(setup, **small)(mixture), masks)
    assert np.abs(build(setup, seed=1, **small)(mixture) - masks).max() > 0.01


@pytest.mark.filterwarnings("ignore:Number of distinct clusters")
@pytest.mark.parametrize("build", SYSTEMS)
def test_silence_is_shared_evenly(setup, build):
    mixture = make_mixture("low", "high")
    silence = Mixture(np.zeros_like(mixture.sources), mixture.speakers)
    np.testing.assert_allclose(build(setup)(silence), 0.5, atol=1e-6)

"""Enrolled people are recognised by their voices: descriptions, normalised scores, probability, file."""

import json
from dataclasses import replace

import numpy as np
import pytest
from scipy.fft import dct

from lab41_sce.audio.recording import Recording
from lab41_sce.errors import UserError
from lab41_sce.models.numpy_front_end import NumpyFrontEnd
from lab41_sce.separation.calibration_file import weights_checksum
from lab41_sce.separation.separator import Separator
from lab41_sce.separation.verification import SoundClasses, Verification, find_people, read_verification
from lab41_sce.separation.voice_description import N_CEPSTRA, VoiceDescription, cepstra, join_descriptions, mel_bands

FRONT_END = NumpyFrontEnd()
RNG = np.random.default_rng(0)
TILTS = RNG.standard_normal((24, 3))  # of the people of the cohort


def voice(tilt, seconds=2.0, seed=0, factor=1.0):
    """Return noise through a smooth filter, given by three weights: float32 `[N]` at 10 kHz."""
    noise = np.random.default_rng(seed).standard_normal(round(10000 * seconds))
    places = np.linspace(0, 1, len(noise) // 2 + 1)
    response_db = 6 * sum(weight * np.cos(np.pi * order * places) for order, weight in enumerate(tilt, start=2))
    return (0.1 * factor * np.fft.irfft(np.fft.rfft(noise) * 10 ** (response_db / 20), len(noise))).astype(np.float32)


def magnitudes(signal):
    return np.abs(FRONT_END.spectrogram(signal))


@pytest.fixture(scope="module")
def verification():
    """Return a verification with one class of sounds, whose cohort are 24 filters."""
    frames = [cepstra(magnitudes(voice(tilt)), FRONT_END) for tilt in TILTS]
    every = np.concatenate(frames)
    classes = SoundClasses([1.0], [every.mean(axis=0).tolist()], [every.std(axis=0).tolist()])
    zeros, identity = [0.0] * N_CEPSTRA, np.eye(N_CEPSTRA).tolist()
    made = Verification(0, classes, zeros, identity, [zeros, zeros], 2.0, 0.0, -3.0, {})
    cohort = made.speaker_vectors([classes.describe(magnitudes(voice(tilt)), np.ones(3), FRONT_END) for tilt in TILTS])
    return replace(made, cohort=cohort.tolist())


def describe(verification, signal):
    return verification.classes.describe(magnitudes(signal), np.ones(3), FRONT_END)


def test_bands_cover_the_frequencies_and_cepstra_ignore_the_level():
    bands = mel_bands(FRONT_END)
    assert (bands >= 0).all() and (bands.sum(axis=1) > 0).all() and not bands[:, 0].any()
    np.testing.assert_allclose(bands.sum(axis=0)[10:200], 1.0, atol=1e-9)
    signal = voice(TILTS[0])
    np.testing.assert_allclose(cepstra(magnitudes(signal), FRONT_END), cepstra(magnitudes(8 * signal), FRONT_END),
                               atol=1e-3)
    assert cepstra(magnitudes(0 * signal), FRONT_END).shape == (0, N_CEPSTRA)


def test_cepstra_are_a_cosine_transform_of_the_bands():
    voice_magnitudes = magnitudes(voice(TILTS[0]))
    powers = voice_magnitudes.astype(float) ** 2
    active = powers.sum(axis=1) > powers.sum(axis=1).max() / 1000
    expected = dct(np.log(powers[active] @ mel_bands(FRONT_END).T + powers.max() / 1e6), axis=1, norm="ortho")
    np.testing.assert_allclose(cepstra(voice_magnitudes, FRONT_END), expected[:, 1 : N_CEPSTRA + 1], atol=1e-6)


def test_descriptions_of_several_recordings_add_up(verification):
    first, second = (voice(TILTS[0], seed=seed) for seed in (1, 2))
    joined = join_descriptions([describe(verification, first), describe(verification, second)])
    frames = np.concatenate([cepstra(magnitudes(signal), FRONT_END) for signal in (first, second)])
    np.testing.assert_allclose(joined.counts, [len(frames)])
    np.testing.assert_allclose(joined.sums, [frames.sum(axis=0)])
    assert np.linalg.norm(joined.centroid) == pytest.approx(1)


def test_people_are_recognised_whatever_the_level(verification):
    tilts = np.random.default_rng(1).standard_normal((6, 3))  # of people who are not in the cohort
    people = {f"person {n}": describe(verification, voice(tilt, seed=3)) for n, tilt in enumerate(tilts)}
    voices = [describe(verification, voice(tilt, seed=4, factor=0.1)) for tilt in tilts[:3]]
    found = find_people(people, voices, verification, None)
    assert [person.present for person in found] == [True] * 3 + [False] * 3
    assert [person.voice for person in found] == [0, 1, 2, None, None, None]
    assert min(person.probability for person in found[:3]) > 0.5 > max(person.probability for person in found[3:])


@pytest.mark.parametrize(("n_voices", "counted"), [(1, 2), (2, 2), (3, 3), (5, 3)])
def test_the_probability_depends_on_the_number_of_voices_that_was_measured(verification, n_voices, counted):
    person, other = (describe(verification, voice(tilt)) for tilt in TILTS[:2])
    changed = replace(verification, voices_slope=0.5)
    voices = [other] * n_voices
    difference = changed.logits([person], voices) - verification.logits([person], voices)
    np.testing.assert_allclose(difference, 0.5 * counted)


def test_embeddings_are_compared_by_the_threshold():
    """Of a model without a verification; the length of an embedding does not matter."""
    voices = [VoiceDescription(centroid) for centroid in np.eye(3)[:2]]
    [person] = find_people({"Ann": VoiceDescription(np.array([0.0, 2.0, 0.0]))}, voices, None, 0.5)
    assert (person.present, person.voice, person.probability) == (True, 1, None) and person.similarity == (0.0, 1.0)


@pytest.mark.parametrize("embedding", [np.zeros(3), np.full(3, np.nan), np.ones(7), np.ones((1, 3))])
def test_the_description_by_another_model_is_refused(embedding):
    with pytest.raises(UserError, match="is not that of a speaker; give 3 numbers"):
        find_people({"Ann": VoiceDescription(embedding)}, [VoiceDescription(np.ones(3))], None, 0.5)


def test_a_silent_voice_is_nobodys(verification):
    people = {"Ann": describe(verification, voice(TILTS[0]))}
    [ann] = find_people(people, [describe(verification, np.zeros(10000, np.float32))], verification, None)
    assert not ann.present and 0 <= ann.probability < 0.5


def test_silence_has_no_speaker_vector(verification):
    silence = describe(verification, np.zeros(10000, np.float32))
    assert not verification.speaker_vectors([silence]).any()
    centred = replace(verification, centre=[1.0] * N_CEPSTRA)  # without a voice, only the centre would be left
    assert not centred.speaker_vectors([silence]).any()


@pytest.mark.parametrize("n_speakers", [1, 2])
def test_nobody_is_present_in_a_silent_recording(tiny_model, verification, n_speakers):
    sure = replace(verification, bias=50.0)  # finds everybody everywhere
    separator = Separator(tiny_model, verification=sure)
    ann = {"Ann": describe(verification, voice(TILTS[0]))}
    for signal in (np.zeros(10000, np.float32), np.full(10000, 0.1, np.float32)):
        result = separator.separate(signal, 10000, n_speakers, enroll=ann)
        assert [(person.present, person.probability) for person in result.people] == [(False, 0.0)]
        assert "Ann" not in result.names


def test_people_are_enrolled_by_files_and_signals(tiny_model, verification, tmp_path):
    separator = Separator(tiny_model, verification=verification)
    # Two sounds in turns, whose mean is the filter of the person: steady noise would be refused.
    alone, other = (np.concatenate([voice(TILTS[number] + change, seed=number) for change in ([1, 0, 0], [-1, 0, 0])])
                    for number in (0, 5))
    enroll = {"Eve": [other], "Ann": [alone, Recording.of(alone, 10000)]}
    result = separator.separate(voice(TILTS[0], seed=3), 10000, 1, enroll=enroll)
    assert [(person.name, person.present) for person in result.people] == [("Eve", False), ("Ann", True)]
    assert result.names == ["Ann"] and result.people[1].probability > 0.5
    described = {"Ann": separator.describe_person([Recording.of(alone, 10000)])}
    assert separator.separate(alone, 10000, 1, enroll=described).names == ["Ann"]
    for wrong in (["ann.wav"], {5: ["ann.wav"]}):
        with pytest.raises(UserError, match="Enrolled people are given by name"):
            separator.separate(alone, 10000, 1, enroll=wrong)
    for wrong in ({"Ann": "ann.wav"}, {"Ann": []}):
        with pytest.raises(UserError, match="Ann has no list of recordings"):
            separator.separate(alone, 10000, 1, enroll=wrong)
    with pytest.raises(UserError, match="is silent"):
        separator.separate(alone, 10000, 1, enroll={"Ann": [np.zeros(10000)]})


def test_the_file_belongs_to_one_network(tiny_model, verification, tmp_path):
    tiny_model.predict_on_batch(np.zeros((1, 1000), np.float32))
    file = tmp_path / "model.keras"
    assert read_verification(file, tiny_model) is None
    path = replace(verification, network=weights_checksum(tiny_model)).write(file)
    assert path.name == "model.verification.json"
    np.testing.assert_allclose(read_verification(file, tiny_model).cohort, verification.cohort)
    verification.write(file)
    with pytest.raises(UserError, match="was made for another network than that of model.keras"):
        read_verification(file, tiny_model)


@pytest.mark.parametrize("change", [
    {"slope": float("nan")}, {"slope": "1"}, {"voices_slope": float("inf")},
    {"cohort": [[1.0], [2.0]]}, {"centre": [0.0]}, {"cohort": [[1.0], 2]},
    {"classes": {}}, {"classes": None}, {"more": 1}, {"projection": []}, {"centre": [None] * N_CEPSTRA}])
def test_a_damaged_file_is_refused(tiny_model, verification, tmp_path, change):
    path = verification.write(tmp_path / "model.keras")
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(UserError, match="is damaged.*; calibrate .*, or delete model.verification.json"):
        read_verification(tmp_path / "model.keras", tiny_model)

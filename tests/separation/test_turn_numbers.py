"""People who take turns are counted by the speaker vectors of blocks of speech."""

import json
from dataclasses import asdict

import numpy as np
import pytest

import lab41_sce as sce
from lab41_sce.audio.recording import Recording
from lab41_sce.data.corpus import load_corpus
from lab41_sce.data.speech import Speech
from lab41_sce.errors import UserError
from lab41_sce.examples import EXAMPLES
from lab41_sce.models.numpy_front_end import NumpyFrontEnd
from lab41_sce.separation.count_classifier import TURNS_KIND, CountClassifier, fitted_to, read_turn_classifier
from lab41_sce.separation.count_features import ActiveBins, feature_names
from lab41_sce.separation.speaker_count import estimate_count
from lab41_sce.separation.turn_numbers import (
    MAX_BLOCKS,
    MIN_BLOCKS,
    SpeechBlocks,
    speech_blocks,
    turn_names,
    turn_numbers,
)
from lab41_sce.separation.verdict import verdict

AT_ONCE = {1: 0.9, 2: 0.06, 3: 0.04}


def blocks_of(order, spread=0.03):
    """Return blocks of people who talk in an order, such as "AABB"; their vectors are directions with some noise."""
    rng = np.random.default_rng(0)
    vectors = np.stack([np.eye(20)[ord(person) - ord("A")] for person in order])
    vectors = vectors + spread * rng.standard_normal(vectors.shape)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return SpeechBlocks(vectors.astype(np.float32), np.ones(len(order), np.float32))


def test_the_variance_falls_most_with_as_many_clusters_as_people():
    for order, people in (("AABABBAABB", 2), ("ABCCABACBB", 3), ("ABCDDBCAAD", 4)):
        numbers = turn_numbers(AT_ONCE, blocks_of(order))
        gains = {k: numbers[f"turn_gain_{k}"] for k in range(2, 6)}
        assert min(gains, key=gains.get) == people and gains[people] < -1
    alone, two = (turn_numbers(AT_ONCE, blocks_of(order)) for order in ("AAAAAAAAAA", "AABABBAABB"))
    assert alone["turn_gain_2"] > -0.5 and alone["turn_variance"] < two["turn_variance"] - 0.5


def test_neighbours_are_alike_in_long_turns():
    long, short, alone = (turn_numbers(AT_ONCE, blocks_of(order))["turn_neighbours"]
                          for order in ("AAAABBBB", "ABABABAB", "AAAAAAAA"))
    assert (long, short, alone) == (pytest.approx(6 / 7, abs=0.02), pytest.approx(0, abs=0.02),
                                    pytest.approx(1, abs=0.02))


def test_probabilities_and_the_number_of_blocks_are_logarithms():
    numbers = turn_numbers(AT_ONCE, blocks_of("A" * (MAX_BLOCKS + 5)))
    assert numbers["turn_blocks"] == pytest.approx(np.log(MAX_BLOCKS))
    assert numbers["at_once_2"] == pytest.approx(np.log(0.061)) and [*numbers] == turn_names(3)


def test_blocks_of_two_seconds_with_speech_are_described():
    """Two windows of seven seconds: noise for 2 s, silence for 2 s, noise for 3 s, of which a second fills no block."""
    verification, front_end = sce.Separator.from_pretrained().verification, NumpyFrontEnd()
    length = round(2.0 * front_end.sample_rate_hz / front_end.hop_length)
    window = np.random.default_rng(0).random((length * 7 // 2, front_end.n_bins)).astype(np.float32)
    window[length : 2 * length] = 0.0
    blocks = speech_blocks([window, window], window.max(), front_end, verification)
    np.testing.assert_allclose(blocks.weights, [length] * 4, rtol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(blocks.vectors, axis=1), 1.0, rtol=1e-5)
    described = verification.classes.describe(window[:length], np.zeros(1), front_end)
    np.testing.assert_allclose(blocks.vectors[0], verification.speaker_vectors([described])[0], atol=0.02)
    assert not len(speech_blocks([0 * window], 1.0, front_end, verification).weights)


def classifier(names, weights, bias, network=0):
    return CountClassifier(network, names, [0.0] * len(names), [1.0] * len(names), weights, bias, {})


def test_only_recordings_with_enough_blocks_are_counted_again():
    """The first classifier is sure of one person, and the second of two if the variance is large."""
    bins = ActiveBins(np.eye(5, dtype=np.float32), np.ones(5), np.arange(5), np.arange(5))
    first = classifier(sorted(feature_names())[:1], [[0.0]] * 3, [5.0, 0.0, -5.0])
    second = classifier(["turn_variance"], [[-5.0], [5.0], [2.0]], [-10.0, 10.0, 4.0])
    few = ("AB" * MIN_BLOCKS)[: MIN_BLOCKS - 1]
    for order, people in (("AB" * MIN_BLOCKS, 2), ("A" * 2 * MIN_BLOCKS, 1), (few, 1)):
        for limits, expected in (((1, 3), people), ((2, 3), 3 if order[:2] == "AA" else 2)):
            count = estimate_count(bins, lambda: [], first, *limits, second, lambda order=order: blocks_of(order))
            assert count.n_speakers == expected and sum(count.probabilities.values()) == pytest.approx(1)


def test_a_file_of_other_numbers_or_for_other_calibrations_is_refused(tiny_model, tmp_path):
    file, verification = tmp_path / "model.keras", sce.Separator.from_pretrained().verification
    counting = classifier(["variance_1"], [[1.0], [0.0]], [0.0, 0.0])
    other = classifier(["variance_1"], [[2.0], [0.0]], [0.0, 0.0])
    assert read_turn_classifier(file, tiny_model, counting, verification) is None
    written = classifier(["turn_variance", "at_once_2"], [[-1.0, 0.0], [1.0, 0.0]], [0.0, 0.0],
                         fitted_to(counting, verification))
    path = written.write(file, TURNS_KIND)
    assert read_turn_classifier(file, tiny_model, counting, verification) == written
    assert read_turn_classifier(file, tiny_model, counting, None) is None
    with pytest.raises(UserError, match="turns.json was made for other calibrations than those beside model.keras; "):
        read_turn_classifier(file, tiny_model, other, verification)
    path.write_text(json.dumps(asdict(written) | {"features": ["turn_variance", "at_once_3"]}))
    with pytest.raises(UserError, match="1 unknown features, such as at_once_3"):
        read_turn_classifier(file, tiny_model, counting, verification)


@pytest.mark.parametrize("limits", ["auto", (2, 4)])
def test_steady_noise_is_not_counted(limits):
    noise = np.random.default_rng(0).standard_normal(40_000).astype(np.float32)
    result = sce.Separator.from_pretrained().separate(0.1 * noise, 8000, limits)
    number = 1 if limits == "auto" else 2
    assert result.n_speakers == number and result.count.no_speech and result.count.probabilities is None
    assert str(result.count) == f"no speech was found: {('one voice is', '2 voices are')[number - 1]} returned"
    assert not any(result.activity.segments())
    np.testing.assert_allclose(result.voices.sum(axis=0), 0.1 * (noise - noise.mean()), atol=1e-3)


def test_digital_silence_beside_noise_is_no_speech():
    """Files often begin with zeros; with them, the noise seemed to vary by 3.8 dB."""
    noise = 0.1 * np.random.default_rng(0).standard_normal(40_000).astype(np.float32)
    noise[:8000] = 0.0
    result = sce.Separator.from_pretrained().separate(noise, 8000)
    assert result.count.no_speech and verdict(result, "") == "no speech was found: one voice is returned."


def test_nobody_is_present_without_speech():
    """A person who was enrolled in the same noise seems alike."""
    separator, rng = sce.Separator.from_pretrained(), np.random.default_rng(0)
    speech, rate_hz = sce.load_audio(EXAMPLES[0])
    noise = speech.std() * rng.standard_normal((2, len(speech))).astype(np.float32)
    result = separator.separate(noise[0], rate_hz, enroll={"Ann": [speech + noise[1]]})
    [ann] = result.people
    assert result.count.no_speech and not ann.present and ann.probability == 0.0 and result.names == ["1"]


def test_two_seconds_of_speech_in_long_noise_are_speech():
    """The spectrum of the whole recording varies as little as that of noise."""
    separator, (speech, rate_hz) = sce.Separator.from_pretrained(), sce.load_audio(EXAMPLES[0])
    recording = 0.1 * speech.std() * np.random.default_rng(0).standard_normal(60 * rate_hz).astype(np.float32)
    recording[31 * rate_hz : 33 * rate_hz] += speech[: 2 * rate_hz]
    stream = separator.open(Recording.of(recording, rate_hz))
    assert not stream.speakers.count.no_speech and stream.speakers.count.probabilities


@pytest.mark.slow
@pytest.mark.parametrize("window_seconds", [60.0, 15.0])
def test_people_who_take_turns_are_counted_by_the_shipped_model(window_seconds):
    """A woman and a man of the embedded corpus, half a minute in turns of 5 s; and the woman alone."""
    table = load_corpus(None, ["synthetic"], check="headers")
    speech, separator = Speech(table, 16000), sce.Separator.from_pretrained()
    separator.window_seconds = window_seconds
    woman, man = (np.concatenate([speech.excerpt(name, 0, 80_000) for name in names.head(6)])
                  for _, names in table[table["speaker"].isin(["1", "10"])].groupby("speaker")["utterance"])
    turn = np.arange(len(woman)) // 80_000 % 2
    for signal, people in ((woman, 1), (np.where(turn == 0, woman, man), 2)):
        shares = []
        stream = separator.open(Recording.of(signal, 16000), progress=shares.append)
        assert stream.speakers.n_speakers == people
        for _ in stream:
            pass
        assert sum(shares) == pytest.approx(1)

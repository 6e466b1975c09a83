"""`lab41_sce.data.speech`: excerpts from memory and from disk, at other speeds, and of joined utterances."""

import numpy as np
import pandas as pd
import pytest
import soundfile

from lab41_sce.data import splits
from lab41_sce.data.corpus import load_corpus
from lab41_sce.data.speech import Speech


@pytest.fixture(scope="module")
def utterances(corpus_root):
    return splits.split(load_corpus(corpus_root, ["train"]), 2)


@pytest.fixture(scope="module")
def speech(utterances):
    return Speech(utterances, 10000)


def test_excerpts_from_disk_are_those_from_memory(speech, utterances):
    on_disk = Speech(utterances, 10000, in_memory=False)
    name = utterances["utterance"][0]
    assert abs(on_disk.length(name) - speech.length(name)) <= 1
    a, b = speech.excerpt(name, 5000, 8000), on_disk.excerpt(name, 5000, 8000)
    np.testing.assert_allclose(a[200:-200], b[200:-200], atol=2e-3)  # resampling differs at the edges of an excerpt
    assert not on_disk.excerpt(name, on_disk.length(name) - 100, 8000)[200:].any()


@pytest.mark.parametrize("in_memory", [True, False])
def test_faster_speech_is_shorter_and_higher(tmp_path, in_memory):
    soundfile.write(tmp_path / "tone.wav", 0.5 * np.sin(2 * np.pi * 400 * np.arange(32000) / 16000), 16000)
    table = pd.DataFrame({"utterance": ["slow", "fast"], "path": tmp_path / "tone.wav", "speed": [0.8, 1.25],
                          "seconds": [2 / 0.8, 2 / 1.25]})
    speech = Speech(table, 10000, in_memory)
    for name, seconds, pitch_hz in (("slow", 2.5, 320), ("fast", 1.6, 500)):
        assert speech.length(name) == pytest.approx(10000 * seconds, abs=2)
        excerpt = speech.excerpt(name, 2000, 10000)
        assert np.abs(np.fft.rfft(excerpt)).argmax() == pytest.approx(pitch_hz, abs=1)


def test_an_excerpt_of_joined_utterances_crosses_their_boundary(speech, utterances):
    first, second = utterances["utterance"].iloc[:2]
    both, length = f"{first}+{second}", speech.length(first)
    assert speech.length(both) == length + speech.length(second)
    across = speech.excerpt(both, length - 100, 300)
    np.testing.assert_array_equal(across[:100], speech.excerpt(first, length - 100, 100))
    np.testing.assert_array_equal(across[100:], speech.excerpt(second, 0, 200))
    np.testing.assert_array_equal(speech.excerpt(both, length + 50, 80), speech.excerpt(second, 50, 80))

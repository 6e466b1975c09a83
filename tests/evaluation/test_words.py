"""The word accuracy counts words; the recogniser returns the same words after any other signal."""

import numpy as np
import pytest

from lab41_sce import audio
from lab41_sce.evaluation import words
from lab41_sce.evaluation.definitions import caption
from lab41_sce.evaluation.perceptual import perceptual_scores
from lab41_sce.examples import FOLDER


@pytest.mark.parametrize(("true", "found", "n_edits"), [
    ("", "", 0), ("a b c", "a b c", 0), ("a b c", "", 3), ("", "a b", 2), ("a b c", "a x c", 1), ("a b c", "a c", 1),
    ("a b c", "a b x c", 1), ("a b", "b a", 2), ("the cat sat", "a cat sat down", 2),
])
def test_edits_are_counted(true, found, n_edits):
    assert words.edits(true.split(), found.split()) == n_edits


@pytest.fixture
def recogniser(monkeypatch):
    """Recognise a word for each sample above zero, named after its value."""
    monkeypatch.setattr(words, "_recognise", lambda signal: tuple(
        str(round(float(value))) for value in np.frombuffer(signal, np.float32) if value > 0))


def test_the_accuracy_is_one_minus_the_error_rate(recogniser):
    reference = np.array([1, 2, 0, 3, 4], np.float32)
    for estimate, accuracy in ((reference, 1.0), ([1, 2, 0, 3, 5], 0.75), ([0] * 5, 0.0), ([9] * 5, -0.25)):
        assert words.word_accuracy(reference, np.array(estimate, np.float32), 16000) == pytest.approx(accuracy)
    assert np.isnan(words.word_accuracy(np.zeros(5, np.float32), reference, 16000))


def test_it_is_a_metric_with_a_definition(recogniser, monkeypatch):
    monkeypatch.setattr("lab41_sce.evaluation.perceptual.find_spec", lambda name: name)
    references = np.array([[1, 2], [3, 4]], np.float32)
    scores = perceptual_scores(references, references[:, ::-1], 16000, ["WAcc"])
    np.testing.assert_allclose(scores["WAcc"], [0, 0])
    assert "1 minus the word error rate" in caption(["WAcc", "WAcci"])


@pytest.mark.slow
def test_no_signal_depends_on_earlier_ones():
    pytest.importorskip("pocketsphinx")
    first = audio.read_mono(FOLDER / "mixture.wav", words.RATE_HZ)[: 3 * words.RATE_HZ]
    other = audio.read_mono(FOLDER / "two_women.wav", words.RATE_HZ)[: 2 * words.RATE_HZ]
    found = []
    for signal in (first, other, first, 0.01 * first):
        words._recognise.cache_clear()
        found.append(words._recognise(signal.tobytes()))
    assert found[0] and found[0] == found[2] == found[3] != found[1]
    assert words._recognise(np.zeros(100, np.float32).tobytes()) == ()

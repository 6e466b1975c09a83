"""Mixtures of a known number of speakers: what is drawn is what they are."""

import numpy as np
import pytest

from lab41_sce.data.corpus import load_corpus
from lab41_sce.data.noise import Noise
from lab41_sce.data.speech import Speech
from lab41_sce.evaluation import counted_mixtures
from lab41_sce.evaluation.counted_mixtures import draw_mixture


@pytest.fixture(scope="module")
def speech():
    table = load_corpus(None, ["synthetic"], check="headers")
    table = table[table["speaker"].isin([str(n) for n in range(1, 9)])].assign(split="train")
    signals = Speech(table, 10_000)
    return signals, table, Noise(signals, table, ("white", "pink", "speech_shaped"))


def draw(speech, seed, n_speakers):
    signals, table, noise = speech
    return draw_mixture(np.random.default_rng(seed), signals, table, n_speakers, noise, 0.95)


def test_mixtures_are_repeatable_and_as_described(speech):
    described = []
    for seed in range(12):
        mixture, row = draw(speech, seed, seed % 5 + 1)
        assert len(set(row["names"].split())) == seed % 5 + 1
        assert len(mixture) == round(row["seconds"] * 10_000) and 3 <= row["seconds"] <= 30
        assert mixture.dtype == np.float32 and np.isfinite(mixture).all() and mixture.std() > 0.1
        described.append(row)
    again, row = draw(speech, 11, 2)
    np.testing.assert_array_equal(again, mixture)
    assert any(row["snr_db"] < 40 for row in described) and any(row["snr_db"] == np.inf for row in described)
    assert any(row["pauses"] for row in described) and not all(row["pauses"] for row in described)
    assert {row["seconds"] for row in described} > {5.0}
    assert {row["filtered"] for row in described} == {False, True}


def test_everybody_talks_for_a_while():
    for seed in range(50):
        gate = counted_mixtures._turns(np.random.default_rng(seed), 50_000, 10_000)
        assert gate.min() >= 0 and gate.max() <= 1.001 and gate.sum() > 14_000


@pytest.mark.parametrize("gap_seconds", [(0.1, 1.2), (-1.5, 0.3)])
def test_in_a_conversation_everybody_talks_and_turns_rarely_overlap(gap_seconds):
    at_once = []
    for seed in range(20):
        n_speakers = seed % 5 + 1
        gates = counted_mixtures._conversation(np.random.default_rng(seed), n_speakers, 200_000, 10_000, gap_seconds)
        assert gates.shape == (n_speakers, 200_000) and (gates.sum(axis=1) > 13_000).all()
        assert gates.min() >= 0 and gates.max() <= 1.001
        at_once.append((gates.sum(axis=0) > 1.01).mean())
    assert max(at_once) == 0.0 if gap_seconds[0] > 0 else 0.02 < np.mean(at_once) < 0.5


def test_a_conversation_has_the_length_that_was_asked_for(speech):
    signals, table, noise = speech
    mixture, row = draw_mixture(np.random.default_rng(0), signals, table, 2, noise, 0.95, seconds=17.0,
                                gap_seconds=(0.1, 1.2))
    assert len(mixture) == 170_000 and row["seconds"] == 17.0 and len(row["names"].split()) == 2


def test_reverberation_decays_by_60_db():
    click = np.zeros(10_000, np.float32)
    click[0] = 1
    tail = counted_mixtures._reverberate(np.random.default_rng(0), click, 0.5, 10_000)[1:]
    fall = 10 * np.log10(np.square(tail[:500]).mean() / np.square(tail[4000:4500]).mean())
    assert fall == pytest.approx(60 * 0.4 / 0.5, abs=2)  # 0.4 s between the parts
    assert np.abs(tail[5000:]).max() < 1e-12

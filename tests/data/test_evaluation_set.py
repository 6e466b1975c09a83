"""`lab41_sce.data.evaluation_set`: sets that depend on their seed only, and mixtures that depend on their row only."""

import os
import subprocess
import sys

import numpy as np
import pytest
from scipy.signal import lfilter

from lab41_sce.data import splits
from lab41_sce.data.corpus import load_corpus
from lab41_sce.data.evaluation_set import add_noise, add_noise_at, draw_evaluation_set, load_mixture
from lab41_sce.data.noise import Noise
from lab41_sce.data.speech import Speech
from lab41_sce.errors import UserError


@pytest.fixture(scope="module")
def utterances(corpus_root):
    return splits.split(load_corpus(corpus_root, ["train"]), 2)


@pytest.fixture(scope="module")
def speech(utterances):
    return Speech(utterances, 10000)


def levels_db(sources):
    return 20 * np.log10(lfilter([1, -0.95], 1, sources)[..., 1:].std(axis=-1))


def test_an_evaluation_set_is_determined_by_its_seed(speech, utterances):
    arguments = (speech, utterances, "unseen", 2, 3, 1.5, 0.95)
    table = draw_evaluation_set(*arguments)
    assert table.equals(draw_evaluation_set(*arguments)) and not table.equals(draw_evaluation_set(*arguments, seed=1))
    assert table["kind"].value_counts().to_dict() == {"FF": 3, "FM": 3, "MF": 3, "MM": 3}
    unseen = set(utterances.loc[utterances["split"] == "unseen", "speaker"])
    for _, row in table.iterrows():
        assert {row["speaker_1"], row["speaker_2"]} <= unseen and row["speaker_1"] != row["speaker_2"]
        sources = load_mixture(speech, row).sources
        assert sources.shape == (2, 15000)
        np.testing.assert_allclose(levels_db(sources), 0, atol=0.05)


@pytest.mark.slow
def test_an_evaluation_set_is_the_same_in_another_process(corpus_root):
    """The order of Python's sets differs between processes; the result must not depend on it."""
    code = ("import sys; from lab41_sce.data import splits; from lab41_sce.data.corpus import load_corpus; "
            "from lab41_sce.data.evaluation_set import *; "
            "table = splits.split(load_corpus(sys.argv[1], ['train'], check='headers'), 2); "
            "print(draw_evaluation_set(Speech(table, 10000), table, 'unseen', 2, 3, 1.5, 0.95).to_csv())")
    printed = {subprocess.run([sys.executable, "-c", code, corpus_root], env=os.environ | {"PYTHONHASHSEED": seed},
                              capture_output=True, text=True, check=True).stdout for seed in "12"}
    assert len(printed) == 1 and "unseen-FM-0002" in printed.pop()


def test_kinds_without_speakers_are_left_out_and_an_empty_set_is_an_error(speech, utterances):
    women = utterances[utterances["sex"] == "F"]
    assert set(draw_evaluation_set(speech, women, "unseen", 2, 1, 1.5, 0.95)["kind"]) == {"FF"}
    with pytest.raises(UserError, match="60.00 s"):
        draw_evaluation_set(speech, utterances, "unseen", 2, 1, 60.0, 0.95)
    with pytest.raises(UserError, match="'unseen' has too few"):
        draw_evaluation_set(speech, utterances[utterances["split"] != "unseen"], "unseen", 2, 1, 1.5, 0.95)


@pytest.mark.parametrize(("change", "wanted"), [
    ({"utterance_1": "../elsewhere/1-1-1"}, "no utterance '../elsewhere/1-1-1' in this corpus"),
    ({"length": 10**13}, "needs 10000000000000 samples"), ({"length": 0}, "needs 0 samples"),
    ({"start_1": -1}, "from sample -1 on"), ({"gain_1": float("nan")}, "times nan"),
])
def test_an_evaluation_set_of_another_corpus_is_an_error(speech, utterances, change, wanted):
    row = draw_evaluation_set(speech, utterances, "unseen", 2, 1, 1.5, 0.95).iloc[0]
    with pytest.raises(UserError, match=wanted):
        load_mixture(speech, row.to_dict() | change)


def test_joined_utterances_make_longer_mixtures(speech, utterances):
    longest = max(map(speech.length, utterances["utterance"])) / 10000
    options = {"n_speakers": 2, "n_per_kind": 1, "seconds": 1.2 * longest, "pre_emphasis": 0.95}
    with pytest.raises(UserError, match="too few speakers"):
        draw_evaluation_set(speech, utterances, "train", **options)
    table = draw_evaluation_set(speech, utterances, "train", join=True, **options)
    [row] = table[table["kind"] == "FM"].to_dict("records")
    mixture = load_mixture(speech, row)
    assert mixture.sources.shape == (2, round(12000 * longest)) and "+" in row["utterance_1"]


def test_noise_at_a_ratio_leaves_the_speech_as_it_is(speech, utterances):
    mixtures = draw_evaluation_set(speech, utterances, "unseen", 2, 4, 1.5, 0.95)
    noise = Noise(speech, utterances, ["white", "pink"])
    loud, quiet = (add_noise_at(mixtures, noise, snr_db) for snr_db in (-5, 10))
    assert set(loud["split"]) == {"unseen, SNR -5 dB"} and splits.base_split("unseen, SNR -5 dB") == "unseen"
    assert loud["noise"].value_counts().to_dict() == {"white": 8, "pink": 8}
    assert not set(loud["mixture"]) & set(quiet["mixture"])
    assert loud["noise_seed"].equals(quiet["noise_seed"]) and loud["noise_seed"].nunique() == 16
    others = add_noise(draw_evaluation_set(speech, utterances, "validation", 2, 4, 1.5, 0.95), noise, (-5, 15))
    assert not set(others["noise_seed"]) & set(loud["noise_seed"])  # validation has other noise than evaluation
    for (_, clean_row), (_, loud_row), (_, quiet_row) in zip(mixtures.iterrows(), loud.iterrows(), quiet.iterrows(),
                                                            strict=True):
        clean = load_mixture(speech, clean_row)
        noisy, less = (load_mixture(speech, row, noise) for row in (loud_row, quiet_row))
        np.testing.assert_array_equal(noisy.sources, clean.sources)
        np.testing.assert_allclose(noisy.signal, clean.signal + noisy.noise)
        np.testing.assert_allclose(noisy.noise, less.noise * 10 ** (15 / 20), rtol=1e-4, atol=1e-5)
        ratio_db = 10 * np.log10(np.mean(clean.signal**2) / np.mean(noisy.noise**2))
        assert ratio_db == pytest.approx(-5, abs=0.01) and clean.noise is None
    assert -5 <= others["snr_db"].min() < 2 and 8 < others["snr_db"].max() <= 15
    with pytest.raises(ValueError, match="has noise, but `noise` is None"):
        load_mixture(speech, loud.iloc[0])

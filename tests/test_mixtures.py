"""Mixtures: levels, randomness that can be repeated, frozen lists."""

import os
import subprocess
import sys

import numpy as np
import pytest
from scipy.signal import lfilter

from lab41_sce.corpora import librispeech, splits
from lab41_sce.errors import UserError
from lab41_sce.lists import evaluation_list, load_mixture
from lab41_sce.mixtures import Speech, TrainingMixtures


@pytest.fixture(scope="module")
def utterances(corpus_root):
    return splits.split(librispeech.load(corpus_root, ["train"]), 2)


@pytest.fixture(scope="module")
def speech(utterances):
    return Speech(utterances, 10000)


def make(speech, utterances, **options):
    table = utterances[utterances["split"] == "train"]
    return TrainingMixtures(speech, table, splits.trained_speakers(utterances), **{"batch_size": 16} | options)


def levels_db(sources):
    return 20 * np.log10(lfilter([1, -0.95], 1, sources)[..., 1:].std(axis=-1))


def test_speakers_differ_and_are_equally_loud(speech, utterances):
    batch = make(speech, utterances, n_speakers=3).batch(0)
    assert batch["sources"].shape == (16, 3, 10000) and batch["sources"].dtype == np.float32
    assert all(len(set(row)) == 3 for row in batch["speaker_ids"])
    np.testing.assert_allclose(levels_db(batch["sources"]), 0, atol=0.01)
    np.testing.assert_allclose(batch["sources"].mean(axis=-1), 0, atol=1e-3)


def test_level_range(speech, utterances):
    levels = levels_db(make(speech, utterances, level_range_db=10).batch(0)["sources"])
    assert -5.01 < levels.min() < -3 and 3 < levels.max() < 5.01


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_same_sex_share(speech, utterances, share):
    mixtures = make(speech, utterances, same_sex=share)
    sexes = utterances.drop_duplicates("speaker").set_index("speaker")["sex"]
    of_number = [sexes[speaker] for speaker in splits.trained_speakers(utterances)]
    same = [of_number[a] == of_number[b] for a, b in mixtures.batch(0)["speaker_ids"]]
    assert np.mean(same) == share


def test_batches_depend_on_seed_and_number_only(speech, utterances):
    mixtures = make(speech, utterances)
    stream = list(mixtures.dataset(start=3).take(3).as_numpy_iterator())
    for number, batch in enumerate(stream, start=3):
        for name, values in mixtures.batch(number).items():
            np.testing.assert_array_equal(batch[name], values)
    assert not np.array_equal(stream[0]["sources"], stream[1]["sources"])
    assert not np.array_equal(mixtures.batch(0)["sources"], make(speech, utterances, seed=1).batch(0)["sources"])


def test_decoding_on_the_fly_gives_the_same_excerpts(speech, utterances):
    on_disk = Speech(utterances, 10000, in_memory=False)
    name = utterances["utterance"][0]
    assert abs(on_disk.length(name) - speech.length(name)) <= 1
    a, b = speech.excerpt(name, 5000, 8000), on_disk.excerpt(name, 5000, 8000)
    np.testing.assert_allclose(a[200:-200], b[200:-200], atol=2e-3)  # resampling differs at the edges of an excerpt
    assert on_disk.excerpt(name, on_disk.length(name) - 100, 8000)[200:].any() == False  # noqa: E712


def test_a_frozen_list_is_determined_by_its_seed(speech, utterances):
    arguments = (speech, utterances, "unseen", 2, 3, 1.5, 0.95)
    table = evaluation_list(*arguments)
    assert table.equals(evaluation_list(*arguments)) and not table.equals(evaluation_list(*arguments, seed=1))
    assert table["kind"].value_counts().to_dict() == {"FF": 3, "FM": 3, "MF": 3, "MM": 3}
    unseen = set(utterances.loc[utterances["split"] == "unseen", "speaker"])
    for _, row in table.iterrows():
        assert {row["speaker_1"], row["speaker_2"]} <= unseen and row["speaker_1"] != row["speaker_2"]
        sources = load_mixture(speech, row).sources
        assert sources.shape == (2, 15000)
        np.testing.assert_allclose(levels_db(sources), 0, atol=0.05)


def test_a_frozen_list_is_the_same_in_another_process(corpus_root):
    """Python shuffles its sets anew in every process; nothing may depend on their order."""
    code = ("import sys; from lab41_sce.corpora import librispeech, splits; from lab41_sce.lists import *; "
            "table = splits.split(librispeech.load(sys.argv[1], ['train']), 2); "
            "print(evaluation_list(Speech(table, 10000), table, 'unseen', 2, 3, 1.5, 0.95).to_csv())")
    printed = {subprocess.run([sys.executable, "-c", code, corpus_root], env=os.environ | {"PYTHONHASHSEED": seed},
                              capture_output=True, text=True, check=True).stdout for seed in "1234"}
    assert len(printed) == 1 and "unseen-FM-0002" in printed.pop()


def test_impossible_kinds_are_left_out_and_impossible_lists_told(speech, utterances):
    women = utterances[utterances["sex"] == "F"]
    assert set(evaluation_list(speech, women, "unseen", 2, 1, 1.5, 0.95)["kind"]) == {"FF"}
    with pytest.raises(UserError, match="60.00 s"):
        evaluation_list(speech, utterances, "unseen", 2, 1, 60.0, 0.95)
    with pytest.raises(UserError, match="'unseen' has too few"):
        evaluation_list(speech, utterances[utterances["split"] != "unseen"], "unseen", 2, 1, 1.5, 0.95)
    with pytest.raises(UserError, match="both sexes"):
        make(speech, women, same_sex=0.5)

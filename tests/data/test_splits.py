"""`lab41_sce.data.splits`: fractions, speakers and utterances in one split only, speeds, and names of splits."""

import numpy as np
import pandas as pd
import pytest

from lab41_sce.data import splits
from lab41_sce.data.corpus import load_corpus
from lab41_sce.errors import UserError


@pytest.fixture(scope="module")
def utterances(corpus_root):
    return load_corpus(corpus_root, ["train"])


def test_splits_keep_speakers_and_utterances_apart(utterances):
    table = splits.split(utterances, n_speakers=2, unseen_fraction=0.34, validation_fraction=0.25)
    by_split = table.groupby("split")["speaker"].unique().map(set)
    assert not by_split["train"] & (by_split["validation"] | by_split["unseen"])
    assert not by_split["validation"] & by_split["unseen"]
    assert by_split["in-set"] == by_split["train-validation"] == by_split["train"]
    assert (table.groupby(["split", "sex"])["speaker"].nunique().unstack() == 2).all(axis=None)
    assert (table[table["split"] == "in-set"].groupby("speaker").size() == 1).all()
    again = splits.split(utterances, n_speakers=2, unseen_fraction=0.34, validation_fraction=0.25)
    assert again.equals(table)
    other = splits.split(utterances, n_speakers=2, unseen_fraction=0.34, validation_fraction=0.25, seed=1)
    assert not other.equals(table)


def test_unseen_subsets_are_exactly_the_unseen_speakers(utterances):
    table = utterances.assign(subset=np.where(utterances["speaker"] > "108", "test", "train"))
    table = splits.split(table, 2, unseen_subsets=["test"])
    assert set(table.loc[table["split"] == "unseen", "speaker"]) == {"109", "110", "111", "112"}


def test_a_corpus_that_only_trains_gives_its_unseen_subsets_at_most(utterances):
    assert set(splits.split_by_subset(utterances, [])["split"]) == {"train"}
    some = (utterances["speaker"] > "108") & utterances["utterance"].str.endswith("3")  # one utterance of a speaker
    table = splits.split_by_subset(utterances.assign(subset=np.where(some, "test", "train")), ["test"])
    assert set(table.loc[table["split"] == "unseen", "speaker"]) == {"109", "110", "111", "112"}
    assert set(table.loc[table["split"] == "train", "speaker"]) == {str(speaker) for speaker in range(101, 109)}
    splits.verify(table)


def test_a_speaker_in_two_splits_or_an_utterance_twice_is_an_error(utterances):
    table = splits.split(utterances, 2)
    leaky = table.copy()
    leaky.loc[leaky.index[leaky["split"] == "train"][0], "split"] = "unseen"
    with pytest.raises(ValueError, match="more than one of"):
        splits.verify(leaky)
    with pytest.raises(ValueError, match="occurs twice"):
        splits.verify(pd.concat([table, table.iloc[:1]]))


def make_table(lengths, sexes="FM"):
    """Return a table with one speaker of each sex for each of `lengths`, its number of utterances."""
    rows = [(f"{sex}{number:02}", sex, "train", f"{sex}{number:02}-{i}", 2.0)
            for sex in sexes for number, n in enumerate(lengths) for i in range(n)]
    return pd.DataFrame(rows, columns=["speaker", "sex", "subset", "utterance", "seconds"])


def test_shares_of_speakers_and_utterances():
    table = splits.split(make_table([30] * 20), 2, unseen_fraction=0.25, validation_fraction=0.2)
    speakers = table.groupby(["split", "sex"])["speaker"].nunique().unstack()
    assert (speakers.loc["unseen"] == 5).all() and (speakers.loc["validation"] == 3).all()
    assert (speakers.loc["train"] == 12).all()
    sizes = table.groupby(["split", "speaker"]).size()
    assert (sizes["train"] == 24).all() and (sizes["in-set"] == sizes["train-validation"]).all()
    assert (sizes["in-set"] == 3).all()


def test_speakers_with_fewer_than_five_utterances_are_only_in_training():
    table = splits.split(make_table([4] * 10), 2)
    assert set(table["split"]) == {"train", "validation", "unseen"}
    table = splits.split(make_table([5] * 10), 2)
    assert (table[table["split"] == "in-set"].groupby("speaker").size() == 1).all()
    assert set(table["split"]) == set(splits.SPLITS)


@pytest.mark.parametrize("sex", ["F", "M"])
def test_a_corpus_of_one_sex_is_split_too(sex):
    table = splits.split(make_table([6] * 12, sex), 2)
    assert set(table["split"]) == set(splits.SPLITS)


def test_the_smallest_number_of_speakers():
    table = splits.split(make_table([6] * 5), 2)  # of each sex: 2 unseen, 2 for validation, 1 to train on
    assert table.loc[table["split"] == "train", "speaker"].nunique() == 2
    with pytest.raises(UserError, match="4 speakers of sex F, but mixtures of 2 need at least 5"):
        splits.split(make_table([6] * 4), 2)
    with pytest.raises(UserError, match="2 speakers are left to train on, but a mixture needs 3"):
        splits.split(make_table([6] * 7), 3)


def test_the_first_speaker_in_two_splits_is_named():
    table = splits.split(make_table([6] * 10), 2)
    trained = splits.trained_speakers(table)
    leaky = table.copy()
    for speaker in trained[2:4]:
        leaky.loc[leaky.index[leaky["speaker"] == speaker][0], "split"] = "unseen"
    with pytest.raises(ValueError, match=f"speaker {trained[2]} is in more than one of"):
        splits.verify(leaky)
    twice = pd.concat([table, table.iloc[[3, 5]]])
    with pytest.raises(ValueError, match=f"utterance {table['utterance'][3]} occurs twice"):
        splits.verify(twice)


def test_too_few_speakers_are_an_error(utterances):
    few = utterances[utterances["speaker"].isin(["101", "102", "103", "104"])]
    with pytest.raises(UserError, match="2 speakers of sex F, but mixtures of 2 need at least 5"):
        splits.split(few, 2)


def test_other_speeds_are_added_to_the_training_split_only(corpus_root):
    table = splits.split(load_corpus(corpus_root, ["train"]), 2)
    more = splits.perturb_speed(table, [0.9, 1.0, 1.25])
    splits.verify(more)
    train = table[table["split"] == "train"]
    assert len(more) == len(table) + 2 * len(train)
    assert splits.trained_speakers(more) == splits.trained_speakers(table)
    slow = more[more["speed"] == 0.9]
    assert set(slow["split"]) == {"train"} and slow["utterance"].str.endswith("@0.9").all()
    assert slow["seconds"].sum() == pytest.approx(train["seconds"].sum() / 0.9)
    only_slow = splits.perturb_speed(table, [0.9])
    assert set(only_slow.loc[only_slow["split"] == "train", "speed"]) == {0.9}
    assert (only_slow["split"] != "train").sum() == (table["split"] != "train").sum()
    assert splits.perturb_speed(table, [1.0]).drop(columns="speed").equals(table)


def test_the_names_of_splits_with_noise():
    name = splits.noisy_split("unseen", 2.5)
    assert name == "unseen, SNR 2.5 dB"
    assert splits.base_split(name) == splits.base_split("unseen") == "unseen"
    assert splits.split_snr_db(name) == 2.5 and splits.split_snr_db("unseen, SNR -5 dB") == -5
    assert splits.split_snr_db("unseen") == np.inf
    assert splits.headline_split(["in-set", name]) == "unseen" and splits.headline_split(["in-set"]) == "in-set"

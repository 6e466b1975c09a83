"""`lab41_sce.runs.prepare`: the speech of several corpora, with their splits and ids."""

import shutil

import numpy as np
import pandas as pd
import pytest
import soundfile
from conftest import hum

from lab41_sce.data.corpus import EMBEDDED_SUBSET
from lab41_sce.errors import UserError
from lab41_sce.runs.config_schema import check, compose_config
from lab41_sce.runs.prepare import load_listed_speech, load_rooms, load_split_speech, prepare

COLUMNS = ["utterance", "speaker", "sex", "subset", "split"]


@pytest.fixture(scope="module")
def more_root(corpus_root, tmp_path_factory):
    """Make a corpus of the same speaker ids with other speech, in Opus: one utterance of each speaker."""
    root = tmp_path_factory.mktemp("more")
    for speaker in range(101, 113):
        folder = root / "reading" / str(speaker) / "1"
        folder.mkdir(parents=True)
        signal = hum(100 + 10 * (speaker - 100), 3.1, 16000, np.random.default_rng(speaker))
        soundfile.write(folder / f"{speaker}-7-0000.ogg", signal, 16000, subtype="OPUS")
    shutil.copy(corpus_root / "SPEAKERS.TXT", root)
    return root


@pytest.fixture
def compose(corpus_root, more_root):
    def composed(*overrides, added=True):
        more = ["+corpus@corpus.added.more=speechocean762", "corpus.added.more.name=more",
                f"corpus.added.more.root={more_root}", "corpus.added.more.subsets=[reading]"]
        return compose_config(["+exp=smoke", "corpus=librispeech", f"corpus.root={corpus_root}",
                               "corpus.subsets=[train]", "corpus.unseen_subsets=[]", "validation.seconds=1.5",
                               "mixtures.seconds=0.5", *more * added, *overrides])
    return composed


def test_an_added_corpus_only_trains_and_changes_no_other_split(compose):
    alone, both = (load_split_speech(check(compose(added=added))) for added in (False, True))
    pd.testing.assert_frame_equal(both.iloc[:72], alone)
    added = both.iloc[72:]
    assert set(added["split"]) == {"train"} and len(added) == 12
    assert added["speaker"].to_list() == [f"more:{speaker}" for speaker in range(101, 113)]


def test_an_added_corpus_is_split_too_if_asked_for(compose):
    table = load_split_speech(check(compose("splits.added_train_only=false")))
    of_added = table[table["speaker"].str.startswith("more:")].groupby("split")["speaker"].nunique()
    assert of_added["validation"] == of_added["unseen"] == 4 and of_added["train"] == 4
    unseen = "corpus.added.more.unseen_subsets=[reading]", "corpus.added.more.subsets=[]"
    table = load_split_speech(check(compose(*unseen)))
    assert set(table.loc[table["speaker"].str.startswith("more:"), "split"]) == {"unseen"}


def test_validation_and_evaluation_are_the_same_beside_an_added_corpus(compose):
    alone, both = (prepare(config, check(config), load_split_speech(check(config)))
                   for config in (compose(added=False), compose()))
    pd.testing.assert_frame_equal(both.validation, alone.validation)
    pd.testing.assert_frame_equal(both.evaluation_mixtures(), alone.evaluation_mixtures())
    drawn = {both.setup.speakers[number] for index in range(8)
             for number in both.mixtures("train").batch(index)["speaker_ids"].ravel()}
    assert drawn == set(both.setup.speakers) and sum(name.startswith("more:") for name in drawn) == 12


def test_rooms_are_in_training_and_held_out_batches_but_not_in_the_validation_mixtures(compose, tmp_path):
    responses = np.zeros((1, 2, 2000), np.float32)
    responses[..., [0, 1000]] = 1, 0.5
    np.savez(tmp_path / "bank.npz", responses=responses, sample_rate_hz=10000, rt60=np.ones(1))
    options = f"rooms.file={tmp_path / 'bank.npz'}", "rooms.share=1", "rooms.early_seconds=0.1", "validation.batches=1"
    configs = compose(*options, added=False), compose(added=False)
    in_rooms, dry = (prepare(config, check(config), load_split_speech(check(config))) for config in configs)
    pd.testing.assert_frame_equal(in_rooms.validation, dry.validation)
    batches = in_rooms.mixtures("train").batch(0), *in_rooms.held_out_batches()
    assert len(batches) == 2 and all(batch["sources"].any() and not batch["noise"].any() for batch in batches)
    assert not np.array_equal(batches[0]["sources"], dry.mixtures("train").batch(0)["sources"])
    more = compose(*options[:2], "mixtures.speaker_shares={1: 0.5, 3: 0.5}", added=False)
    with pytest.raises(UserError, match="the rooms in rooms.file have 2 places, but mixtures have up to 3 speakers"):
        load_rooms(check(more))


def test_held_out_batches_are_as_hard_as_those_after_the_curriculum(compose):
    config = compose("mixtures.curriculum_batches=5", "mixtures.level_range_db=9", "mixtures.speaker_shares={2:1,3:1}",
                     added=False)
    settings = check(config)
    prepared = prepare(config, settings, load_split_speech(settings))
    expected = prepared.mixtures("train-validation")
    batches = prepared.held_out_batches()
    assert len(batches) == settings.validation.batches
    for number, batch in enumerate(batches):
        np.testing.assert_array_equal(batch["sources"], expected.batch(5 + number)["sources"])
    assert (np.concatenate([batch["sources"] for batch in batches]).any(axis=-1).sum(axis=1) == 3).any()


@pytest.mark.parametrize("setting", ["training.initial_model", "method.build.embedder"])
def test_a_model_that_knows_an_unseen_speaker_is_refused(compose, tmp_path, caplog, setting):
    method = ["method=complex_masks"] if setting.startswith("method") else []
    config = compose(f"{setting}={tmp_path / 'model.keras'}", *method, added=False)
    settings = check(config)
    recorded = load_split_speech(settings)
    speakers = {split: table["speaker"].iloc[0] for split, table in recorded.groupby("split")}
    listed = recorded[["utterance", "speaker", "subset", "split"]]
    load_split_speech(settings)  # loading the model reports that there is none
    assert "no splits.csv" not in caplog.text
    (tmp_path / "model.keras").touch()
    for split, role, known in (("unseen", "train", True), ("unseen", "validation", True), ("unseen", "unseen", False),
                               ("validation", "validation", False)):
        roles = listed["split"].mask(listed["speaker"] == speakers[split], role)
        listed.assign(split=roles).to_csv(tmp_path / "splits.csv", index=False)
        if known:
            found = f"the model of {setting}=.* was trained or selected with speaker {speakers[split]}, who counts as"
            with pytest.raises(UserError, match=found):
                prepare(config, settings, recorded)
        else:
            prepare(config, settings, recorded)
    assert "validation speakers" not in caplog.text
    listed.assign(split=listed["split"].mask(listed["speaker"] == speakers["validation"], "train")).to_csv(
        tmp_path / "splits.csv", index=False)
    prepare(config, settings, recorded)
    assert "was trained with 1 of the" in caplog.text
    # The ids of the embedded corpus are other people.
    listed.assign(split="train", subset=EMBEDDED_SUBSET).to_csv(tmp_path / "splits.csv", index=False)
    prepare(config, settings, recorded)


def test_a_mistake_in_an_added_corpus_names_it(compose):
    with pytest.raises(UserError, match="^corpus.added.more: .* has no folder talking"):
        load_split_speech(check(compose("corpus.added.more.subsets=[talking]")))


def test_a_list_of_splits_with_other_speech_is_refused(compose):
    """Training would use the speech that is there, and nobody would notice."""
    settings = check(compose(added=False))
    listed = load_split_speech(settings)
    missing = listed.iloc[:2].assign(utterance=["absent-1", "absent-2"], split=["train", "unseen"])
    with pytest.raises(UserError, match=r"^1 of the \d+ utterances that splits.csv lists .* \(the first: absent-1\)"):
        load_listed_speech(settings, pd.concat([listed, missing]))


def test_a_list_of_splits_is_for_the_first_corpus(compose):
    settings = check(compose())
    own = load_split_speech(settings)
    listed = own.iloc[:72:2].assign(split="validation")
    table = load_listed_speech(settings, listed)
    pd.testing.assert_frame_equal(table[COLUMNS], pd.concat([listed, own.iloc[72:]], ignore_index=True)[COLUMNS])
    listed = own.assign(split=own["split"].where(own.index < 80, "unseen"))
    with pytest.raises(UserError, match="splits.csv has more:109-7-0000 in unseen, but the settings put it into train"):
        load_listed_speech(settings, listed)

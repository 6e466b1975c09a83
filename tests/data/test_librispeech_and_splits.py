"""Trees in LibriSpeech's layout: what is used, what is left out and why; splits without leaks."""

import logging
import os
import shutil

import numpy as np
import pandas as pd
import pytest
import soundfile
from filelock import FileLock, Timeout

from lab41_sce.data import librispeech, splits
from lab41_sce.errors import UserError


def test_index_lists_every_utterance_with_its_speaker(corpus_root):
    table = librispeech.load(corpus_root, ["train"])
    assert len(table) == 72 and table["speaker"].nunique() == 12
    assert table["utterance"].is_monotonic_increasing and table["seconds"].between(2, 3).all()
    assert set(table.loc[table["speaker"] == "101", "sex"]) == {"M"}


def test_bad_files_are_left_out_with_their_reason(corpus_root, tmp_path, caplog):
    root = tmp_path / "tree"
    shutil.copytree(corpus_root, root)
    folder = root / "train" / "101" / "7"
    (folder / "101-7-9001.flac").write_bytes(b"this is no audio")
    (folder / "101-7-9002.flac").write_bytes(b"")
    soundfile.write(folder / "101-7-9003.flac", np.zeros(32000), 16000)
    soundfile.write(folder / "101-7-9004.flac", np.ones(800) * 0.1, 16000)
    (root / "train" / "999" / "7").mkdir(parents=True)
    shutil.copy(folder / "101-7-0000.flac", root / "train" / "999" / "7" / "999-7-0000.flac")
    soundfile.write(folder / "101-7-9005.wav", 0.1 * np.random.default_rng(0).standard_normal((88200, 2)), 44100)
    with caplog.at_level(logging.WARNING):
        table = librispeech.load(root, ["train"])
    assert len(table) == 73  # the stereo file at another rate is converted, so it counts
    warnings = [record.getMessage() for record in caplog.records]
    assert len(warnings) == 1 and "5 of 78 files" in warnings[0]
    for name, reason in {"9001": "cannot be decoded", "9002": "cannot be decoded", "9003": "silent",
                         "9004": "0.05 s, less than 1 s", "999-7-0000": "not in SPEAKERS.TXT"}.items():
        assert any(name in line and reason in line for line in warnings[0].splitlines())


def test_headers_tell_what_decoding_does(corpus_root, tmp_path):
    shutil.copytree(corpus_root, tmp_path / "corpus")
    chapter = next((tmp_path / "corpus" / "train").glob("*/*"))
    signal = 0.1 * np.random.default_rng(0).standard_normal(100_003)
    for suffix, rate_hz in ((".flac", 44_100), (".wav", 8000), (".ogg", 16_000)):
        soundfile.write(chapter / f"of_another_kind{suffix[1:]}{suffix}", signal, rate_hz)
    decoded, from_headers = (librispeech.load(tmp_path / "corpus", ["train"], check=check)
                             for check in ("samples", "headers"))
    assert len(from_headers) > 3 and set(from_headers["path"].str[-4:]) >= {"flac", ".wav", ".ogg"}
    pd.testing.assert_frame_equal(from_headers, decoded)


def test_bad_headers_are_left_out_with_their_reason(corpus_root, tmp_path, caplog):
    shutil.copytree(corpus_root, tmp_path / "corpus")
    first, second, third, *_ = sorted((tmp_path / "corpus" / "train").glob("*/*/*.flac"))
    first.write_bytes(first.read_bytes()[:20])
    second.write_bytes(b"")
    third.write_bytes(b"nothing that plays" * 10)
    with caplog.at_level(logging.WARNING):
        table = librispeech.load(tmp_path / "corpus", ["train"], check="headers")
    assert not {first.stem, second.stem, third.stem} & set(table["utterance"])
    assert caplog.text.count("it cannot be decoded") == 3


def test_a_list_restricts_the_tree_wherever_utterances_lie(corpus_root, tmp_path):
    root = tmp_path / "tree"
    shutil.copytree(corpus_root, root)
    shutil.move(root / "train" / "102", tmp_path / "102")
    (root / "other").mkdir()
    shutil.move(tmp_path / "102", root / "other" / "102")
    wanted = ["101-7-0001", "102-7-0003"]
    pd.DataFrame({"utterance": wanted}).to_csv(tmp_path / "list.csv", index=False)
    table = librispeech.load(root, ["train", "other", "absent"], utterances=tmp_path / "list.csv")
    assert table["utterance"].to_list() == wanted
    pd.DataFrame({"utterance": [*wanted, "5-5-5555"]}).to_csv(tmp_path / "list.csv", index=False)
    with pytest.raises(UserError, match="1 of the 3 .* 5-5-5555"):
        librispeech.load(root, ["train", "other"], utterances=tmp_path / "list.csv")


def test_missing_parts_are_told(corpus_root, tmp_path):
    with pytest.raises(UserError, match="not a folder"):
        librispeech.load(tmp_path / "nowhere", ["train"])
    with pytest.raises(UserError, match="no folder absent"):
        librispeech.load(corpus_root, ["absent"])
    (tmp_path / "train").mkdir()
    with pytest.raises(UserError, match="SPEAKERS.TXT is missing"):
        librispeech.load(tmp_path, ["train"])
    shutil.copy(corpus_root / "SPEAKERS.TXT", tmp_path)
    with pytest.raises(UserError, match="no usable utterance"):
        librispeech.load(tmp_path, ["train"])


@pytest.mark.parametrize("name", ["../corpus", "/", "..", ".", "", "train/101", 5])
def test_subsets_are_folders_of_the_corpus(corpus_root, name):
    with pytest.raises(UserError, match="which is no folder of corpus.root"):
        librispeech.load(corpus_root, [name])


@pytest.mark.parametrize("check", ["samples", "headers"])
def test_what_is_no_file_is_not_waited_for(corpus_root, tmp_path, check):
    shutil.copytree(corpus_root, tmp_path / "corpus")
    os.mkfifo(tmp_path / "corpus" / "train" / "101" / "7" / "101-7-9999.flac")
    assert len(librispeech.load(tmp_path / "corpus", ["train"], check=check)) == 72
    with pytest.raises(UserError, match="there is no such file"):
        librispeech.load(corpus_root, ["train"], utterances="/dev/zero")


def test_one_name_for_two_speakers_is_told(corpus_root, tmp_path, caplog):
    root = tmp_path / "tree"
    shutil.copytree(corpus_root, root)
    shutil.copy(root / "train/101/7/101-7-0000.flac", root / "train/102/7/101-7-0000.flac")
    with caplog.at_level(logging.WARNING):
        table = librispeech.load(root, ["train"])
    assert len(table) == 72 and "has the same name" in caplog.text


def test_download_never_goes_into_the_package():
    with pytest.raises(UserError, match="needs corpus.root"):
        librispeech.load(None, ["synthetic"], download=True)


def test_workers_download_one_after_the_other(tmp_path, monkeypatch):
    def download(subsets, root):
        with pytest.raises(Timeout):
            FileLock(root / ".download.lock", timeout=0).acquire()
        done.append(subsets)

    done = []
    monkeypatch.setattr(librispeech, "download_subsets", download)
    with pytest.raises(UserError, match="no folder train"):  # for nothing has come
        librispeech.load(tmp_path / "root", ["train"], check="headers", download=True)
    assert done == [["train"]]


@pytest.fixture(scope="module")
def utterances(corpus_root):
    return librispeech.load(corpus_root, ["train"])


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


def test_a_leak_is_an_error(utterances):
    table = splits.split(utterances, 2)
    leaky = table.copy()
    leaky.loc[leaky.index[leaky["split"] == "train"][0], "split"] = "unseen"
    with pytest.raises(ValueError, match="more than one of"):
        splits.verify(leaky)
    with pytest.raises(ValueError, match="stands twice"):
        splits.verify(pd.concat([table, table.iloc[:1]]))


def made(lengths, sexes="FM"):
    """Return a table with speakers of each sex, each with so many utterances as the lengths say."""
    rows = [(f"{sex}{number:02}", sex, "train", f"{sex}{number:02}-{i}", 2.0)
            for sex in sexes for number, n in enumerate(lengths) for i in range(n)]
    return pd.DataFrame(rows, columns=["speaker", "sex", "subset", "utterance", "seconds"])


def test_shares_of_speakers_and_utterances():
    table = splits.split(made([30] * 20), 2, unseen_fraction=0.25, validation_fraction=0.2)
    speakers = table.groupby(["split", "sex"])["speaker"].nunique().unstack()
    assert (speakers.loc["unseen"] == 5).all() and (speakers.loc["validation"] == 3).all()
    assert (speakers.loc["train"] == 12).all()
    heard = table.groupby(["split", "speaker"]).size()
    assert (heard["train"] == 24).all() and (heard["in-set"] == heard["train-validation"]).all()
    assert (heard["in-set"] == 3).all()


def test_who_says_little_is_only_trained_on():
    table = splits.split(made([4] * 10), 2)
    assert set(table["split"]) == {"train", "validation", "unseen"}
    table = splits.split(made([5] * 10), 2)
    assert (table[table["split"] == "in-set"].groupby("speaker").size() == 1).all()
    assert set(table["split"]) == set(splits.SPLITS)


@pytest.mark.parametrize("sex", ["F", "M"])
def test_a_corpus_of_one_sex_is_split_too(sex):
    table = splits.split(made([6] * 12, sex), 2)
    assert set(table["split"]) == set(splits.SPLITS)


def test_as_few_speakers_as_will_do():
    table = splits.split(made([6] * 5), 2)  # 2 unseen, 2 for validation, and one of each sex
    assert table.loc[table["split"] == "train", "speaker"].nunique() == 2
    with pytest.raises(UserError, match="4 speakers of sex F, but mixtures of 2 need at least 5"):
        splits.split(made([6] * 4), 2)
    with pytest.raises(UserError, match="2 speakers are left to train on, but a mixture needs 3"):
        splits.split(made([6] * 7), 3)


def test_the_first_that_leaks_is_named():
    table = splits.split(made([6] * 10), 2)
    trained = splits.trained_speakers(table)
    leaky = table.copy()
    for speaker in trained[2:4]:
        leaky.loc[leaky.index[leaky["speaker"] == speaker][0], "split"] = "unseen"
    with pytest.raises(ValueError, match=f"speaker {trained[2]} is in more than one of"):
        splits.verify(leaky)
    twice = pd.concat([table, table.iloc[[3, 5]]])
    with pytest.raises(ValueError, match=f"utterance {table['utterance'][3]} stands twice"):
        splits.verify(twice)


def test_too_few_speakers_are_told(utterances):
    few = utterances[utterances["speaker"].isin(["101", "102", "103", "104"])]
    with pytest.raises(UserError, match="2 speakers of sex F, but mixtures of 2 need at least 5"):
        splits.split(few, 2)


def test_other_speeds_are_more_speech_of_the_training_only(corpus_root):
    table = splits.split(librispeech.load(corpus_root, ["train"]), 2)
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

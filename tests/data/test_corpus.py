"""`lab41_sce.data.corpus`: which utterances are loaded, missing parts, and downloads."""

import shutil

import pandas as pd
import pytest
from filelock import FileLock, Timeout

from lab41_sce.data.corpus import EMBEDDED_ROOT, EMBEDDED_SUBSET, id_in_corpus, join_corpora, load_corpus
from lab41_sce.errors import UserError


def test_a_list_selects_utterances_from_all_subsets(corpus_root, tmp_path):
    root = tmp_path / "tree"
    shutil.copytree(corpus_root, root)
    shutil.move(root / "train" / "102", tmp_path / "102")
    (root / "other").mkdir()
    shutil.move(tmp_path / "102", root / "other" / "102")
    wanted = ["101-7-0001", "102-7-0003"]
    pd.DataFrame({"utterance": wanted}).to_csv(tmp_path / "list.csv", index=False)
    table = load_corpus(root, ["train", "other", "absent"], utterances=tmp_path / "list.csv")
    assert table["utterance"].to_list() == wanted
    pd.DataFrame({"utterance": [*wanted, "5-5-5555"]}).to_csv(tmp_path / "list.csv", index=False)
    with pytest.raises(UserError, match="1 of the 3 .* 5-5-5555"):
        load_corpus(root, ["train", "other"], utterances=tmp_path / "list.csv")
    (tmp_path / "list.csv").write_text("name\n101-7-0001\n")
    with pytest.raises(UserError, match=r"list\.csv cannot be read .*expected but not found.*a column 'utterance'"):
        load_corpus(root, ["train"], utterances=tmp_path / "list.csv")


def test_missing_parts_are_named_in_the_error(corpus_root, tmp_path):
    with pytest.raises(UserError, match="not a folder"):
        load_corpus(tmp_path / "nowhere", ["train"])
    with pytest.raises(UserError, match="no folder absent"):
        load_corpus(corpus_root, ["absent"])
    (tmp_path / "train").mkdir()
    with pytest.raises(UserError, match="SPEAKERS.TXT is missing"):
        load_corpus(tmp_path, ["train"])
    shutil.copy(corpus_root / "SPEAKERS.TXT", tmp_path)
    with pytest.raises(UserError, match="no usable utterance"):
        load_corpus(tmp_path, ["train"])


@pytest.mark.parametrize("name", ["../corpus", "/", "..", ".", "", "train/101", 5])
def test_a_subset_is_the_name_of_a_folder_in_the_root(corpus_root, name):
    with pytest.raises(UserError, match="which is not the name of a folder of corpus.root"):
        load_corpus(corpus_root, [name])


def test_nothing_is_downloaded_into_the_package():
    with pytest.raises(UserError, match="needs corpus.root"):
        load_corpus(None, ["synthetic"], download=True)


def test_processes_download_one_after_the_other(tmp_path, monkeypatch):
    def download(subsets, root, mirror):
        with pytest.raises(Timeout):
            FileLock(root / ".download.lock", timeout=0).acquire()
        done.append(subsets)

    done = []
    monkeypatch.setattr("lab41_sce.data.download.download_subsets", download)
    with pytest.raises(UserError, match="no folder train-clean-5"):  # nothing was downloaded
        load_corpus(tmp_path / "root", ["train-clean-5"], check="headers", download=True)
    assert done == [["train-clean-5"]]


def test_a_subset_that_exists_is_not_downloaded(corpus_root):
    assert len(load_corpus(corpus_root, ["train"], check="headers", download=True)) == 72
    with pytest.raises(UserError, match="no LibriSpeech subset 'absent' to download"):
        load_corpus(corpus_root, ["train", "absent"], check="headers", download=True)


def test_the_embedded_corpus_needs_no_root():
    table = load_corpus(None, [EMBEDDED_SUBSET], check="headers")
    assert table["speaker"].nunique() == 40 and set(table["subset"]) == {EMBEDDED_SUBSET}
    assert all(path.startswith(str(EMBEDDED_ROOT)) for path in table["path"])


def test_ids_of_added_corpora_begin_with_their_names(corpus_root):
    first = load_corpus(corpus_root, ["train"], check="headers")
    others = {name: first.assign(seconds=first["seconds"] + number) for number, name in enumerate(("one", "two"), 1)}
    joined = join_corpora(first, others)
    pd.testing.assert_frame_equal(joined.iloc[:72], first)
    assert joined["speaker"].nunique() == 36 and joined["utterance"].is_unique
    assert joined.loc[72, ["speaker", "utterance"]].to_list() == ["one:101", "one:101-7-0000"]
    assert joined["speaker"].iloc[-1] == "two:112" and id_in_corpus("two:112") == id_in_corpus("112") == "112"
    pd.testing.assert_frame_equal(join_corpora(first, {}), first)


def test_the_same_speech_in_two_corpora_is_refused(corpus_root):
    """The speaker could be trained on under one id and validated on under the other."""
    first = load_corpus(corpus_root, ["train"], check="headers")
    with pytest.raises(UserError, match="3 utterances are in two of the corpora corpus.root, more .* 101-7-0001"):
        join_corpora(first, {"more": first.iloc[1:4]})


def test_trees_and_stores_are_not_joined(corpus_root):
    tree = load_corpus(corpus_root, ["train"], check="headers")
    with pytest.raises(UserError, match="trees and stores; make all of them stores"):
        join_corpora(tree, {"store": tree.assign(start=0, stop=20000, seconds=2.0)})


@pytest.fixture
def aged_root(corpus_root, tmp_path):
    """Return a tree whose speakers 101 to 112 are 14 to 25 years old."""
    (tmp_path / "train").symlink_to(corpus_root / "train")
    lines = [f"{speaker} | {'FM'[speaker % 2]} | train | 0.2 | age {speaker - 87}" for speaker in range(101, 113)]
    (tmp_path / "SPEAKERS.TXT").write_text("\n".join(lines))
    return tmp_path


def test_the_youngest_age_leaves_out_speakers(aged_root, caplog):
    assert load_corpus(aged_root, ["train"], check="headers")["speaker"].nunique() == 12
    table = load_corpus(aged_root, ["train"], check="headers", min_age=18)
    assert set(table["speaker"]) == {str(speaker) for speaker in range(105, 113)}
    assert not caplog.records  # the children are left out as asked for, not because their files are unusable
    with pytest.raises(UserError, match="corpus.min_age=26 leaves no speaker, since the oldest .* is 25 years old"):
        load_corpus(aged_root, ["train"], min_age=26)


def test_ages_that_are_not_known_are_an_error(aged_root, corpus_root):
    speakers = aged_root / "SPEAKERS.TXT"
    speakers.write_text(speakers.read_text().replace("age 17", "Ann Age 17").replace("| age 16", ""))
    with pytest.raises(UserError, match=r"has none for 2 of 12 \(the first: 103\); write it .* like this: age 25"):
        load_corpus(aged_root, ["train"], min_age=18)
    with pytest.raises(UserError, match="has none for 12 of 12"):
        load_corpus(corpus_root, ["train"], min_age=18)

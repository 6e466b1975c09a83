"""`lab41_sce.data.corpus`: which utterances are loaded, missing parts, and downloads."""

import shutil

import pandas as pd
import pytest
from filelock import FileLock, Timeout

from lab41_sce.data.corpus import EMBEDDED_ROOT, EMBEDDED_SUBSET, load_corpus
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

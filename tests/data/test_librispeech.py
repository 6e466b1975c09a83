"""`lab41_sce.data.librispeech`: the utterances of a tree, and the files that are left out with their reasons."""

import logging
import os
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile

from lab41_sce.data.corpus import load_corpus
from lab41_sce.data.speech import Speech
from lab41_sce.errors import UserError


def test_index_lists_every_utterance_with_its_speaker(corpus_root):
    table = load_corpus(corpus_root, ["train"])
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
        table = load_corpus(root, ["train"])
    assert len(table) == 73  # the stereo file at another rate is converted, so it counts
    warnings = [record.getMessage() for record in caplog.records]
    assert len(warnings) == 1 and "5 of 78 files" in warnings[0]
    for name, reason in {"9001": "cannot be decoded", "9002": "cannot be decoded", "9003": "silent",
                         "9004": "0.05 s, less than 1 s", "999-7-0000": "not in SPEAKERS.TXT"}.items():
        assert any(name in line and reason in line for line in warnings[0].splitlines())


def test_headers_give_the_same_durations_as_decoding(corpus_root, tmp_path):
    shutil.copytree(corpus_root, tmp_path / "corpus")
    chapter = next((tmp_path / "corpus" / "train").glob("*/*"))
    signal = 0.1 * np.random.default_rng(0).standard_normal(100_003)
    for suffix, rate_hz in ((".flac", 44_100), (".wav", 8000), (".ogg", 16_000)):
        soundfile.write(chapter / f"other_format_{suffix[1:]}{suffix}", signal, rate_hz)
    soundfile.write(chapter / "other_format_opus.ogg", signal, 16_000, subtype="OPUS")
    decoded, from_headers = (load_corpus(tmp_path / "corpus", ["train"], check=check)
                             for check in ("samples", "headers"))
    assert len(from_headers) == 76 and set(from_headers["path"].str[-4:]) >= {"flac", ".wav", ".ogg"}
    pd.testing.assert_frame_equal(from_headers, decoded)


def test_bad_headers_are_left_out_with_their_reason(corpus_root, tmp_path, caplog):
    shutil.copytree(corpus_root, tmp_path / "corpus")
    first, second, third, *_ = sorted((tmp_path / "corpus" / "train").glob("*/*/*.flac"))
    first.write_bytes(first.read_bytes()[:20])
    second.write_bytes(b"")
    third.write_bytes(b"this is no audio" * 10)
    with caplog.at_level(logging.WARNING):
        table = load_corpus(tmp_path / "corpus", ["train"], check="headers")
    assert not {first.stem, second.stem, third.stem} & set(table["utterance"])
    assert caplog.text.count("it cannot be decoded") == 3


@pytest.mark.parametrize("check", ["samples", "headers"])
def test_a_pipe_or_device_is_not_opened(corpus_root, tmp_path, check):
    shutil.copytree(corpus_root, tmp_path / "corpus")
    os.mkfifo(tmp_path / "corpus" / "train" / "101" / "7" / "101-7-9999.flac")
    assert len(load_corpus(tmp_path / "corpus", ["train"], check=check)) == 72
    with pytest.raises(UserError, match="there is no such file"):
        load_corpus(corpus_root, ["train"], utterances="/dev/zero")


def test_files_of_two_speakers_with_one_name_are_reported(corpus_root, tmp_path, caplog):
    root = tmp_path / "tree"
    shutil.copytree(corpus_root, root)
    shutil.copy(root / "train/101/7/101-7-0000.flac", root / "train/102/7/101-7-0000.flac")
    with caplog.at_level(logging.WARNING):
        table = load_corpus(root, ["train"])
    assert len(table) == 72 and "has the same name" in caplog.text


@pytest.mark.parametrize("check", ["samples", "headers"])
def test_speech_far_above_full_scale_is_not_clipped_unnoticed(corpus_root, tmp_path, caplog, check):
    """Floats in units of 16-bit samples became square waves in training."""
    shutil.copytree(corpus_root, tmp_path / "tree")
    signal = 3000 * np.random.default_rng(0).standard_normal(20_000)
    soundfile.write(tmp_path / "tree/train/101/7/101-7-9000.wav", signal, 10_000, "FLOAT")
    table = load_corpus(tmp_path / "tree", ["train"], check=check)
    if check == "samples":
        assert len(table) == 72 and "101-7-9000.wav: it reaches 1.21e+04 times full scale" in caplog.text
    else:
        with pytest.raises(UserError, match="101-7-9000.wav reaches .* times full scale; scale it down"):
            Speech(table[table["utterance"] == "101-7-9000"], 10_000)


def test_files_of_one_speaker_with_one_name_are_reported(corpus_root, tmp_path, caplog):
    """Recordings that are numbered from 1 in each chapter: only those of the first chapter can be used."""
    root = tmp_path / "tree"
    shutil.copytree(corpus_root, root)
    (root / "train/101/8").mkdir()
    for copy in ("101/8/101-7-0000.flac", "101/7/101-7-0000.wav"):
        shutil.copy(root / "train/101/7/101-7-0000.flac", root / "train" / copy)
    shutil.copytree(root / "train/102", root / "again/102")  # the same utterances in another subset
    with caplog.at_level(logging.WARNING):
        table = load_corpus(root, ["train", "again"])
    assert len(table) == 72 and "2 of 74 files are left out" in caplog.text
    other, used = Path("train/101/8/101-7-0000.flac"), Path("train/101/7/101-7-0000.flac")
    assert f"{other}: {used} has the same name" in caplog.text


def test_sexes_are_read_in_any_case_and_with_blanks(corpus_root, tmp_path, caplog):
    (tmp_path / "train").symlink_to(corpus_root / "train")
    lines = ["\ufeff101|m|train|1|A", " 102 |  f\t| train", "103|M ", "104|female|train", "105||train", "106 | F"]
    (tmp_path / "SPEAKERS.TXT").write_text("\n".join(lines), "utf-8")
    table = load_corpus(tmp_path, ["train"], check="headers")
    assert dict(zip(table["speaker"], table["sex"], strict=True)) == {"101": "M", "102": "F", "103": "M", "106": "F"}
    [warning] = [record.getMessage() for record in caplog.records]
    assert "48 of 72 files are left out" in warning
    for speaker, reason in {"104": "the sex 'FEMALE', which is neither F nor M", "105": "the sex ''",
                            "107": "its speaker is not in SPEAKERS.TXT"}.items():
        assert sum(f"/{speaker}/" in line and reason in line for line in warning.splitlines()) == 6

"""`lab41_sce.data.store_writer`, `.store_reader` and `lab41-sce store`: equal speech, resuming, damage."""

import gc
import logging
import pickle
import shutil
import sys

import numpy as np
import pandas as pd
import pytest
import soundfile
from filelock import FileLock
from hydra import compose, initialize_config_dir

from lab41_sce.commands.store import main
from lab41_sce.data import splits, store_reader, store_writer
from lab41_sce.data.corpus import load_corpus
from lab41_sce.data.evaluation_set import draw_evaluation_set
from lab41_sce.data.sampler import TrainingMixtures
from lab41_sce.data.settings import MixtureSettings
from lab41_sce.data.speech import Speech
from lab41_sce.data.store_reader import load_store
from lab41_sce.errors import UserError
from lab41_sce.runs import config_schema
from lab41_sce.runs.prepare import load_speech_table


@pytest.fixture(scope="module")
def made(corpus_root, tmp_path_factory):
    """Make a store of several shards with the command."""
    folder = tmp_path_factory.mktemp("stores") / "store"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(store_writer, "SHARD_SECONDS", 30.0)
        assert main([str(corpus_root), str(folder), "--subsets", "train"]) == 0
    return folder


@pytest.fixture
def store(made, tmp_path, monkeypatch):
    """Copy the store, so that a test can damage it."""
    monkeypatch.setattr(store_writer, "SHARD_SECONDS", 30.0)
    return shutil.copytree(made, tmp_path / "store")


def test_mixtures_from_a_store_equal_those_from_memory(corpus_root, made):
    table, stored = (splits.split(load_corpus(root, ["train"]), 2) for root in (corpus_root, made))
    shared = ["utterance", "speaker", "sex", "subset", "split"]
    pd.testing.assert_frame_equal(stored[shared], table[shared])
    assert stored["path"].nunique() == 6
    speech, from_store = Speech(table, 10000), Speech(stored, 10000)
    np.testing.assert_array_equal(from_store.lengths(table["utterance"]), speech.lengths(table["utterance"]))
    batches = [TrainingMixtures(signals, table[table["split"] == "train"], splits.trained_speakers(table),
                                MixtureSettings(seconds=1.0), pre_emphasis=0.95, seed=0).batch(3)
               for signals in (speech, from_store)]
    for one, other in zip(*(batch.values() for batch in batches), strict=True):
        np.testing.assert_array_equal(one, other)
    pd.testing.assert_frame_equal(*(draw_evaluation_set(signals, table, "unseen", 2, 2, 1.5, 0.95, join=True)
                                    for signals in (speech, from_store)))


def test_a_shard_stays_open_while_it_is_read(made):
    """With many shards, other threads drive a file out of the cache between its opening and its reading."""
    recordings = store_reader.StoredRecordings(load_corpus(made, ["train"]))
    expected = [recordings.read(row, 0, 100, 16000) for row in range(3)]
    recordings._open = store_reader._OpenFile  # without a cache
    for row, samples in enumerate(expected):
        np.testing.assert_array_equal(recordings.read(row, 0, 100, 16000), samples)


def test_other_rates_and_speeds_are_resampled(tmp_path):
    time = np.arange(32000) / 16000
    for name, pitch_hz in (("a", 300), ("b", 400), ("c", 500)):
        soundfile.write(tmp_path / f"{name}.wav", 0.5 * np.sin(2 * np.pi * pitch_hz * time), 16000)
    table = pd.DataFrame({"utterance": ["a", "b", "c"], "speaker": "1", "sex": "F", "subset": "train", "seconds": 2.0,
                          "path": [str(tmp_path / f"{name}.wav") for name in "abc"]})
    store_writer.write_store(table, tmp_path / "store", 10000)
    whole = load_store(tmp_path / "store")
    table = pd.concat([whole, *(whole.assign(utterance=whole["utterance"] + f"@{speed:g}", speed=speed,
                                             seconds=whole["seconds"] / speed) for speed in (0.8, 1.25))])
    for rate_hz in (10000, 8000):
        speech = Speech(table.fillna({"speed": 1.0}), rate_hz)
        for name, seconds, pitch_hz in (("b", 2.0, 400), ("b@0.8", 2.5, 320), ("b@1.25", 1.6, 500)):
            assert speech.length(name) == round(seconds * rate_hz)
            excerpt = speech.excerpt(name, rate_hz // 2, 2 * rate_hz)
            left = round((seconds - 0.5) * rate_hz)  # samples of the utterance; then zeros, not the next utterance
            assert np.abs(np.fft.rfft(excerpt[: rate_hz])).argmax() == pytest.approx(pitch_hz, abs=1)
            assert np.abs(excerpt[left - 200 : left - 100]).max() > 0.4 and not excerpt[left + 2 :].any()


def test_an_interrupted_store_is_finished(corpus_root, store, capsys):
    (store / "index.csv").unlink()
    with pytest.raises(UserError, match="not finished"):
        load_corpus(store, ["train"])
    (store / "shard_00001.json").unlink()  # killed before it was written
    (store / "shard_00004.json").write_text("")
    (store / "shard_00002.wav").write_bytes((store / "shard_00002.wav").read_bytes()[:1000])
    (store / "shard_00003.wav").unlink()
    before = {path: path.stat().st_mtime_ns for path in store.glob("*.wav")}
    assert main([str(corpus_root), str(store), "--subsets", "train"]) == 0
    printed = capsys.readouterr()
    assert "72 utterances of 12 speakers" in printed.out
    assert "has speech of an earlier call, which is kept; delete the folder if the speech has changed" in printed.err
    after = {path: path.stat().st_mtime_ns for path in store.glob("*.wav")}
    changed = {path.stem for path in after if after[path] != before.get(path)}
    assert changed == {"shard_00001", "shard_00002", "shard_00003", "shard_00004"}
    assert len(load_corpus(store, ["train"], check="samples")) == 72
    assert main([str(corpus_root), str(store), "--subsets", "train", "--sample-rate", "8000"]) == 1
    assert "of another rate" in capsys.readouterr().err
    assert main([str(corpus_root), str(store), "--subsets", "train", "--jobs", "0"]) == 1
    assert "--jobs 0 is not possible" in capsys.readouterr().err
    assert main([str(corpus_root), str(store), "--subsets", "train", "absent"]) == 1
    assert "has no folder absent; give existing folders to --subsets" in capsys.readouterr().err
    for option, value in (("--sample-rate", "0"), ("--sample-rate", "2000000"), ("--min-seconds", "nan")):
        assert main([str(corpus_root), str(store), "--subsets", "train", option, value]) == 1
        assert f"{option} {value} is not possible" in capsys.readouterr().err
    with FileLock(store / ".lock"):
        assert main([str(corpus_root), str(store), "--subsets", "train"]) == 1
    assert "another process makes the store" in capsys.readouterr().err


def test_a_damaged_store_is_an_error(store, tmp_path):
    with pytest.raises(UserError, match="no subset absent; .* some of train"):
        load_corpus(store, ["absent"])
    path = store / "shard_00001.wav"
    damaged = bytearray(path.read_bytes())
    damaged[5000] ^= 1
    path.write_bytes(damaged)
    assert len(load_corpus(store, ["train"], check="headers")) == 72
    with pytest.raises(UserError, match="shard_00001.wav is missing or damaged"):
        load_corpus(store, ["train"], check="samples")
    in_shard = load_corpus(store, ["train"], check="headers").query("path.str.endswith('shard_00001.wav')")
    speech = Speech(in_shard, 10_000)
    path.write_bytes(damaged[:5000])  # while an experiment runs
    with pytest.raises(UserError, match="shard_00001.wav is not a shard of a store that can be read .*ends too early"):
        speech.excerpt(in_shard.sort_values("start")["utterance"].iloc[-1], 0, 10_000)
    path.unlink()
    with pytest.raises(UserError, match="shard_00001.wav is not a shard .*No such file"):
        pickle.loads(pickle.dumps(speech)).excerpt(in_shard["utterance"].iloc[0], 0, 10_000)  # as in another process
    path.write_bytes(b"no WAV file")
    with pytest.raises(UserError, match="shard_00001.wav is not a shard of a store that can be read"):
        Speech(in_shard, 10_000)
    path.write_bytes(damaged[:-2000])
    with pytest.raises(UserError, match="shard_00001.wav is missing or damaged"):
        load_corpus(store, ["train"], check="headers")
    path.unlink()
    with pytest.raises(UserError, match="shard_00001.wav is missing or damaged"):
        load_corpus(store, ["train"], check="headers")
    (store / "index.csv").write_text("utterance\na\n")
    with pytest.raises(UserError, match="cannot be read"):
        load_corpus(store, ["train"])


def test_every_utterance_is_searched_for_speech_with_the_checksums(store, monkeypatch):
    monkeypatch.setattr(store_reader, "N_SEARCHED", 2)
    silent = load_corpus(store, ["train"]).query("path.str.endswith('shard_00000.wav')").sort_values("start").iloc[1]
    samples, rate_hz = soundfile.read(silent["path"], dtype="int16")
    samples[silent["start"] : silent["stop"]] = 0
    soundfile.write(silent["path"], samples, rate_hz, "PCM_16")
    shards = pd.read_csv(store / "shards.csv")
    shards.loc[0, "crc32"] = store_reader.compute_crc32(store / "shard_00000.wav")
    shards.to_csv(store / "shards.csv", index=False)
    assert len(load_corpus(store, ["train"], check="headers")) == 72
    with pytest.raises(UserError, match=f"the utterance {silent['utterance']} is silent"):
        load_corpus(store, ["train"], check="samples")


def test_a_shard_that_cannot_be_written_is_reported_in_one_sentence(corpus_root, tmp_path, monkeypatch, capsys):
    unraisable = []
    monkeypatch.setattr(sys, "unraisablehook", unraisable.append)
    (tmp_path / ".shard_00000.part.wav").symlink_to("missing/folder.wav")
    assert main([str(corpus_root), str(tmp_path), "--subsets", "train"]) == 1
    gc.collect()
    assert "shard_00000.wav could not be written" in capsys.readouterr().err and not unraisable


def test_unusable_utterances_are_left_out_until_they_are_repaired(corpus_root, tmp_path, caplog):
    root = tmp_path / "tree"
    shutil.copytree(corpus_root, root)
    one, other, *_ = sorted((root / "train" / "101").glob("*/*.flac"))
    one.write_bytes(one.read_bytes()[:3000])  # its header is whole
    soundfile.write(other, np.zeros(32000), 16000)
    with caplog.at_level(logging.WARNING):
        assert main([str(root), str(tmp_path / "store"), "--subsets", "train"]) == 0
    assert "2 utterances are left out" in caplog.text and f"{other} is silent" in caplog.text
    table = load_corpus(tmp_path / "store", ["train"])
    assert len(table) == 70 and not {one.stem, other.stem} & {*table["utterance"]}
    shutil.copy(corpus_root / one.relative_to(root), one)  # repaired
    assert main([str(root), str(tmp_path / "store"), "--subsets", "train"]) == 0
    table = load_corpus(tmp_path / "store", ["train"])
    assert len(table) == 71 and one.stem in {*table["utterance"]}
    names = (root / "SPEAKERS.TXT").read_text()
    (root / "SPEAKERS.TXT").write_text(names.replace("| F |", "| M |"))
    assert main([str(root), str(tmp_path / "store"), "--subsets", "train"]) == 1  # the corpus has changed
    table["utterance"].iloc[5:7].to_frame().to_csv(tmp_path / "list.csv", index=False)
    assert len(load_corpus(tmp_path / "store", ["train"], utterances=tmp_path / "list.csv")) == 2
    with pytest.raises(UserError, match="no utterance of 60 s or more"):
        load_corpus(tmp_path / "store", ["train"], min_seconds=60)
    with pytest.raises(UserError, match="corpus.min_age=18 is not possible with the store"):
        load_corpus(tmp_path / "store", ["train"], min_age=18)


def test_an_experiment_loads_a_store(made):
    with initialize_config_dir(str(config_schema.CONFIG_PATH), version_base="1.3"):
        config = compose("config", ["corpus=store", f"corpus.root={made}", "corpus.subsets=[train]",
                                    "corpus.unseen_subsets=[]", "training.updates=1"])
    assert len(load_speech_table(config_schema.check(config).corpus)) == 72

"""Tables of a store that were edited, and shards that lost their samples: refused in one sentence."""

import json
import os
import shutil

import numpy as np
import pandas as pd
import pytest
import soundfile

from lab41_sce import atomic_write
from lab41_sce.data import store_writer
from lab41_sce.data.store_reader import load_store
from lab41_sce.errors import UserError

RATE_HZ = 10000


@pytest.fixture
def utterances(tmp_path, monkeypatch):
    """Write six utterances of one second; three of them fill a shard."""
    monkeypatch.setattr(store_writer, "SHARD_SECONDS", 3.0)
    rng = np.random.default_rng(0)
    names = [f"{number}" for number in range(6)]
    for name in names:
        soundfile.write(tmp_path / f"{name}.wav", 0.1 * rng.standard_normal(RATE_HZ), RATE_HZ)
    return pd.DataFrame({"utterance": names, "speaker": "1", "sex": "F", "subset": "train", "seconds": 1.0,
                         "path": [str(tmp_path / f"{name}.wav") for name in names]})


@pytest.fixture
def store(utterances, tmp_path):
    store_writer.write_store(utterances, tmp_path / "store", RATE_HZ, 1)
    assert len(load_store(tmp_path / "store")) == 6
    return tmp_path / "store"


@pytest.mark.parametrize(("name", "before", "after", "reason"), [
    ("shards.csv", "shard_00001.wav", "../0.wav", "names '../0.wav'"),
    ("shards.csv", "shard_00001.wav", "shard_00000.wav", "a shard twice"),
    ("shards.csv", "30000", "half", "half"),
    ("shards.csv", "30000", "30001", "end at sample 30000, where shards.csv has 30001"),
    ("shards.csv", "crc32", "checksum", "columns are not"),
    ("index.csv", "30000,0\n", "30000,2\n", "the shard '2' in row 3"),
    ("index.csv", "30000,0\n", "30000,-1\n", "the shard '-1' in row 3"),
    ("index.csv", "train,0,", "train,-1,", "begins at sample -1"),
    ("index.csv", "30000,1\n", "30001,1\n", "end at sample 30001"),
    ("index.csv", "train,0,10000", "train,10000,10000", "the stop '10000' in row 1"),
    ("index.csv", "train,10000,20000", "train,9999,20000", "begins at sample 9999"),
    ("index.csv", "1,1,F", "0,1,F", "the utterance '0' in row 2"),
    ("index.csv", "0,1,F", "0,1,X", "the sex 'X' in row 1"),
    ("index.csv", "5,1,F,train,20000,30000,1\n", "", "end at sample 20000"),
    ("index.csv", "train,0,", "train,0.5,", "index.csv: "),
    ("index.csv", "train,0,", "train,99999999999999999999,", "index.csv: "),
    ("store.json", "10000", "16000", "10000 Hz, 1 channels and PCM_16 samples, where 16000 Hz"),
    ("store.json", "10000", '"10000"', "sample_rate_hz '10000'"),
    ("store.json", "10000", "NaN", "sample_rate_hz nan"),
])
def test_an_edited_table_is_refused(store, name, before, after, reason):
    text = (store / name).read_text()
    assert before in text
    (store / name).write_text(text.replace(before, after, 1))
    with pytest.raises(UserError, match="delete it") as error:
        load_store(store)
    assert reason in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize("name", ["store.json", "shards.csv", "index.csv", "shard_00001.wav"])
def test_nothing_outside_the_store_is_read(store, tmp_path, name):
    (store / name).rename(tmp_path / name)
    (store / name).symlink_to(tmp_path / name)
    with pytest.raises(UserError, match=f"{name} is a symbolic link"):
        load_store(store)
    if hasattr(os, "mkfifo"):  # a pipe would make the reader wait for ever
        (store / name).unlink()
        os.mkfifo(store / name)
        with pytest.raises(UserError, match=f"no file {name}|not finished"):
            load_store(store)


def test_a_shard_without_its_samples_is_reported_at_the_start_and_written_again(store, utterances):
    shard = store / "shard_00001.wav"
    whole = shard.read_bytes()
    for first in (44, len(whole) - 2 * RATE_HZ):  # all samples, and the last utterance
        shard.write_bytes(whole[:first] + bytes(len(whole) - first))
        with pytest.raises(UserError, match=r"shard_00001\.wav is missing or damaged \(the utterance [35] is silent\)"):
            load_store(store, check="headers")
        store_writer.write_store(utterances, store, RATE_HZ, 1)
        assert shard.read_bytes() == whole and len(load_store(store)) == 6


def test_the_maker_verifies_what_is_on_the_disk(utterances, tmp_path, monkeypatch):
    """A disk that loses the samples of a shard."""
    put_in_place = atomic_write.put_in_place

    def lose(temporary, path):
        put_in_place(temporary, path)
        if path.name == "shard_00001.wav":
            content = bytearray(path.read_bytes())
            content[5000:9000] = bytes(4000)
            path.write_bytes(content)

    monkeypatch.setattr(atomic_write, "put_in_place", lose)
    with pytest.raises(UserError, match=r"shard_00001\.wav is missing or damaged \(its samples have another checksum"):
        store_writer.write_store(utterances, tmp_path / "store", RATE_HZ, 1)
    with pytest.raises(UserError, match="not finished"):
        load_store(tmp_path / "store")
    monkeypatch.undo()
    monkeypatch.setattr(store_writer, "SHARD_SECONDS", 3.0)
    store_writer.write_store(utterances, tmp_path / "store", RATE_HZ, 1)
    assert len(load_store(tmp_path / "store", check="samples")) == 6


@pytest.mark.parametrize("content", ["{}", "[]", "null", '{"samples": 30000}', "{", ""])
def test_a_damaged_description_of_a_shard_is_written_again(store, utterances, content):
    path = store / "shard_00000.json"
    before = json.loads(path.read_text())
    path.write_text(content)
    store_writer.write_store(utterances, store, RATE_HZ, 1)
    assert json.loads(path.read_text()) == before and len(load_store(store, check="samples")) == 6


def test_edited_rows_in_the_description_of_a_shard_are_refused(store, utterances):
    path = store / "shard_00000.json"
    for rows in ([[1]], [["0", "1", "F", "train", 0, 40000]]):
        path.write_text(json.dumps(json.loads(path.read_text()) | {"rows": rows}))
        with pytest.raises(UserError, match="delete it"):
            store_writer.write_store(utterances, store, RATE_HZ, 1)
    shutil.rmtree(store)

"""A resumed run has to have the speech with which it began."""

import shutil

import numpy as np
import pandas as pd
import pytest
import soundfile

from lab41_sce.data.corpus import load_corpus
from lab41_sce.data.store_writer import write_store
from lab41_sce.errors import UserError
from lab41_sce.runs.recorded_speech import require_same_noise, require_same_speech, speech_table


@pytest.fixture
def corpus(corpus_root, tmp_path):
    """Return a copy of the corpus that may be changed, and `speech.csv` of a run with it."""
    shutil.copytree(corpus_root, tmp_path / "corpus")
    path = tmp_path / "speech.csv"
    speech_table(load_corpus(tmp_path / "corpus", ["train"]), "samples").to_csv(path, index=False)
    return tmp_path / "corpus", path


def compare(root, path, check="samples"):
    require_same_speech(speech_table(load_corpus(root, ["train"], check=check), check), path)


def noise(length):
    return 0.1 * np.random.default_rng(0).standard_normal(length)


def test_an_utterance_replaced_by_noise_of_the_same_length_is_named(corpus):
    root, path = corpus
    compare(root, path)
    replaced = sorted(root.rglob("*.flac"))[7]
    signal, rate_hz = soundfile.read(replaced)
    soundfile.write(replaced, noise(len(signal)), rate_hz)
    with pytest.raises(UserError, match=f"1 of the 72 utterances have changed .*the first: {replaced.stem}"):
        compare(root, path)
    compare(root, path, check="headers")  # compares durations only
    soundfile.write(replaced, noise(len(signal) - 1), rate_hz)
    with pytest.raises(UserError, match=replaced.stem):
        compare(root, path, check="headers")


def test_a_run_that_began_with_headers_compares_durations(corpus):
    root, path = corpus
    speech_table(load_corpus(root, ["train"], check="headers"), "headers").to_csv(path, index=False)
    compare(root, path)
    replaced = next(root.rglob("*.flac"))
    signal, rate_hz = soundfile.read(replaced)
    soundfile.write(replaced, signal[:-1], rate_hz)
    with pytest.raises(UserError, match=replaced.stem):
        compare(root, path)


def test_the_samples_of_a_store_are_compared(corpus, tmp_path):
    root, path = corpus
    write_store(load_corpus(root, ["train"]), tmp_path / "store", 16000)
    stored = load_corpus(tmp_path / "store", ["train"])
    speech_table(stored, "samples").to_csv(path, index=False)
    require_same_speech(speech_table(stored, "samples"), path)
    row = stored.iloc[40]
    samples, rate_hz = soundfile.read(row["path"], dtype="int16")
    samples[row["stop"] - 1] ^= 1
    soundfile.write(row["path"], samples, rate_hz)
    with pytest.raises(UserError, match=f"1 of the 72 utterances .*the first: {row['utterance']}"):
        require_same_speech(speech_table(stored, "samples"), path)


def test_damaged_records_are_named(corpus):
    root, path = corpus
    whole = path.read_bytes()
    for damage in (b"", bytes(len(whole)), whole[:1000], whole.replace(b"101-7-0000", b"101-7-0100"), b"\xff"):
        path.write_bytes(damage)
        with pytest.raises(UserError, match=r"speech\.csv .*restore the file from a copy, or delete it if the speech"):
            compare(root, path)


def test_names_and_checksums_that_look_like_numbers_stay_text(tmp_path):
    table = pd.DataFrame({"utterance": ["007", "1e3"], "seconds": [1.0, 2.0], "checksum": ["00000012", "1234e567"]})
    table.to_csv(tmp_path / "speech.csv", index=False)
    require_same_speech(table, tmp_path / "speech.csv")


NOISE_FILES = pd.DataFrame({"file": ["a.wav", "b/c.wav", "b/d.wav"], "bytes": [100, 200, 300],
                            "checksum": ["0123abcd", "00000000", "12345678"]})


@pytest.mark.parametrize(("now", "n_changed", "first"), [
    (NOISE_FILES.replace("00000000", "00000001"), 1, "b/c.wav"), (NOISE_FILES[1:], 1, "a.wav"),
    (NOISE_FILES.replace(300, 301), 1, "b/d.wav"), (NOISE_FILES.replace("a.wav", "e.wav"), 2, "a.wav"),
    (NOISE_FILES.assign(checksum="").replace(100, 99), 1, "a.wav")])
def test_noise_that_was_replaced_is_named(tmp_path, now, n_changed, first):
    NOISE_FILES.to_csv(tmp_path / "noise.csv", index=False)
    with pytest.raises(UserError, match=f"{n_changed} files in noise.folder were added, .*the first: {first};"):
        require_same_noise(now, tmp_path / "noise.csv")


def test_unchanged_noise_passes_and_unknown_checksums_are_not_compared(tmp_path):
    for recorded, now in ((NOISE_FILES, NOISE_FILES[::-1]), (NOISE_FILES.assign(checksum=""), NOISE_FILES),
                          (NOISE_FILES, NOISE_FILES.assign(checksum=""))):
        recorded.to_csv(tmp_path / "noise.csv", index=False)
        require_same_noise(now.reset_index(drop=True), tmp_path / "noise.csv")


@pytest.mark.parametrize("text", ["", "file,bytes\na.wav,3\n", "file,bytes,checksum\na.wav,many,0123abcd\n"])
def test_a_damaged_noise_table_is_named(tmp_path, text):
    (tmp_path / "noise.csv").write_text(text)
    with pytest.raises(UserError, match="noise.csv cannot be read .*; restore the file from a copy"):
        require_same_noise(NOISE_FILES, tmp_path / "noise.csv")

"""`lab41_sce.data.noise`: spectra, levels, the speakers of babble, the files of a folder, and noise in training."""

import os

import numpy as np
import pytest
import soundfile
from scipy.signal import welch

from lab41_sce.data import splits
from lab41_sce.data.corpus import load_corpus
from lab41_sce.data.evaluation_set import add_noise, draw_evaluation_set
from lab41_sce.data.noise import Noise, scale_to_snr
from lab41_sce.data.sampler import TrainingMixtures
from lab41_sce.data.settings import MixtureSettings
from lab41_sce.data.speech import Speech
from lab41_sce.errors import UserError

RATE = 10000


@pytest.fixture(scope="module")
def utterances(corpus_root):
    return splits.split(load_corpus(corpus_root, ["train"]), 2)


@pytest.fixture(scope="module")
def speech(utterances):
    return Speech(utterances, RATE)


@pytest.fixture(scope="module")
def noise(speech, utterances):
    return Noise(speech, utterances.assign(split="train"))


def octave_levels_db(signal):
    """Return the mean power of the octaves from 312 Hz to 5 kHz, in dB."""
    frequencies, powers = welch(signal, RATE, nperseg=512)
    edges = [312.5, 625, 1250, 2500, 5000]
    return np.array([10 * np.log10(powers[(frequencies >= low) & (frequencies < high)].mean())
                     for low, high in zip(edges, edges[1:], strict=False)])


@pytest.mark.parametrize(("kind", "slope_db"), [("white", 0.0), ("pink", -3.0)])
def test_spectra_of_coloured_noise(noise, kind, slope_db):
    drawn = noise.draw(kind, np.random.default_rng(0), 100000, "train")
    np.testing.assert_allclose(np.diff(octave_levels_db(drawn)), slope_db, atol=0.5)


def test_speech_shaped_noise_has_the_spectrum_of_the_speech(noise, speech, utterances):
    drawn = noise.draw("speech_shaped", np.random.default_rng(0), 100000, "train")
    first = utterances.drop_duplicates("speaker")["utterance"]
    powers = [welch(signal / signal.std(), nperseg=512)[1] for signal in
              (speech.excerpt(name, 0, speech.length(name)) for name in first)]
    expected, got = np.mean(powers, axis=0), welch(drawn, nperseg=512)[1]
    loud = slice(5, 200)  # bins
    difference_db = 10 * np.log10(got[loud] / expected[loud])
    assert np.abs(difference_db - difference_db.mean()).max() < 2 and np.ptp(10 * np.log10(expected[loud])) > 10


@pytest.mark.parametrize("kind", ["white", "pink", "speech_shaped", "babble"])
def test_a_draw_follows_from_its_seed_and_has_unit_power(noise, kind):
    drawn = noise.draw(kind, np.random.default_rng(3), 20001, "train")
    assert drawn.shape == (20001,) and drawn.dtype == np.float32
    np.testing.assert_allclose([drawn.mean(), np.mean(drawn**2)], [0, 1], atol=1e-4)
    np.testing.assert_array_equal(drawn, noise.draw(kind, np.random.default_rng(3), 20001, "train"))
    assert not np.array_equal(drawn, noise.draw(kind, np.random.default_rng(4), 20001, "train"))


class Recorder:
    """Stand in for `Speech`: the same signal for every utterance, and a list of the requested utterances."""

    sample_rate_hz = RATE

    def __init__(self):
        self.requested = []

    def length(self, utterance):
        return 30000

    def excerpt(self, utterance, start, length):
        self.requested.append(utterance)
        return np.random.default_rng(0).standard_normal(length)


def test_babble_is_six_speakers_of_the_split_who_are_not_in_the_mixture(utterances):
    recorder = Recorder()
    table = utterances.assign(split=np.where(utterances["speaker"].astype(int) % 3 == 0, "unseen", "train"))
    of_utterance = table.set_index("utterance")["speaker"]
    train = sorted(table.loc[table["split"] == "train", "speaker"].unique())
    noise = Noise(recorder, table)
    for seed in range(20):
        recorder.requested.clear()
        noise.draw("babble", np.random.default_rng(seed), 10000, "train", train[:2])
        talkers = set(of_utterance[recorder.requested])
        assert len(recorder.requested) == len(talkers) == 6 and talkers <= set(train[2:])
    with pytest.raises(UserError, match="the split 'unseen' has 2"):
        noise.draw("babble", np.random.default_rng(0), 10000, "unseen", sorted(set(of_utterance) - set(train))[:2])
    noise.require(["train", "validation"], 2)
    with pytest.raises(UserError, match="the split 'unseen' has 2"):
        noise.require(["train", "unseen"], 2)
    Noise(recorder, table, ["white"]).require(["unseen"], 2)  # other kinds need no speakers


def test_a_folder_keeps_some_files_for_evaluation(speech, utterances, tmp_path):
    for number in range(10):  # each file is a tone of its own
        tone = np.sin(2 * np.pi * (500 + 100 * number) * np.arange(8000) / 16000)
        (tmp_path / str(number)).mkdir()
        soundfile.write(tmp_path / str(number) / "tone.wav", tone, 16000)
    noise = Noise(speech, utterances, ["folder"], tmp_path)
    before = noise.fingerprint
    mixtures = draw_evaluation_set(speech, utterances, "unseen", 2, 1, 1.5, 0.95)
    assert set(add_noise(mixtures, noise, (0, 0))["noise_files"]) == {before}
    assert before == Noise(speech, utterances, [], tmp_path).fingerprint
    assert Noise(speech, utterances).fingerprint is None

    def drawn_tones(split):
        tones = set()
        for seed in range(60):
            drawn = noise.draw("folder", np.random.default_rng(seed), 12000, split)  # longer than the file
            tones.add(round(np.abs(np.fft.rfft(drawn)).argmax() * RATE / 12000, -2))
        return tones

    assert drawn_tones("unseen") == {1300, 1400}  # the last fifth
    assert drawn_tones("train") == drawn_tones("validation") == {500, 600, 700, 800, 900, 1000, 1100, 1200}
    soundfile.write(tmp_path / "more.wav", np.ones(100), 16000)
    assert Noise(speech, utterances, ["folder"], tmp_path).fingerprint != before


def test_the_fingerprint_notices_other_samples_in_a_file_of_the_same_size(speech, utterances, tmp_path):
    for number in range(2):
        soundfile.write(tmp_path / f"{number}.wav", np.sin(np.arange(8000)), 16000)
    noise, headers = (Noise(speech, utterances, ["folder"], tmp_path, check) for check in ("samples", "headers"))
    assert noise.files["file"].tolist() == ["0.wav", "1.wav"] and noise.files["bytes"].tolist() == [16044, 16044]
    assert noise.files["checksum"].str.fullmatch("[0-9a-f]{8}").all() and (headers.files["checksum"] == "").all()
    soundfile.write(tmp_path / "0.wav", np.sin(1 + np.arange(8000)), 16000)
    now, now_headers = (Noise(speech, utterances, ["folder"], tmp_path, check) for check in ("samples", "headers"))
    assert now.fingerprint != noise.fingerprint and now_headers.fingerprint == headers.fingerprint


def test_a_folder_must_exist_and_hold_enough_audio(speech, utterances, tmp_path):
    with pytest.raises(UserError, match="is not a folder"):
        Noise(speech, utterances, ["folder"], tmp_path / "none")
    with pytest.raises(UserError, match="holds 0 audio files"):
        Noise(speech, utterances, ["folder"], tmp_path)
    for name in ("a.wav", "b.wav"):
        soundfile.write(tmp_path / name, np.ones(100), 16000)
    (tmp_path / "._a.wav").write_bytes(b"a file of metadata, as macOS adds")
    Noise(speech, utterances, ["folder"], tmp_path)
    silent = tmp_path / "silent"
    silent.mkdir()
    for name in ("a.wav", "b.wav"):
        soundfile.write(silent / name, np.zeros(16000), 16000)
    with pytest.raises(UserError, match="20 excerpts in a row were silent or damaged"):
        Noise(speech, utterances, ["folder"], silent).draw("folder", np.random.default_rng(0), 5000, "unseen")
    soundfile.write(silent / "c.wav", np.r_[np.zeros(16000), 0.1 * np.sin(np.arange(16000))], 16000)
    noise = Noise(speech, utterances, ["folder"], silent)
    for seed in range(10):  # half of the file is silent
        drawn = noise.draw("folder", np.random.default_rng(seed), 2000, "unseen")
        assert np.mean(drawn**2) == pytest.approx(1, rel=1e-3)


def test_scaled_noise_has_the_wanted_ratio():
    rng = np.random.default_rng(0)
    speech, noise = 3 * rng.standard_normal(50000), rng.standard_normal(50000)
    noise /= np.sqrt(np.mean(noise**2))
    for snr_db in (-5, 0, 15):
        powers = np.mean(speech**2), np.mean(scale_to_snr(noise, speech, snr_db) ** 2)
        assert 10 * np.log10(powers[0] / powers[1]) == pytest.approx(snr_db, abs=1e-3)


def test_training_mixtures_have_noise_between_two_ratios_and_the_same_speech(speech, utterances):
    table = utterances[utterances["split"] == "train"]
    speakers = splits.trained_speakers(utterances)
    settings = MixtureSettings(batch_size=16, seconds=1.0)
    clean = TrainingMixtures(speech, table, speakers, settings, pre_emphasis=0.95, seed=0)
    noise = Noise(speech, utterances, ["white", "pink"])
    noisy = TrainingMixtures(speech, table, speakers, settings, pre_emphasis=0.95, seed=0, noise=noise, snr_db=(-5, 15))
    batch, same = noisy.batch(0), clean.batch(0)
    np.testing.assert_array_equal(batch["sources"], same["sources"])
    np.testing.assert_array_equal(batch["speaker_ids"], same["speaker_ids"])
    assert batch["noise"].shape == (16, 10000) and batch["noise"].dtype == np.float32
    snr_db = 10 * np.log10((batch["sources"].sum(axis=1) ** 2).mean(axis=1) / (batch["noise"] ** 2).mean(axis=1))
    assert -5 <= snr_db.min() < 0 and 10 < snr_db.max() <= 15
    streamed = next(iter(noisy.dataset().take(1).as_numpy_iterator()))
    np.testing.assert_array_equal(streamed["noise"], batch["noise"])


def test_damaged_files_in_a_folder_are_left_out(speech, utterances, tmp_path, caplog):
    for number in range(3):
        tone = np.sin(2 * np.pi * (500 + 100 * number) * np.arange(40000) / 16000)
        soundfile.write(tmp_path / f"{number}.flac", tone, 16000)
    before = Noise(speech, utterances, ["folder"], tmp_path)
    (tmp_path / "text.wav").write_text("no sound")
    (tmp_path / "empty.mp3").touch()
    soundfile.write(tmp_path / "short.wav", np.ones(0), 16000)
    (tmp_path / "folder.wav").mkdir()
    os.mkfifo(tmp_path / "pipe.wav")
    noise = Noise(speech, utterances, ["folder"], tmp_path)
    [warning] = [record.getMessage() for record in caplog.records]
    assert "5 of 8 files are left out" in warning and "short.wav contains no samples" in warning
    assert noise.fingerprint == before.fingerprint
    content = (tmp_path / "0.flac").read_bytes()
    (tmp_path / "0.flac").write_bytes(content[: len(content) // 2])  # the header is intact
    for seed in range(20):  # the split uses 0.flac and 1.flac
        drawn = noise.draw("folder", np.random.default_rng(seed), 12000, "train")
        assert np.isfinite(drawn).all() and np.mean(drawn**2) == pytest.approx(1, abs=1e-3)
    assert any("an excerpt is drawn again" in record.getMessage() and "0.flac" in record.getMessage()
               for record in caplog.records)
    for number in (1, 2):
        (tmp_path / f"{number}.flac").unlink()
    with pytest.raises(UserError, match="holds 1 audio files that can be read"):
        Noise(speech, utterances, ["folder"], tmp_path)

"""`lab41_sce.data.rooms` and training mixtures in rooms: early sound, late reverberation, levels, draws."""

import pickle

import numpy as np
import pytest
from scipy.signal import lfilter

from lab41_sce.data import splits
from lab41_sce.data.corpus import load_corpus
from lab41_sce.data.noise import Noise
from lab41_sce.data.rooms import RoomBank, reverberate
from lab41_sce.data.sampler import STREAM, TrainingMixtures
from lab41_sce.data.settings import MixtureSettings, RoomSettings
from lab41_sce.data.speech import Speech
from lab41_sce.errors import UserError

RATE_HZ = 10000


@pytest.fixture(scope="module")
def utterances(corpus_root):
    return splits.split(load_corpus(corpus_root, ["train"]), 2)


@pytest.fixture(scope="module")
def speech(utterances):
    return Speech(utterances, RATE_HZ)


@pytest.fixture
def make(speech, utterances, tmp_path):
    """Return a function that makes training mixtures in rooms with the given taps, or without rooms."""
    def mixtures(taps=None, share=1.0, rows=slice(None), noise=None, **options):
        table = utterances[utterances["split"] == "train"]
        settings = MixtureSettings(**{"batch_size": 8, "seconds": 1.0} | options)
        rooms = None if taps is None else RoomBank.load(write(tmp_path, *taps), RATE_HZ)
        return TrainingMixtures(speech, table, splits.trained_speakers(utterances), settings, pre_emphasis=0.95, seed=0,
                                noise=noise, snr_db=(5, 5), rows=rows, rooms=rooms,
                                room_settings=RoomSettings("bank", share))
    return mixtures


def write(folder, *taps, shape=(2, 3, 2000), **changes):
    """Write a bank whose responses have a tap of 1 at 0 and others at some seconds; return its path."""
    responses = np.zeros(shape, np.float16)
    for seconds, level in ((0, 1), *taps):
        responses[..., round(seconds * RATE_HZ)] = level
    arrays = {"responses": responses, "sample_rate_hz": RATE_HZ, "rt60": np.full(shape[0], 0.2)} | changes
    np.savez(folder / "bank.npz", **arrays)
    return folder / "bank.npz"


def delayed(signals, seconds):
    """Delay signals `[..., N]`."""
    shift = round(seconds * RATE_HZ)
    return np.concatenate([np.zeros_like(signals[..., :shift]), signals[..., :-shift]], axis=-1)


def levels(signals):
    return lfilter([1, -0.95], 1, signals)[..., 1:].std(axis=-1)


def test_late_reflections_are_noise_and_the_direct_sound_is_the_source(make):
    dry, batch = make().batch(0), make([(0.1, 0.5)]).batch(0)
    np.testing.assert_allclose(batch["sources"], dry["sources"], atol=1e-4)
    np.testing.assert_allclose(batch["noise"], 0.5 * delayed(dry["sources"], 0.1).sum(axis=1), atol=1e-4)
    assert batch["noise"].dtype == batch["sources"].dtype == np.float32 and batch["noise"].std() > 1


@pytest.mark.parametrize(("seconds", "is_early"), [(0.02, True), (0.05, True), (0.0501, False)])
def test_early_reflections_belong_to_the_source_at_the_same_level(make, seconds, is_early):
    dry, batch = make(level_range_db=6).batch(0), make([(seconds, 0.5)], level_range_db=6).batch(0)
    np.testing.assert_allclose(levels(batch["sources"]), levels(dry["sources"]), rtol=1e-4)
    assert batch["noise"].any() != is_early
    reflected = dry["sources"] + 0.5 * delayed(dry["sources"], seconds) * is_early
    scaled = reflected * (levels(dry["sources"]) / levels(reflected))[..., None]
    np.testing.assert_allclose(batch["sources"], scaled, atol=1e-4)


def test_late_reverberation_is_scaled_like_the_early_sound():
    rng = np.random.default_rng(0)
    dry, response = rng.standard_normal((1, 4000)).astype(np.float32), np.zeros((1, 300), np.float32)
    response[0, [0, 10, 200]] = 1, 1, 0.5
    early, late = reverberate(dry, response, 101, 0.95)
    gain = early[0, 0] / dry[0, 0]
    assert 0.6 < gain < 0.8  # two equal and independent parts are louder by 3 dB
    np.testing.assert_allclose(late[0, 200:], 0.5 * gain * dry[0, :-200], atol=1e-5)


def test_everything_but_the_rooms_stays_the_same(make, speech, utterances):
    """The draws for rooms are the last ones of a batch, so that the batches of runs without rooms stay the same."""
    options = {"noise": Noise(speech, utterances, ["white"]), "response_db": 6.0, "telephone": 0.1,
               "speaker_shares": {1: 0.3, 3: 0.7}, "batch_size": 32}
    plain, batch = make(**options).batch(4), make([(0.1, 0.5)], share=0.5, **options).batch(4)
    assert STREAM == 3
    for name in ("speaker_ids", "responses"):
        np.testing.assert_array_equal(batch[name], plain[name])
    late = batch["noise"] - plain["noise"]
    is_in_room, on_line = late.any(axis=1), plain["responses"][:, 0, -1] > 0
    assert 0.2 < is_in_room.mean() < 0.8 and on_line.any() and not (is_in_room & on_line).any()
    np.testing.assert_array_equal(batch["sources"][~is_in_room], plain["sources"][~is_in_room])
    np.testing.assert_allclose(late, 0.5 * is_in_room[:, None] * delayed(plain["sources"], 0.1).sum(axis=1), atol=1e-4)
    silent = ~plain["sources"].any(axis=2)
    assert silent.any() and not batch["sources"][silent].any()


def test_mixtures_without_a_room_have_silent_noise(make):
    dry, batch = make().batch(2), make([(0.1, 0.5)], share=1e-9).batch(2)
    np.testing.assert_array_equal(batch["sources"], dry["sources"])
    assert batch["noise"].shape == (8, RATE_HZ) and not batch["noise"].any()
    easy = make([(0.1, 0.5)], curriculum_batches=1)
    assert not easy.batch(0)["noise"].any() and easy.batch(1)["noise"].any()


def test_batches_are_the_same_in_rows_in_copies_and_in_a_stream(make):
    mixtures = make([(0.02, 0.5), (0.1, 0.5)], share=0.5)
    batch, copy = mixtures.batch(1), pickle.loads(pickle.dumps(mixtures))
    part = make([(0.02, 0.5), (0.1, 0.5)], share=0.5, rows=slice(3, 8, 2)).batch(1)
    streamed = next(iter(mixtures.dataset(start=1).take(1).as_numpy_iterator()))
    assert set(batch) == {"sources", "speaker_ids", "noise"}
    for name, values in batch.items():
        np.testing.assert_array_equal(part[name], values[3:8:2])
        np.testing.assert_array_equal(copy.batch(1)[name], values)
        np.testing.assert_array_equal(streamed[name], values)


def test_speakers_are_at_different_places_of_one_room(tmp_path):
    responses = np.zeros((4, 5, 3), np.float16)
    responses[..., 0], responses[..., 1], responses[..., 2] = 1, np.arange(4)[:, None], np.arange(5)
    bank, rng = RoomBank.load(write(tmp_path, responses=responses, rt60=np.ones(4)), RATE_HZ), np.random.default_rng(0)
    drawn = np.array([bank.draw(rng, 3) for _ in range(100)])
    assert (drawn[..., 1] == drawn[:, :1, 1]).all() and set(drawn[..., 1].ravel()) == {0, 1, 2, 3}
    assert all(len(set(places)) == 3 for places in drawn[..., 2]) and set(drawn[..., 2].ravel()) == {0, 1, 2, 3, 4}


def test_a_bank_of_another_rate_is_resampled(tmp_path):
    bank = RoomBank.load(write(tmp_path, (0.1, 0.5), sample_rate_hz=2 * RATE_HZ), RATE_HZ)
    assert bank.responses.shape == (2, 3, 1000) and bank.responses.dtype == np.float32
    np.testing.assert_allclose(bank.responses[..., [0, 500]], [[[1, 0.5]] * 3] * 2, atol=0.01)


@pytest.mark.parametrize(("changes", "fault"), [
    ({"responses": np.ones((2, 2000))}, r"has responses of shape \(2, 2000\) and rt60 of shape \(2,\) instead of"),
    ({"rt60": np.ones(3)}, r"and rt60 of shape \(3,\) instead of"),
    ({"responses": np.ones((2, 0, 2000))}, r"has responses of shape \(2, 0, 2000\)"),
    ({"responses": np.full((2, 3, 9), np.nan)}, "contains numbers that are not finite"),
    ({"responses": np.zeros((2, 3, 9))}, "do not start with a direct sound of level 1"),
    ({"responses": np.full((2, 3, 9), "a")}, "cannot be read"), ({"sample_rate_hz": [1, 2]}, "cannot be read"),
    ({"sample_rate_hz": 0}, "has a sample rate of 0 Hz"),
])
def test_a_wrong_bank_is_reported(tmp_path, changes, fault):
    with pytest.raises(UserError, match=f"rooms.file=.*bank.npz .*{fault}.*; draw a bank with lab41-sce rooms OUT.npz"):
        RoomBank.load(write(tmp_path, **changes), RATE_HZ)


def test_a_missing_or_damaged_bank_is_reported(tmp_path):
    with pytest.raises(UserError, match="is not a file; give one that lab41-sce rooms has drawn"):
        RoomBank.load(tmp_path, RATE_HZ)
    path = write(tmp_path, (0.1, 0.5))
    whole = path.read_bytes()
    changed = bytearray(whole)
    changed[len(whole) // 2] ^= 1
    for contents in (b"", b"text", whole[: len(whole) // 2], bytes(changed)):
        path.write_bytes(contents)
        with pytest.raises(UserError, match="bank.npz cannot be read"):
            RoomBank.load(path, RATE_HZ)


def test_a_room_needs_a_place_for_each_speaker(make):
    with pytest.raises(UserError, match="have 3 places, but mixtures have up to 4 speakers; .* --places 4"):
        make([], n_speakers=4)

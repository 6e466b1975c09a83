"""`Separator`: recordings of any rate, length and number of channels become voices that sum to the recording."""

import pickle
from dataclasses import FrozenInstanceError

import keras
import numpy as np
import pytest
import soundfile
import tensorflow as tf
from conftest import blstm, hum

from lab41_sce.audio.recording import Recording
from lab41_sce.data.corpus import EMBEDDED_ROOT
from lab41_sce.errors import UserError
from lab41_sce.examples import FOLDER as EXAMPLES
from lab41_sce.models.attractor_model import AttractorModel
from lab41_sce.models.embedding_model import EmbeddingModel
from lab41_sce.models.front_end import FrontEnd
from lab41_sce.models.mask_model import MaskModel
from lab41_sce.separation import speaker_search, window_signals
from lab41_sce.separation.separator import Separator, separate


def noise(seconds, rate_hz, channels=1):
    return 0.1 * np.random.default_rng(0).standard_normal((round(seconds * rate_hz), channels)).astype(np.float32)


@pytest.mark.parametrize("rate_hz", [8000, 10000, 16000, 44100])
@pytest.mark.parametrize("n_speakers", [1, 2, 3])
def test_voices_sum_to_the_input(tiny_model, rate_hz, n_speakers):
    signal = noise(3, rate_hz)[:, 0]
    voices = Separator(tiny_model).separate(signal, rate_hz, n_speakers).voices
    assert voices.shape == (n_speakers, len(signal)) and voices.dtype == np.float32
    np.testing.assert_allclose(voices.sum(axis=0), signal, atol=1e-4)  # including frequencies above the model's band


@pytest.mark.parametrize("kind", ["embeddings", "masks"])
@pytest.mark.parametrize("from_file", [False, True])
def test_the_offset_of_each_channel_is_removed(tiny_model, tmp_path, kind, from_file):
    model = tiny_model if kind == "embeddings" else MaskModel(FrontEnd(), blstm(257, 2, n_layers=1, units=4), 2)
    signal, offsets = noise(3, 10000, channels=2).T, np.array([[0.3], [-0.1]], np.float32)
    signal -= signal.mean(axis=1, keepdims=True)
    separator = Separator(model, window_seconds=1.0)
    expected = separator.separate(signal, 10000, 2).voices
    recording = Recording.of(signal + offsets, 10000)
    if from_file:
        soundfile.write(tmp_path / "talk.wav", (signal + offsets).T, 10000, "FLOAT")
        recording = Recording.open(tmp_path / "talk.wav")
    voices = separator.separate(recording, n_speakers=2).voices
    np.testing.assert_allclose(voices, expected, atol=1e-5)
    np.testing.assert_allclose(voices.sum(axis=0), signal, atol=1e-5)


def test_channels_get_the_masks_of_their_mean(tiny_model):
    left = noise(2, 16000)[:, 0]
    separator = Separator(tiny_model)
    voices = separator.separate(np.stack([left, 0.5 * left]), 16000, 2).voices
    assert voices.shape == (2, 2, 32000)
    np.testing.assert_allclose(voices[:, 1], 0.5 * voices[:, 0], atol=1e-5)
    mean = separator.separate(0.75 * left, 16000, 2).voices
    np.testing.assert_allclose(voices[:, 0], mean / 0.75, atol=1e-4)


def notes(caplog):
    """Return the log records of this package; TensorFlow may log another trace of the network."""
    return [record for record in caplog.records if record.name.startswith("lab41_sce")]


@pytest.mark.parametrize("kind", ["embeddings", "masks"])
def test_channels_of_opposite_signs_get_the_masks_of_one_of_them(tiny_model, kind, caplog):
    """The mean of such channels is silence, and gave half of the recording to each voice."""
    model = tiny_model if kind == "embeddings" else MaskModel(FrontEnd(), blstm(257, 2, n_layers=1, units=4), 2)
    signal, separator = noise(2, 10000)[:, 0], Separator(model, window_seconds=1.0)
    expected = separator.separate(signal, 10000, 2)
    assert not notes(caplog)
    opposite = separator.separate(np.stack([0.9 * signal, -signal]), 10000, 2)
    np.testing.assert_allclose(opposite.voices[:, 1], -expected.voices, atol=1e-4)
    np.testing.assert_allclose(opposite.voices[:, 0], 0.9 * expected.voices, atol=1e-4)
    [record] = notes(caplog)
    assert "the signal: the channels cancel each other; the masks come from the loudest" in record.getMessage()


def test_a_file_with_channels_of_opposite_signs_is_separated_as_one_of_them(tiny_model, tmp_path, caplog):
    signal, separator = noise(2, 10000)[:, 0], Separator(tiny_model)
    soundfile.write(tmp_path / "talk.wav", np.stack([signal, -signal], axis=1), 10000, "FLOAT")
    voices = separator.separate(tmp_path / "talk.wav", n_speakers=2).voices
    np.testing.assert_allclose(voices, separator.separate(signal, 10000, 2).voices, atol=1e-5)
    assert "talk.wav: the channels cancel each other" in caplog.text


def test_a_person_is_enrolled_from_channels_of_opposite_signs(tiny_model):
    tiny_model.verification_threshold, signal = 0.5, hum(150, 2, 10000, np.random.default_rng(0))
    separator = Separator(tiny_model)
    expected, found = (separator.describe_person([Recording.of(channels, 10000)]).centroid
                       for channels in (signal, np.stack([signal, -signal])))
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_a_file_has_its_own_rate(tiny_model, tmp_path):
    soundfile.write(tmp_path / "talk.wav", noise(1, 16000), 16000, "FLOAT")
    for source in (tmp_path / "talk.wav", Recording.open(tmp_path / "talk.wav")):
        assert Separator(tiny_model).separate(source, 16000, 1).sample_rate_hz == 16000
        with pytest.raises(UserError, match="sample_rate_hz=8000 is given, but .*talk.wav has 16000 Hz"):
            Separator(tiny_model).separate(source, 8000, 1)


def test_a_file_gives_the_voices_of_the_mean_channel(tiny_model, tmp_path):
    signal = noise(1, 16000, channels=2)
    soundfile.write(tmp_path / "talk.wav", signal, 16000, "FLOAT")
    result = Separator(tiny_model).separate(tmp_path / "talk.wav", n_speakers=2)
    assert result.sample_rate_hz == 16000 and result.voices.shape == (2, 16000)
    np.testing.assert_allclose(result.voices.sum(axis=0), signal.mean(axis=1), atol=1e-5)


@pytest.mark.parametrize("rate_hz", [10000, *(pytest.param(rate, marks=pytest.mark.slow) for rate in (16000, 44100))])
@pytest.mark.parametrize(("compression", "scaling"), [("log", "standard"), ("sqrt", "min_max")])
def test_windows_agree_with_the_whole_recording(rate_hz, compression, scaling, monkeypatch):
    """The difference is 60 dB below the voices, also where windows meet.

    Both use the same centroids, because k-means on the embeddings of an untrained network depends on rounding.
    """
    front_end = FrontEnd(compression=compression, scaling=scaling)
    keras.utils.set_random_seed(1)
    model = EmbeddingModel(front_end, blstm(front_end.n_bins, 3, n_layers=1, units=4), True, soft_scale=2.0)
    rng = np.random.default_rng(0)
    signal = sum(hum(pitch_hz, 30.0, rate_hz, rng) for pitch_hz in (110, 210))
    centroids = Separator(model).open(Recording.of(signal, rate_hz), 2).speakers.centroids
    monkeypatch.setattr(model, "centroids", lambda *_: centroids)
    whole = Separator(model).separate(signal, rate_hz, 2).voices
    windowed = Separator(model, window_seconds=3.0)
    assert len(windowed.open(Recording.of(signal, rate_hz), 2).windows) >= 5
    parts = windowed.separate(signal, rate_hz, 2).voices
    assert parts.shape == whole.shape
    assert 10 * np.log10(np.square(parts - whole).mean() / np.square(whole).mean()) < -60
    np.testing.assert_allclose(parts.sum(axis=0), signal, atol=1e-4)


@pytest.mark.parametrize("kind", ["masks", "kmeans", "fixed"])
def test_saved_models_of_other_kinds_separate(kind, tmp_path):
    """A mask model, attractors by k-means and fixed attractors separate, and refuse what they cannot do."""
    front_end, network = FrontEnd(), blstm(257, 2 if kind == "masks" else 4, n_layers=1, units=4)
    if kind == "masks":
        model = MaskModel(front_end, network, 2)
    else:
        model = AttractorModel(front_end, network, 2, attractors=kind)
    model(np.zeros((1, 1000), np.float32))
    model.save(tmp_path / "model.keras")
    separator, signal = Separator.load(tmp_path / "model.keras"), noise(90, 8000)[:, 0]
    voices = separator.separate(signal, 8000, 2).voices
    assert voices.shape == (2, len(signal))
    np.testing.assert_allclose(voices.sum(axis=0), signal, atol=1e-4)
    with pytest.raises(UserError, match="cannot count speakers"):
        separator.separate(signal, 8000, "auto")
    with pytest.raises(UserError, match="cannot find a person"):
        separator.separate(signal, 8000, 2, enroll={"Ann": [signal]})
    if kind == "kmeans":
        assert separator.separate(signal, 8000, 3).n_speakers == 3
    else:
        with pytest.raises(UserError, match="cannot separate 3|3 speakers cannot be separated"):
            separator.separate(signal, 8000, 3)


def test_the_same_input_gives_the_same_voices(tiny_model):
    signal = noise(2, 10000)[:, 0]
    separator = Separator(tiny_model)
    first, second = (separator.separate(signal, 10000, 2).voices for _ in range(2))
    np.testing.assert_array_equal(first, second)


def test_silence_and_a_single_sample(tiny_model):
    separator = Separator(tiny_model)
    assert not separator.separate(np.zeros(5000), 10000, 2).voices.any()
    assert np.isfinite(separator.separate(np.ones(1), 16000, 2).voices).all()


def test_impossible_signals_are_refused(tiny_model):
    separator = Separator(tiny_model)
    for bad in (np.zeros(0), np.array([np.nan, 0]), np.zeros((2, 2, 2))):
        with pytest.raises(UserError, match="finite samples"):
            separator.separate(bad, 10000, 2)
    with pytest.raises(UserError, match="more channels than samples"):  # soundfile's order of axes
        separator.separate(np.zeros((100, 2)), 10000, 2)
    with pytest.raises(UserError, match="0 speakers"):
        separator.separate(np.zeros(100), 10000, 0)


@pytest.mark.parametrize("signal", [
    [100, -200, 300] * 100, np.arange(300), np.arange(300, dtype=np.uint64), np.ones(300, bool), np.ones(300, complex),
    np.ones(300, object), [[1.0, 2.0], [3.0]], ["a", "b"],
], ids=["list", "int64", "uint64", "bool", "complex", "object", "ragged", "text"])
def test_samples_without_a_known_full_scale_are_refused(tiny_model, signal):
    """Whole numbers of 64 bits would be divided by 2^63: voices of digital silence."""
    with pytest.raises(UserError, match="give floats or integers of 8, 16 or 32 bits|different lengths"):
        Separator(tiny_model).separate(signal, 16000, 2)


def test_integers_of_files_give_the_voices_of_floats(tiny_model):
    separator, floats = Separator(tiny_model), noise(1, 16000)[:, 0]
    voices = separator.separate(np.round(floats * 2**15).astype(np.int16), 16000, 2).voices
    np.testing.assert_allclose(voices.sum(axis=0), floats, atol=1e-4)


def test_progress_adds_up_to_one(tiny_model):
    """An embedding model with one window and with two, and a mask model."""
    mask_model = MaskModel(FrontEnd(), blstm(257, 2, n_layers=1, units=4), 2)
    for model, seconds, steps in ((tiny_model, 40, 3), (tiny_model, 90, 6), (mask_model, 40, 1)):
        shares = []
        Separator(model).separate(noise(seconds, 8000)[:, 0], 8000, 2, progress=shares.append)
        assert len(shares) == steps and min(shares) > 0 and sum(shares) == pytest.approx(1)


def test_an_exported_model_computes_the_same_embeddings(tiny_model, tmp_path):
    separator = Separator(tiny_model)
    separator.to_saved_model(tmp_path / "exported")
    waveforms = noise(1, 10000)[:, 0].reshape(2, 5000)
    exported = tf.saved_model.load(tmp_path / "exported")
    served = exported.serve(waveforms)
    np.testing.assert_allclose(served, separator.model.predict_on_batch(waveforms), atol=1e-5)


def test_the_result_keeps_the_requested_seconds(tiny_model):
    """Masks, magnitudes and embeddings of the start, from more than one window."""
    signal = noise(14, 10000)[:, 0]
    whole = Separator(tiny_model).separate(signal, 10000, 2, keep_seconds=100.0).details
    part = Separator(tiny_model, window_seconds=5.0).separate(signal, 10000, 2, keep_seconds=10.0).details
    n_frames = round(10.0 * 10000 / 256)
    assert part.masks.shape == (2, n_frames, 257) and part.embeddings.shape == (n_frames, 257, 3)
    np.testing.assert_allclose(part.magnitudes, whole.magnitudes[:n_frames], atol=1e-3)
    assert whole.masks.shape[1:] == tiny_model.front_end.spectrogram(signal).shape
    assert Separator(tiny_model).separate(signal, 10000, 2).details is None


def test_binary_masks_assign_each_bin_to_one_voice(tiny_model):
    tiny_model.soft_scale = 1.0
    signal, separator = noise(2, 10000)[:, 0], Separator(tiny_model)
    soft, binary = (separator.separate(signal, 10000, 2, binary_masks=binary, keep_seconds=2.0).details.masks
                    for binary in (False, True))
    assert set(np.unique(binary)) == {0.0, 1.0} and 0.01 < soft.max(axis=0).min() < 0.99
    np.testing.assert_array_equal(binary.argmax(axis=0), soft.argmax(axis=0))


def test_a_result_cannot_be_changed(tiny_model):
    result = Separator(tiny_model).separate(noise(1, 10000)[:, 0], 10000, 2)
    with pytest.raises(FrozenInstanceError):
        result.voices = None
    with pytest.raises(FrozenInstanceError):
        result.n_speakers = 3


def test_the_shipped_model_separates_by_default():
    result = separate(EXAMPLES / "mixture.wav")
    assert result.voices.shape[0] == result.n_speakers == result.count.n_speakers == 2
    assert separate(EXAMPLES / "mixture.wav", speakers=1).voices.shape == (1, result.voices.shape[1])


def test_the_shipped_model_counts_people():
    separator = Separator.from_pretrained()
    for name, number in [("mixture", 2), ("two_women", 2), ("three_people", 3)]:
        count = separator.open(Recording.open(EXAMPLES / f"{name}.wav", "mix")).speakers.count
        assert count.n_speakers == number and sum(count.probabilities.values()) == pytest.approx(1)
    [alone] = EMBEDDED_ROOT.rglob("1-1-0000.ogg")
    assert separator.open(Recording.open(alone, "mix")).speakers.count.n_speakers == 1
    limited = separator.open(Recording.open(alone, "mix"), (2, 4)).speakers
    assert limited.n_speakers == limited.count.n_speakers == len(limited.centroids) == 2
    assert [*limited.count.probabilities] == [2, 3, 4]
    sent = pickle.loads(pickle.dumps(separator))
    assert sent.counting == separator.counting and sent.counting is not None


@pytest.mark.slow
def test_a_long_recording_keeps_the_hidden_layers_in_half_precision(monkeypatch):
    signal, rate_hz = soundfile.read(EXAMPLES / "mixture.wav", dtype="float32")
    recording, voices, kinds = Recording.of(np.resize(signal, 20 * rate_hz), rate_hz), [], []
    separator = Separator.from_pretrained()
    separator.window_seconds = 6.4
    for most in (24, 2):  # windows that determine the centroids; the recording has three
        monkeypatch.setattr(speaker_search, "MAX_CLUSTERING_WINDOWS", most)
        stream = separator.open(recording, n_speakers=2)
        _ = stream.speakers
        kinds.append({kept.dtype for kept in stream.search.network._kept.values()})
        voices.append(np.concatenate([*stream], axis=-1))
    assert kinds == [{np.dtype(np.float32)}, {np.dtype(np.float16)}]
    error, level = np.square(voices[1] - voices[0]).mean(), np.square(voices[0]).mean()
    assert 0 < error < 1e-8 * level


@pytest.mark.parametrize("channels", [1, 2])
def test_windows_are_read_once_within_the_memory_budget(tiny_model, channels, monkeypatch):
    """Without the budget every window is read again for each step; the voices are equal bit by bit."""
    recording, reads = Recording.of(noise(20, 16000, channels).T, 16000), []
    assert not recording.offset.any()  # measured once, before the windows are read
    read = recording.read
    monkeypatch.setattr(recording, "read", lambda *samples: reads.append(samples) or read(*samples))
    separator, counts, voices = Separator(tiny_model, window_seconds=6.4), [], []
    for max_bytes in (window_signals.MAX_KEPT_BYTES, 0):
        monkeypatch.setattr(window_signals, "MAX_KEPT_BYTES", max_bytes)
        reads.clear()
        voices.append(separator.separate(recording, n_speakers=2).voices)
        counts.append(len(reads))
    assert counts == [3, 9] and len({*reads}) == 3
    np.testing.assert_array_equal(voices[0], voices[1])

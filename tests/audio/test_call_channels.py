"""Two channels with a person each, as recorded calls have, are distinguished from other pairs."""

import numpy as np
import pytest
import soundfile
from conftest import hum

from lab41_sce.audio.recording import Recording

RATE_HZ = 8000
SECONDS = 20


def talk():
    """Return two voices `[2, N]` that take turns of two seconds."""
    rng = np.random.default_rng(0)
    voices = np.stack([hum(pitch_hz, SECONDS, RATE_HZ, rng) for pitch_hz in (110, 190)])
    turn = np.arange(voices.shape[1]) // (2 * RATE_HZ) % 2
    return voices * (turn == np.array([[0], [1]]))


def noted(folder, channels):
    """Return whether a file with these channels, `[2, N]`, has the note about a person on each channel."""
    soundfile.write(folder / "talk.wav", channels.T, RATE_HZ, "FLOAT")
    return any("--channels speakers" in note for note in Recording.open(folder / "talk.wav", "mix").notes)


@pytest.mark.parametrize("crosstalk_db", [-60, -15])
def test_a_person_on_each_channel_is_noticed(tmp_path, crosstalk_db):
    crosstalk = 10 ** (crosstalk_db / 20)
    channels = np.array([[1, crosstalk], [crosstalk, 1]]) @ talk() * [[1.0], [0.2]] + [[0.1], [-0.1]]
    assert noted(tmp_path, channels)


@pytest.mark.parametrize("gains", [
    pytest.param([[1, 1], [0.5, 0.5]], id="one microphone"), pytest.param([[1, 0.5], [0.5, 1]], id="two microphones"),
    pytest.param([[1, 1], [0, 0]], id="one silent channel"), pytest.param([[1, 0], [0, 0]], id="one person")])
def test_other_channels_are_not(tmp_path, gains):
    assert not noted(tmp_path, np.array(gains, float) @ talk())


def test_two_people_who_talk_at_once_are_not(tmp_path):
    rng = np.random.default_rng(0)
    assert not noted(tmp_path, 0.1 * rng.standard_normal((2, SECONDS * RATE_HZ)))


def test_a_short_recording_is_not(tmp_path):
    assert not noted(tmp_path, talk()[:, : 4 * RATE_HZ])

"""The voices of a stereo recording are stereo, add up to it, and stay at their places between the channels."""

import numpy as np
import pytest
import soundfile

from lab41_sce import audio
from lab41_sce.commands import separate
from lab41_sce.demo.sounds import make_mixture


def level_difference_db(channels):
    """Return the level of the left channel above that of the right one, of sounds `[..., 2, N]`."""
    left, right = np.moveaxis(np.square(channels).sum(axis=-1), -1, 0)
    return 10 * np.log10(left / right)


@pytest.mark.slow
@pytest.mark.parametrize(("left_db", "right_db", "window_seconds"), [(6, -6, 60), (8, -3, 60), (6, -6, 1)])
def test_each_voice_keeps_its_level_difference(tmp_path, monkeypatch, left_db, right_db, window_seconds):
    """The shortest possible windows divide 17 s into three parts."""
    sources = np.tile(make_mixture("3 (woman)", "13 (man)", 0.0).sources, 3 if window_seconds == 1 else 1)
    gains = np.array([[1, 10 ** (-pan_db / 20)] for pan_db in (left_db, right_db)])
    gains /= gains.sum(axis=1, keepdims=True)  # both people are equally loud in the mean
    panned = gains[..., None] * sources[:, None]  # [person, channel, N]
    soundfile.write(tmp_path / "talk.wav", 0.5 * panned.sum(axis=0).T, 10000, "FLOAT")
    separator = separate.load_separator(None, "onnx", "stereo")
    monkeypatch.setattr(separator, "window_seconds", window_seconds)
    monkeypatch.setattr(separate, "load_separator", lambda *_: separator)
    out = tmp_path / "out"
    arguments = [str(tmp_path / "talk.wav"), "--out-dir", str(out), "--speakers", "2"]
    assert separate.main([*arguments, "--channels", "each"]) == 0
    voices = np.stack([audio.read(out / f"talk_{number}.wav")[0] for number in (1, 2)])
    np.testing.assert_allclose(voices.sum(axis=0), audio.read(tmp_path / "talk.wav")[0], atol=1e-5)
    found_db = sorted(level_difference_db(voices))
    np.testing.assert_allclose(found_db, sorted(level_difference_db(panned)), atol=1.0)
    assert sorted(level_difference_db(panned)) == pytest.approx([right_db, left_db])

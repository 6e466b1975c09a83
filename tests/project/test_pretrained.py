"""The shipped model: its size, its training speakers, and its separation of the examples."""

from importlib.resources import files
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from lab41_sce import audio
from lab41_sce.audio.recording import Recording
from lab41_sce.commands import separate
from lab41_sce.data.corpus import EMBEDDED_SUBSET
from lab41_sce.evaluation.metrics import si_sdr_improvement
from lab41_sce.pretrained import MODEL
from lab41_sce.separation.separator import Separator

EXAMPLES = files("lab41_sce") / "examples"


@pytest.fixture(scope="module")
def shipped():
    return Separator.from_pretrained()


def test_it_is_small_and_lists_its_training_speakers():
    assert MODEL.stat().st_size < 20e6
    splits = pd.read_csv(MODEL.parent / "splits.csv", dtype=str)
    assert {"train", "validation", "unseen"} <= set(splits["split"]) and EMBEDDED_SUBSET not in set(splits["subset"])
    assert not splits["utterance"].str.contains("@").any()  # recordings, not augmented versions
    sides = splits.assign(unseen=splits["split"] == "unseen").groupby("speaker")["unseen"].nunique()
    assert (sides == 1).all() and set(splits.query("split == 'unseen'")["subset"]) == {"test-other"}


def test_it_separates_the_example(shipped, monkeypatch):
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2] / "tools" / "assets"))
    from make_examples import UTTERANCES, load, overlap

    channels, rate_hz = audio.read(EXAMPLES / "mixture.wav")
    sources = overlap(map(load, UTTERANCES["mixture"]))
    np.testing.assert_allclose(channels[0] * np.abs(sources.sum(axis=0)).max() / 0.9, sources.sum(axis=0), atol=1e-3)
    assert si_sdr_improvement(sources, channels[0], shipped.separate(channels[0], rate_hz).voices) > 6


def test_a_voice_of_the_example_is_one_person(shipped):
    """The model counts one speaker in each voice, and two in the mixture."""
    channels, rate_hz = audio.read(EXAMPLES / "mixture.wav")
    voices = shipped.separate(channels[0], rate_hz).voices
    assert len(voices) == 2
    for voice in voices:
        assert shipped.open(Recording.of(voice, rate_hz)).speakers.n_speakers == 1


@pytest.mark.slow
def test_windows_are_within_60_db_of_the_whole(shipped):
    """With four windows in a minute, many parts are near a border."""
    signal, rate_hz = audio.read(EXAMPLES / "two_women.wav")
    signal = np.tile(signal[0], 20)[: 60 * rate_hz - 4321]  # no multiple of a frame
    whole = shipped.separate(signal, rate_hz, 2).voices
    windowed = Separator(shipped.model, window_seconds=15)
    assert len(windowed.open(Recording.of(signal, rate_hz), 2).windows) == 4
    parts = windowed.separate(signal, rate_hz, 2).voices
    error = min(np.square(parts - whole[order]).mean() for order in ([0, 1], [1, 0]))
    assert 10 * np.log10(error / np.square(whole).mean()) < -60


def test_the_default_command_separates_the_example(tmp_path, capsys):
    assert separate.main([str(EXAMPLES / "mixture.wav"), "--out-dir", str(tmp_path)]) == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mixture_1.wav", "mixture_2.wav"]
    assert "mixture.wav: 2 people, clear.\n" in capsys.readouterr().err

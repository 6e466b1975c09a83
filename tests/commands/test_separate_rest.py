"""`lab41-sce separate --rest`: what belongs to no voice becomes a file."""

import json

import numpy as np
import pytest
import soundfile
from conftest import hum

from lab41_sce import audio
from lab41_sce.commands import separate
from lab41_sce.models.embedding_model import EmbeddingModel
from lab41_sce.models.mask_network import mask_network

RATE_HZ, SECONDS = 16000, 3
RNG = np.random.default_rng(5)


@pytest.fixture
def recording(tmp_path):
    voices = [hum(pitch_hz, SECONDS, RATE_HZ, RNG) for pitch_hz in (110, 190)]
    soundfile.write(tmp_path / "talk.wav", sum(voices) + 0.05 * RNG.standard_normal(len(voices[0])), RATE_HZ, "FLOAT")
    return tmp_path / "talk.wav"


@pytest.fixture
def arguments(tiny_model, recording, tmp_path):
    """Return the words of a call with a model that leaves about a third of everything to the rest."""
    network = mask_network(tiny_model.front_end.n_bins, filters=[2], width=2, hidden_width=2, dilations=[1])
    network.get_layer("correction").bias.assign([-0.15, 0.0])
    EmbeddingModel(**tiny_model.arguments() | {"soft_scale": 4.0, "mask_network": network, "leaves_rest": True}).save(
        tmp_path / "model.keras")
    return [str(recording), "--model", str(tmp_path / "model.keras"), "--speakers", "2", "--out-dir", str(tmp_path)]


def read(folder, name):
    return audio.read(folder / f"talk_{name}.wav")[0][0]


@pytest.mark.parametrize("runtime", ["onnx", "keras"])
def test_the_voices_and_the_rest_sum_to_the_recording(arguments, recording, tmp_path, runtime):
    assert separate.main([*arguments, "--rest", "--json", "--runtime", runtime]) == 0
    signal = audio.read(recording)[0][0]
    voices, rest = [read(tmp_path, number) for number in (1, 2)], read(tmp_path, "rest")
    np.testing.assert_allclose(sum(voices) + rest, signal, atol=1e-5)
    np.testing.assert_allclose(rest, 0.3 * signal, atol=0.02 * np.abs(signal).max())  # also above half the model's rate
    assert json.loads((tmp_path / "talk.json").read_text())["rest"] == "talk_rest.wav"


def test_without_the_option_nothing_is_written_and_a_file_of_an_earlier_call_is_listed(arguments, tmp_path, capsys):
    assert separate.main(arguments) == 0
    assert not (tmp_path / "talk_rest.wav").exists()
    assert separate.main([*arguments, "--force", "--rest"]) == 0 and "earlier call" not in capsys.readouterr().err
    assert separate.main([*arguments, "--force"]) == 0
    assert "these files may be from an earlier call: " in capsys.readouterr().err


def test_a_rest_is_refused_where_there_can_be_none(arguments, recording, tmp_path, capsys):
    assert separate.main([str(recording), "--channels", "speakers", "--rest"]) == 1
    assert "leaves no rest; leave out --rest" in capsys.readouterr().err
    assert separate.main([*arguments, "--enroll", f"rest={recording}", "--rest"]) == 1
    assert "give the person another name" in capsys.readouterr().err

"""`lab41-sce rooms`: arguments, messages and the file (tests/data/test_room_simulation.py tests the responses)."""

import sys

import numpy as np
import pytest

from lab41_sce.commands import rooms as command
from lab41_sce.data import room_simulation
from lab41_sce.data.rooms import RoomBank


@pytest.fixture
def drawn(monkeypatch):
    """Replace the simulation; return the list of the arguments that it receives."""
    received = []

    def draw_bank(n_rooms, n_places, ranges, sample_rate_hz, seed):
        received.append((n_rooms, n_places, ranges.rt60, ranges.distance, sample_rate_hz, seed))
        return {"responses": np.ones((n_rooms, n_places, 50), np.float16), "sample_rate_hz": np.array(sample_rate_hz),
                "rt60": np.ones(n_rooms, np.float32)}

    monkeypatch.setattr(room_simulation, "draw_bank", draw_bank)
    return received


def test_a_bank_is_drawn_and_can_be_loaded(drawn, tmp_path, capsys):
    path = tmp_path / "bank.npz"
    options = ["--rooms", "4", "--places", "2", "--rt60", "0.2", "0.4", "--distance", "1", "2", "--sample-rate", "8000",
               "--seed", "5"]
    assert command.main([str(path), *options]) == 0
    assert drawn == [(4, 2, (0.2, 0.4), (1, 2), 8000, 5)]
    assert RoomBank.load(path, 8000).responses.shape == (4, 2, 50) and [*tmp_path.iterdir()] == [path]
    assert f"{path}: 4 rooms with 2 places" in capsys.readouterr().out
    assert command.main([str(tmp_path / "usual.npz")]) == 0
    assert drawn[1] == (300, 3, (0.1, 0.8), (0.5, 3.0), 10000, 0)


@pytest.mark.parametrize(("arguments", "sentence"), [
    (["bank.wav"], "bank.wav cannot be written; give a file that ends in .npz, in a folder that exists."),
    (["absent/bank.npz"], "cannot be written; give a file that ends in .npz, in a folder that exists."),
    (["there.npz"], "there.npz exists already; delete it or choose another name."),
    (["bank.npz", "--rooms", "0"], "--rooms 0 is not possible; give a whole number from 1 to 10000."),
    (["bank.npz", "--places", "1"], "--places 1 is not possible; give a whole number from 2 to 20."),
    (["bank.npz", "--sample-rate", "100"], "--sample-rate 100 is not possible"),
    (["bank.npz", "--seed", "-1"], "--seed -1 is not possible"),
    (["bank.npz", "--rooms", "10000", "--places", "20"], "the bank would need 3.2 GB of memory instead of"),
    (["bank.npz", "--rt60", "0", "1"], "--rt60 0 1 is not possible"),
])
def test_mistakes_are_reported_before_anything_is_drawn(drawn, tmp_path, capsys, arguments, sentence):
    (tmp_path / "there.npz").write_bytes(b"precious")
    assert command.main([str(tmp_path / arguments[0]), *arguments[1:]]) == 1
    error = capsys.readouterr().err
    assert sentence in error and error.count("\n") == 1 and not drawn
    assert (tmp_path / "there.npz").read_bytes() == b"precious" and len([*tmp_path.iterdir()]) == 1


def test_an_interruption_writes_nothing(monkeypatch, tmp_path, capsys):
    def interrupt(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(room_simulation, "draw_bank", interrupt)
    assert command.main([str(tmp_path / "bank.npz")]) == 130
    assert "nothing was written" in capsys.readouterr().err and not [*tmp_path.iterdir()]


def test_a_missing_simulator_is_reported(monkeypatch, tmp_path, capsys):
    monkeypatch.setitem(sys.modules, "pyroomacoustics", None)
    assert command.main([str(tmp_path / "bank.npz")]) == 1
    sentence = "drawing rooms needs pyroomacoustics, which is not installed; pip install pyroomacoustics."
    assert capsys.readouterr().err == f"error: {sentence}\n"
    assert not [*tmp_path.iterdir()]

"""`--enroll`: people, each with several files; the voices get their names."""

import json

import numpy as np
import pytest
import soundfile
from conftest import hum

from lab41_sce.commands import separate
from lab41_sce.commands.enrolment_options import parse_people
from lab41_sce.errors import UserError


def test_files_are_grouped_by_person(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "x=y.wav").touch()
    people = parse_people(["Ann=a.wav", "Bob=b.wav", "Ann=c.wav"])
    assert {name: [*map(str, files)] for name, files in people.items()} == {"Ann": ["a.wav", "c.wav"], "Bob": ["b.wav"]}
    assert [*parse_people(["a.wav", "b.wav"])] == [""]  # several files of one person without a name
    assert [*parse_people(["x=y.wav"])] == [""]  # a file of this name exists
    assert parse_people([]) == {}


@pytest.mark.parametrize(("words", "wrong"), [
    (["Ann="], "has no file"), (["=a.wav"], "has no name"), ([""], "has no file"),
    (["a/b=a.wav"], "contains '/'"), (["Ann=a.wav", "b.wav"], "b.wav has no name, but other files have one"),
    (["Ann=a.wav", "Bob=a.wav"], "a.wav is given for both Ann and Bob"),
    (["Ann=a.wav", "ann=b.wav"], "would give the same file")])
def test_words_that_fit_no_person_are_refused(words, wrong):
    with pytest.raises(UserError, match=wrong):
        parse_people(words)


@pytest.fixture
def talk(tiny_model, tmp_path):
    """Write a recording, two people who talk alone, and a model that finds everybody."""
    tiny_model.predict_on_batch(np.zeros((1, 1000), np.float32))
    tiny_model.verification_threshold = -1.0
    tiny_model.save(tmp_path / "model.keras")
    rng = np.random.default_rng(0)
    for name, pitch_hz in (("ann", 200), ("bob", 100), ("eve", 150)):
        soundfile.write(tmp_path / f"{name}.wav", hum(pitch_hz, 1, 10000, rng), 10000)
    soundfile.write(tmp_path / "talk.wav", hum(200, 2, 10000, rng) + hum(100, 2, 10000, rng), 10000)
    return [str(tmp_path / "talk.wav"), "--model", str(tmp_path / "model.keras"), "--speakers", "2", "--out-dir",
            str(tmp_path / "out"), "--json", "--rttm"]


def enroll(folder, *names):
    """Return the words that enrol people, each with the file of their name."""
    return [word for name in names for word in ("--enroll", f"{name}={folder / name.split()[0].lower()}.wav")]


def test_voices_are_named_after_people(talk, tmp_path, capsys, caplog):
    out = tmp_path / "out"
    assert separate.main([*talk, *enroll(tmp_path, "Bob", "Ann B")]) == 0
    assert sorted(path.name for path in out.iterdir() if path.name[0] != ".") == [
        "talk.json", "talk.rttm", "talk_Ann B.wav", "talk_Bob.wav"]
    written = json.loads((out / "talk.json").read_text())
    assert [voice["name"] for voice in written["voices"]] == ["Bob", "Ann B"]
    assert [(person["name"], person["present"], person["voice"]) for person in written["people"]] == [
        ("Bob", True, "talk_Bob.wav"), ("Ann B", True, "talk_Ann B.wav")]
    assert {line.split()[7] for line in (out / "talk.rttm").read_text().splitlines()} <= {"Bob", "Ann_B"}
    errors = capsys.readouterr().err
    assert "talk.wav: Bob is present (similarity " in errors and "talk.wav: Ann B is present (similarity " in errors
    assert separate.main([*talk, *enroll(tmp_path, "Bob", "Ann B")]) == 1 and "--force" in capsys.readouterr().err
    # Among several files, voices are left out, and finished recordings are skipped.
    assert separate.main([talk[0], str(out / "talk_Ann B.wav"), *talk[1:], *enroll(tmp_path, "Bob", "Ann B")]) == 0
    assert "skipped, because their voices exist: 1 of 1" in capsys.readouterr().err
    assert "left out are 1 voices of the other recordings" in caplog.text


def test_one_of_two_voices_has_a_name(talk, tmp_path):
    assert separate.main([*talk, *enroll(tmp_path, "Ann")]) == 0
    written = json.loads((tmp_path / "out" / "talk.json").read_text())
    assert [voice["file"] for voice in written["voices"]] == ["talk_Ann.wav", "talk_2.wav"]
    assert "name" not in written["voices"][1]


def test_more_people_than_voices(talk, tmp_path, capsys):
    assert separate.main([*talk, *enroll(tmp_path, "Ann", "Bob", "Eve")]) == 0
    people = json.loads((tmp_path / "out" / "talk.json").read_text())["people"]
    assert sorted(person["present"] for person in people) == [False, True, True]
    assert [person["voice"] for person in people if not person["present"]] == [None]
    assert capsys.readouterr().err.count("is not present") == 1


def test_a_silent_person_is_named_in_the_mistake(talk, tmp_path, capsys):
    soundfile.write(tmp_path / "eve.wav", np.zeros(10000), 10000)
    assert separate.main([*talk, *enroll(tmp_path, "Ann", "Eve")]) == 1
    assert "eve.wav is silent" in capsys.readouterr().err and not (tmp_path / "out").exists()

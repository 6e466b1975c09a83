"""`lab41-sce calibrate` with a tiny model and synthetic voices."""

import json

import numpy as np
import pandas as pd
import pytest

from lab41_sce import audio
from lab41_sce.audio.recording import Recording
from lab41_sce.commands import calibrate
from lab41_sce.data.corpus import EMBEDDED_ROOT, load_corpus
from lab41_sce.errors import UserError
from lab41_sce.evaluation import (
    confidence_calibration,
    count_calibration,
    count_training,
    turn_calibration,
    verification_calibration,
)
from lab41_sce.examples import EXAMPLES
from lab41_sce.separation import speaker_count, turn_numbers
from lab41_sce.separation.count_classifier import CountClassifier
from lab41_sce.separation.separator import Separator

TRAINED = {"1", *map(str, range(31, 41))}


@pytest.fixture
def model_file(tiny_model, tmp_path, monkeypatch):
    """Save a model, and a table that lists some speakers as trained and as unseen; short mixtures only."""
    tiny_model.predict_on_batch(np.zeros((1, 1000), np.float32))
    tiny_model.save(tmp_path / "model.keras")
    table = load_corpus(None, ["synthetic"], check="headers")
    splits = table["speaker"].map(dict.fromkeys(TRAINED, "train") | {"2": "unseen"}).fillna("validation")
    table.assign(split=splits)[["utterance", "speaker", "split"]].to_csv(tmp_path / "splits.csv", index=False)
    monkeypatch.setattr("lab41_sce.evaluation.counted_mixtures.PLAIN_SECONDS", 1.0)
    monkeypatch.setattr("lab41_sce.evaluation.counted_mixtures.SECONDS", (1.0, 1.5))
    monkeypatch.setattr("lab41_sce.separation.count_features.MAX_FITTED_EMBEDDINGS", 200)
    monkeypatch.setattr(count_calibration, "INVERSE_STRENGTHS", (0.01, 0.1))
    monkeypatch.setattr(calibrate, "MIN_MIXTURES", 48)
    for name, value in {"MIN_SPEAKERS": 5, "MIXTURES_PER_FILE": 10, "SECONDS": (1.0, 1.5), "EPOCHS": 1}.items():
        monkeypatch.setattr(count_training, name, value)
    monkeypatch.chdir(tmp_path)
    return tmp_path / "model.keras"


@pytest.mark.slow
def test_a_calibrated_model_counts_with_probabilities(model_file, monkeypatch, capsys):
    drawn, draw = [], count_calibration.draw_mixture
    for module in (count_calibration, count_training):
        monkeypatch.setattr(module, "draw_mixture", lambda *given, **options:
                            drawn.append(given) or draw(*given, **options))
    speakers = [str(number) for number in range(1, 19)]
    arguments = [str(model_file), str(EMBEDDED_ROOT), "--speakers", speakers_file(model_file, speakers)]
    arguments += ["--network-mixtures", "10", "--mixtures", "48"]
    assert calibrate.main(arguments) == 0
    out = capsys.readouterr().out
    of_network, drawn[:] = drawn[:10], drawn[10:]
    assert {name for _, _, table, *_ in of_network for name in table["speaker"]} == TRAINED
    assert sorted(given[3] for given in of_network) == [1, 1, 1, 2, 2, 2, 3, 3, 4, 5]
    assert out.startswith(f"{model_file.with_name('model.counting.json')}: right for held-out speakers: 1: ")
    assert not {"1", "2"} & {name for _, _, table, *_ in drawn for name in table["speaker"]}
    rows = pd.read_csv("model.counting.csv")
    assert len(rows) == len(drawn) == 48 and rows["speakers"].value_counts().to_dict() == {
        1: 12, 2: 12, 3: 12, 4: 6, 5: 6}
    folds = {}
    for row in rows.itertuples():
        for name in row.names.split():
            assert folds.setdefault(name, row.fold) == row.fold  # a speaker is in one fold only
    assert rows.filter(like="score_").shape == (48, 5)
    written = json.loads(model_file.with_name("model.counting.json").read_text())
    assert 0 <= written["calibration"]["expected_calibration_error"] < 0.5
    assert written["calibration"]["noise"] == ["white", "pink", "speech_shaped"]

    separator = Separator.load(model_file)
    count = separator.separate(audio.read_mono(EXAMPLES[0], 10_000)[:10_000], 10_000).count
    assert [*count.probabilities] == [1, 2, 3, 4, 5] and sum(count.probabilities.values()) == pytest.approx(1)

    assert calibrate.main([*arguments[:-1], "50"]) == 0 and len(drawn) == 50  # continues
    speakers_file(model_file, speakers[:-1])
    assert calibrate.main(arguments) == 1
    assert "has the numbers of another network or of other speech" in capsys.readouterr().err


def speakers_file(model_file, names):
    """Write a list of speakers."""
    file = model_file.with_name("speakers.csv")
    pd.DataFrame({"speaker": names}).to_csv(file, index=False)
    return str(file)


def test_trained_speakers_of_an_added_corpus_are_left_out(model_file):
    """In splits.csv, the ids of a corpus that was added begin with its name."""
    file = model_file.with_name("splits.csv")
    listed = pd.read_csv(file, dtype=str)
    listed.assign(**{name: "more:" + listed[name] for name in ("speaker", "utterance")}).to_csv(file, index=False)
    assert not {"1", "2"} & {*count_calibration.load_speech([EMBEDDED_ROOT], file)["speaker"]}


def test_the_speech_of_the_embeddings_may_be_listed_elsewhere(model_file, monkeypatch):
    given = []
    monkeypatch.setattr(calibrate, "calibrate_counting", lambda separator, file, utterances, splits, options:
                        given.append({*utterances["speaker"]}))
    elsewhere = model_file.with_name("elsewhere.csv")
    pd.read_csv(model_file.with_name("splits.csv"), dtype=str).query("speaker != '2'").to_csv(elsewhere, index=False)
    arguments = [str(model_file), str(EMBEDDED_ROOT), "--only", "counting"]
    assert calibrate.main(arguments) == calibrate.main([*arguments, "--splits", str(elsewhere)]) == 0
    assert given[1] - given[0] == {"2"} and "1" not in given[1]


@pytest.mark.slow
def test_people_who_take_turns_are_counted_after_the_other_two(model_file, monkeypatch, capsys):
    monkeypatch.setattr(turn_calibration, "SECONDS", (4.0, 6.0))
    for module in (turn_calibration, speaker_count):
        monkeypatch.setattr(module, "MIN_BLOCKS", 3)
    monkeypatch.setattr(turn_numbers, "BLOCK_SECONDS", 0.5)
    for name, value in {"SECONDS": 1.0, "MIN_BACKGROUND_SPEAKERS": 5, "N_CLASSES": 4}.items():
        monkeypatch.setattr(verification_calibration, name, value)
    arguments = [str(model_file), str(EMBEDDED_ROOT), "--network-mixtures", "0", "--mixtures", "96"]
    turns = model_file.with_name("model.turns.json")
    assert calibrate.main([*arguments, "--only", "counting"]) == 0 and not turns.exists()
    assert ("people who take turns will often be counted as one: the model has no model.verification.json"
            in capsys.readouterr().err)
    assert calibrate.main([*arguments, "--only", "turns"]) == 1
    assert "has no model.verification.json beside it, which turns needs; leave --only out" in capsys.readouterr().err
    assert calibrate.main([*arguments, "--only", "verification"]) == 0 and turns.exists()
    assert f"{turns}: right for held-out speakers: 1: " in capsys.readouterr().out
    written = json.loads(turns.read_text())
    assert written["features"] == turn_numbers.turn_names(5) and 40 <= written["calibration"]["mixtures"] <= 48

    numbers, separator = [], Separator.load(model_file)
    monkeypatch.setattr(CountClassifier, "probabilities", lambda self, given, *limits:
                        numbers.append({*given}) or dict.fromkeys(range(1, 6), 0.2))
    separator.open(Recording.of(audio.read_mono(EXAMPLES[0], 10_000), 10_000))
    assert numbers[-1] == {*written["features"]}

    monkeypatch.setattr(calibrate, "calibrate_turns", lambda *given: None)  # interrupted
    assert calibrate.main([*arguments, "--only", "counting"]) == 0 and not turns.exists()


@pytest.mark.slow
def test_the_confidence_is_calibrated_with_two_to_four_people(model_file, monkeypatch, capsys):
    drawn, draw = [], confidence_calibration.draw_sources
    monkeypatch.setattr(confidence_calibration, "draw_sources", lambda *given, **options:
                        drawn.append(given) or draw(*given, **options))
    arguments = [str(model_file), str(EMBEDDED_ROOT), "--only", "confidence", "--mixtures", "54"]
    assert calibrate.main(arguments) == 0
    assert not {"1", "2"} & {name for _, _, table, *_ in drawn for name in table["speaker"]}
    assert sorted(given[3] for given in drawn) == [2] * 9 + [3] * 9 + [4] * 9  # several threads draw
    file = model_file.with_name("model.confidence.json")
    assert capsys.readouterr().out.startswith(f"{file}: warns of held-out speakers whose voices gain less than 5 dB: ")
    assert not model_file.with_name("model.counting.json").exists()
    written = json.loads(file.read_text())
    assert written["calibration"]["mixtures"] == 27 and written["calibration"]["noise"][0] == "white"
    thresholds = Separator.load(model_file).confidence_thresholds
    assert [*thresholds.thresholds] == ["2", "3", "4"] and thresholds.limit_db == 5

    def refuse(*given):
        raise UserError("the confidence means nothing.")
    monkeypatch.setattr(confidence_calibration, "fit_confidence", refuse)
    monkeypatch.setattr(confidence_calibration, "measure_confidence", lambda *given: None)
    assert calibrate.main(arguments) == 1
    for name in ("counting", "verification", "turns"):
        monkeypatch.setattr(calibrate, f"calibrate_{name}", lambda *given: None)
    capsys.readouterr()
    assert calibrate.main(arguments[:2]) == 0
    assert capsys.readouterr().err == "the confidence was not calibrated: the confidence means nothing.\n"


def test_mistakes_are_one_sentence(model_file, capsys):
    few, unnamed = model_file.with_name("few.csv"), model_file.with_name("unnamed.csv")
    few.write_text("speaker\n3\n4\n")
    unnamed.write_text("name\n3\n")
    numbers = model_file.with_name("other.csv")
    numbers.write_text("mixture\n1\n")
    for arguments, message in [
        ([str(model_file), str(EMBEDDED_ROOT), "--numbers", str(numbers)], "other.csv has no numbers of an earlier"),
        ([str(model_file), str(EMBEDDED_ROOT), "--speakers", str(unnamed)], "a CSV file with speaker in its first"),
        ([str(model_file), str(EMBEDDED_ROOT), "--splits", "no.csv"], "no.csv cannot be read (No such file"),
        ([str(model_file), str(EMBEDDED_ROOT), "--network-mixtures", "-1"], "--network-mixtures -1 is negative"),
        ([str(model_file), str(EMBEDDED_ROOT), "--mixtures", "5"], "--mixtures 5 are too few"),
        ([str(model_file), str(EMBEDDED_ROOT), "--speakers", str(few)], "has 2 speakers who are neither trained nor"),
        ([str(model_file), str(model_file.parent / "nothing")], "nothing is not a folder; give a folder in"),
        ([str(model_file), str(EMBEDDED_ROOT), "--numbers", "some"], "--numbers some has no suffix; give some.csv"),
        (["nothing.keras", str(EMBEDDED_ROOT)], "there is no model at nothing.keras"),
    ]:
        assert calibrate.main(arguments) == 1
        error = capsys.readouterr().err
        assert message in error and "Traceback" not in error
    assert not model_file.with_name("model.counting.json").exists()

"""Error rates of known turns, worked out by hand; RTTM and JSON files are read."""

import json
import math

import pandas as pd
import pytest

from lab41_sce.errors import UserError
from lab41_sce.evaluation.diarisation import compare_turns, read_turns, score_turns, summarise_turns
from lab41_sce.separation.activity import rttm

TRUE = [("ann", 0.0, 5.0), ("bob", 5.0, 10.0)]


@pytest.fixture(autouse=True)
def counts_errors():
    pytest.importorskip("pyannote.metrics")


def test_right_turns_have_no_errors_whatever_the_names():
    scores = score_turns(TRUE, [("voice_2", 0.0, 5.0), ("voice_1", 5.0, 10.0)], 10.0, 0.0)
    assert scores["der"] == scores["jer"] == 0 and scores["total"] == 10


def test_missed_false_and_confused_seconds_are_counted():
    """Bob's first second is given to Ann, his last is missed, and two seconds after him are marked."""
    scores = score_turns(TRUE, [("1", 0.0, 6.0), ("2", 6.0, 9.0), ("2", 10.0, 12.0)], 12.0, 0.0)
    assert (scores["missed"], scores["false_alarm"], scores["confusion"]) == pytest.approx((1, 2, 1))
    assert scores["der"] == pytest.approx(0.4)
    assert scores["jer"] == pytest.approx((1 / 6 + 4 / 7) / 2)  # of 6 seconds of Ann, and of 7 of Bob


def test_overlapping_speech_counts_for_each_speaker():
    scores = score_turns([("ann", 0.0, 6.0), ("bob", 4.0, 10.0)], [("1", 0.0, 6.0), ("2", 6.0, 10.0)], 10.0, 0.0)
    assert scores["total"] == pytest.approx(12) and scores["missed"] == pytest.approx(2)


def test_overlapping_turns_of_one_speaker_count_once():
    """As some annotations have them; turns that touch remain two, with a boundary between them."""
    true = [("ann", 0.0, 6.0), ("ann", 4.0, 10.0)]
    scores = score_turns(true, [("1", 0.0, 10.0)], 10.0, 0.0)
    assert scores["der"] == scores["jer"] == 0 and scores["total"] == pytest.approx(10)
    touching = score_turns([("ann", 0.0, 5.0), ("ann", 5.0, 10.0)], [("1", 0.0, 10.0)], 10.0, 0.25)
    assert touching["total"] == pytest.approx(9.0)


def test_nothing_within_a_collar_on_either_side_of_a_boundary_is_scored():
    found = [("1", 0.0, 5.2), ("2", 5.2, 10.0)]
    assert score_turns(TRUE, found, 10.0, 0.0)["confusion"] == pytest.approx(0.2)
    scores = score_turns(TRUE, found, 10.0, 0.25)
    assert scores["confusion"] == 0 and scores["total"] == pytest.approx(9.0)  # without 0.25, 0.5 and 0.25 s
    assert score_turns(TRUE, [("1", 0.0, 5.3), ("2", 5.3, 10.0)], 10.0, 0.25)["confusion"] == pytest.approx(0.05)


def test_the_rate_of_a_set_is_all_errors_over_all_speech():
    scores = pd.DataFrame([{"set": "a", "collar_seconds": 0.0, "total": total, "missed": missed, "false_alarm": 0.0,
                            "confusion": 0.0, "jer": jer} for total, missed, jer in ((10, 5, 0.5), (90, 5, 0.1))])
    row, = summarise_turns(scores).to_dict("records")
    assert row["der"] == pytest.approx(0.1) and row["jer"] == pytest.approx(0.3) and row["n"] == 2
    assert row["low"] == pytest.approx(5 / 90) and row["high"] == pytest.approx(0.5)


def turns_of(system, missed):
    """Make scores of recordings with 10, 20, 30, ... s of speech and some missed seconds."""
    return pd.DataFrame([{"recording": f"r{number}", "system": system, "collar_seconds": 0.0, "total": 10.0 * number,
                          "missed": seconds, "false_alarm": 0.0, "confusion": 0.0, "jer": seconds / (10 * number)}
                         for number, seconds in enumerate(missed, start=1)])


def test_differences_are_paired_by_recording():
    """The second system misses 5 % of each recording more; the recordings differ by far more than the systems."""
    base = turns_of("first", [1, 12, 0, 20])
    other = turns_of("second", [1.5, 13, 1.5, 22]).sample(frac=1, random_state=1)  # in another order
    row, = compare_turns(pd.concat([base, other]), "first").to_dict("records")
    assert row["system"] == "second" and row["n"] == 4
    assert [row[name] for name in ("der", "low", "high", "jer")] == pytest.approx([0.05] * 4)
    of_first, = summarise_turns(base.rename(columns={"system": "set"})).to_dict("records")
    assert of_first["high"] - of_first["low"] > 0.3
    assert compare_turns(base, "first").empty


def test_one_recording_has_no_interval():
    scores = pd.concat([turns_of("first", [1]), turns_of("second", [2])])
    row, = compare_turns(scores, "first").to_dict("records")
    assert row["der"] == pytest.approx(0.1) and math.isnan(row["low"]) and math.isnan(row["high"])
    of_one = summarise_turns(scores.rename(columns={"system": "set"}))
    assert of_one["der"].tolist() == pytest.approx([0.1, 0.2]) and of_one[["low", "high"]].isna().all(axis=None)


def test_files_of_both_formats_give_the_same_turns(tmp_path):
    segments = [[(0.0, 1.5), (4.0, 5.0)], [(1.0, 2.25)]]
    (tmp_path / "talk.rttm").write_text(rttm("talk", segments), "utf-8")
    voices = [{"file": f"voice_{number}.wav", "speaks": of_voice} for number, of_voice in enumerate(segments, 1)]
    (tmp_path / "talk.json").write_text(json.dumps({"voices": voices}), "utf-8")
    turns = read_turns(tmp_path / "talk.rttm")
    assert sorted(turns["talk"]) == [("voice_1", 0.0, 1.5), ("voice_1", 4.0, 5.0), ("voice_2", 1.0, 2.25)]
    assert sorted(read_turns(tmp_path / "talk.json")["talk"]) == sorted(turns["talk"])


def test_a_byte_order_mark_hides_no_turn(tmp_path):
    (tmp_path / "talk.rttm").write_text("\ufeffSPEAKER talk 1 0 1 <NA> <NA> x <NA> <NA>\n", "utf-8")
    assert read_turns(tmp_path / "talk.rttm") == {"talk": [("x", 0.0, 1.0)]}


@pytest.mark.parametrize(("name", "text"), [
    ("a.rttm", "SPEAKER a 1 zero 1"), ("a.json", "{}"), ("none.rttm", None),
    ("nan.rttm", "SPEAKER a 1 nan 1 <NA> <NA> ann <NA> <NA>"),
    ("back.rttm", "SPEAKER a 1 2 -1 <NA> <NA> ann <NA> <NA>"),
    ("before.rttm", "SPEAKER a 1 -2 1 <NA> <NA> ann <NA> <NA>")])
def test_other_files_are_refused_in_a_sentence(tmp_path, name, text):
    if text is not None:
        (tmp_path / name).write_text(text, "utf-8")
    with pytest.raises(UserError, match="cannot be read as") as caught:
        read_turns(tmp_path / name)
    assert "Error(" not in str(caught.value)

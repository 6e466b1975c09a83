"""Recordings without true voices are scored by their turns: error rates and counts, each recording once."""

import pandas as pd
import pytest
import soundfile

from lab41_sce.commands import benchmark
from lab41_sce.errors import UserError
from lab41_sce.examples import FOLDER
from lab41_sce.reporting.benchmark_report import write_recordings_report
from lab41_sce.runs import recordings_benchmark
from lab41_sce.runs.recordings_benchmark import (
    DiarisationSystem,
    build_diarisation_systems,
    load_recordings,
    score_recordings,
)
from lab41_sce.separation.activity import rttm

TRUE = {"first": [[(0.0, 2.0)], [(2.0, 4.0)]], "second": [[(0.0, 1.0)], [(1.0, 2.0)], [(2.0, 4.0)]]}


@pytest.fixture(autouse=True)
def counts_errors():
    pytest.importorskip("pyannote.metrics")


@pytest.fixture
def folder(tmp_path):
    """Make two recordings of 4 s with two and three speakers, and the turns of another program for both."""
    signal, rate_hz = soundfile.read(FOLDER / "mixture.wav")
    (tmp_path / "sessions").mkdir()
    (tmp_path / "found").mkdir()
    for name, true in TRUE.items():
        soundfile.write(tmp_path / f"sessions/{name}.wav", signal[: 4 * rate_hz], rate_hz)
        # The first two speakers are found, the third is not.
        (tmp_path / f"found/{name}.rttm").write_text(rttm(name, true[:2]))
    (tmp_path / "true.rttm").write_text("".join(rttm(name, true) for name, true in TRUE.items()))
    return tmp_path


def test_turns_of_another_program_are_scored(folder):
    recordings = load_recordings(folder / "sessions", folder / "true.rttm")
    assert [recording.n_speakers for recording in recordings] == [2, 3]
    systems = build_diarisation_systems([f"other={folder / 'found'}"])
    scores, summary, differences = score_recordings(folder, recordings, systems)
    exact = scores[scores["collar_seconds"] == 0].set_index("recording")
    assert exact.loc["first", "der"] == 0 and exact.loc["second", "der"] == pytest.approx(0.5)
    assert list(exact["speakers"]) == [2, 3] and list(exact["counted"]) == [2, 2]
    row = summary[summary["collar_seconds"] == 0].iloc[0]
    assert (row["system"], row["n"], row["right"], row["within_one"]) == ("other", 2, 1, 2)
    assert row["der"] == pytest.approx(0.25)  # 2 of 8 s
    assert differences.empty  # of a single system


def test_systems_are_compared_on_the_same_recordings(folder):
    """The second system finds the true turns, the first one misses 2 of 8 s, all in the second recording."""
    (folder / "right").mkdir()
    (folder / "true.rttm").rename(folder / "right/all.rttm")
    recordings = load_recordings(folder / "sessions", folder / "right")
    systems = build_diarisation_systems([str(folder / "found"), str(folder / "right")])
    _, summary, differences = score_recordings(folder, recordings, systems)
    assert list(differences["system"]) == ["right", "right"] and list(differences["collar_seconds"]) == [0, 0.25]
    assert differences["der"].iloc[0] == pytest.approx(-0.25) and list(differences["n"]) == [2, 2]
    assert differences["low"].iloc[0] == pytest.approx(-0.5) and differences["high"].iloc[0] == 0
    pd.testing.assert_frame_equal(pd.read_csv(folder / "differences.csv"), differences)
    text = write_recordings_report(folder, summary, differences, "found")
    assert "Differences from found" in text and "-25.0 [-50.0, 0.0]" in text
    assert "-25.0 {[}-50.0, 0.0]" in (folder / "table.tex").read_text("utf-8")


def test_a_recording_is_not_separated_twice(folder):
    recordings, calls = load_recordings(folder / "sessions", folder / "true.rttm"), []

    def find(path):
        calls.append(path.stem)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return 1, [("somebody", 0.0, 4.0)]

    def score(version):
        return score_recordings(folder, recordings, [DiarisationSystem("mine", find, lambda _: version)])[0]

    with pytest.raises(KeyboardInterrupt):
        score("1")
    first = score("1")
    assert calls == ["first", "second", "second"]
    pd.testing.assert_frame_equal(score("1"), first)
    assert len(calls) == 3
    score("2")
    assert calls[3:] == ["first", "second"]
    # After another system on one of the recordings, the rows of all others are still known.
    other = DiarisationSystem("other", find, lambda _: "1")
    assert len(score_recordings(folder, recordings[:1], [other])[0]) == 2
    assert calls[5:] == ["first"] and set(pd.read_csv(folder / "recordings.csv")["system"]) == {"other"}
    assert len(score("2")) == 4 and len(calls) == 6


def test_a_recording_may_have_any_name(folder):
    (folder / "sessions/first.wav").rename(folder / "sessions/NA.wav")
    text = (folder / "true.rttm").read_text("utf-8").replace(" first ", " NA ")
    (folder / "true.rttm").write_text(text, "utf-8")
    recordings, calls = load_recordings(folder / "sessions", folder / "true.rttm"), []
    system = DiarisationSystem("nan", lambda path: calls.append(path) or (1, [("somebody", 0.0, 4.0)]), lambda _: "1")
    first, again = (score_recordings(folder, recordings, [system])[0] for _ in range(2))
    assert len(calls) == 2
    pd.testing.assert_frame_equal(again, first)


def test_blanks_in_names_are_underscores_in_rttm(folder):
    """As `separate` writes them: the fields of RTTM are divided by blanks."""
    (folder / "sessions/first.wav").rename(folder / "sessions/my talk.wav")
    (folder / "true.rttm").write_text(rttm("my talk", TRUE["first"]) + rttm("second", TRUE["second"]))
    recordings = load_recordings(folder / "sessions", folder / "true.rttm")
    scores, _, _ = score_recordings(folder, recordings, build_diarisation_systems([f"same={folder / 'true.rttm'}"]))
    assert set(scores["recording"]) == {"my talk", "second"} and scores["der"].eq(0).all()
    soundfile.write(folder / "sessions/my_talk.wav", soundfile.read(folder / "sessions/second.wav")[0], 10000)
    with pytest.raises(UserError, match="has several recordings with the name my_talk"):
        load_recordings(folder / "sessions", folder / "true.rttm")


def test_recordings_of_one_name_are_refused(folder):
    signal, rate_hz = soundfile.read(folder / "sessions/first.wav")
    soundfile.write(folder / "sessions/first.flac", signal, rate_hz)
    with pytest.raises(UserError, match="has several recordings with the name first"):
        load_recordings(folder / "sessions", folder / "true.rttm", "*")
    with pytest.raises(UserError, match="--files '' is no pattern of names in a folder"):
        load_recordings(folder / "sessions", folder / "true.rttm", "")


def test_the_command_counts_with_the_shipped_model(folder, capsys):
    command = ["recordings", "--mixtures", str(folder / "sessions"), "--rttm", str(folder / "true.rttm"), "--systems",
               "pretrained", f"other={folder / 'found'}", "--first", "1", "--out", str(folder / "out")]
    assert benchmark.main(command) == 0
    text = (folder / "out/table.md").read_text("utf-8")
    assert text in capsys.readouterr().out
    scores = pd.read_csv(folder / "out/recordings.csv").set_index(["system", "collar_seconds"])
    assert scores.loc[("pretrained", 0.0), "counted"] >= 1 and 0 <= scores.loc[("pretrained", 0.0), "der"] < 1
    assert {path.name for path in (folder / "out").glob("*.*")} >= {"summary.csv", "table.tex", "version.json"}


@pytest.mark.parametrize(("text", "message"), [
    (rttm("first", TRUE["first"]), "true.rttm has no turns of second.wav"),
    (rttm("first", [[(0.0, 9.0)]]), "first.wav has 4.0 s, but its last true turn ends at 9.0 s"),
])
def test_other_turns_are_refused(folder, text, message):
    (folder / "true.rttm").write_text(text)
    with pytest.raises(UserError, match=message):
        load_recordings(folder / "sessions", folder / "true.rttm")


def test_an_empty_folder_is_refused(folder):
    with pytest.raises(UserError, match="found contains no file"):
        load_recordings(folder / "found", folder / "true.rttm")


@pytest.mark.parametrize(("given", "message"), [
    (["absent"], "absent is no file or folder"), (["found", "found"], "two systems have the name found"),
])
def test_mistakes_in_systems(folder, monkeypatch, given, message):
    monkeypatch.chdir(folder)
    with pytest.raises(UserError, match=message):
        build_diarisation_systems(given)


def test_missing_turns_of_a_system_are_reported(folder):
    (folder / "found/second.rttm").unlink()
    with pytest.raises(UserError, match="found has no turns of second"):
        score_recordings(folder, load_recordings(folder / "sessions", folder / "true.rttm"),
                         build_diarisation_systems([str(folder / "found")]))
    assert len(pd.read_csv(folder / recordings_benchmark.FILE)) == 2  # the first recording is kept

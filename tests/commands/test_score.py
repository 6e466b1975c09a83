"""The score command: one table, whatever the number of processes, to which the same command adds."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from lab41_sce import atomic_write, audio
from lab41_sce.commands import score
from lab41_sce.errors import UserError
from lab41_sce.evaluation.folder_layout import numbered_files
from lab41_sce.evaluation.metrics import METRICS


@pytest.fixture
def folder(tmp_path):
    """Make four mixtures with their references and, except for mixture b, their separated voices."""
    rng = np.random.default_rng(0)
    for name in ("mixtures", "references", "voices"):
        (tmp_path / name).mkdir()
    for stem in "abcd":
        sources = 0.1 * rng.standard_normal((2, 4000))
        audio.write(tmp_path / "mixtures" / f"{stem}.wav", sources.sum(axis=0), 8000, "FLOAT")
        for number, source in enumerate(sources, start=1):
            audio.write(tmp_path / "references" / f"{stem}_{number}.wav", source, 8000, "FLOAT")
            voice = source + 0.2 * sources[2 - number]
            if stem != "b":
                audio.write(tmp_path / "voices" / f"{stem}_{3 - number}.wav", voice, 8000, "FLOAT")
    return tmp_path


@pytest.mark.slow
def test_scores_do_not_depend_on_the_number_of_processes(folder, capsys, caplog):
    command = [*(str(folder / name) for name in ("mixtures", "references", "voices")), "--out"]
    assert score.main([*command, str(folder / "serial.csv"), "--jobs", "1"]) == 1
    printed = capsys.readouterr()
    assert "b.wav has 2 references" in printed.err and "and 0 voices" in printed.err
    lines = printed.out.splitlines()
    assert [line.split()[0] for line in lines] == list(METRICS) and lines[0].endswith("], 3 mixtures")
    assert score.main([*command, str(folder / "parallel.csv"), "--jobs", "2"]) == 1
    serial, parallel = (pd.read_csv(folder / f"{name}.csv") for name in ("serial", "parallel"))
    pd.testing.assert_frame_equal(parallel, serial, check_exact=True)
    assert set(serial["mixture"]) == {"a.wav", "c.wav", "d.wav"}
    assert serial[serial["metric"] == "SI-SDR"]["value"].between(13, 15).all()  # a fifth of the other voice: 14 dB
    for number in (1, 2):
        shutil.copy(folder / "references" / f"b_{number}.wav", folder / "voices")
    (folder / "voices" / "a_1.wav").unlink()  # mixture a has its scores already
    assert score.main([*command, str(folder / "serial.csv"), "--jobs", "1"]) == 0
    assert "3 of 4 mixtures are skipped" in caplog.text
    assert set(pd.read_csv(folder / "serial.csv")["mixture"]) == {"a.wav", "b.wav", "c.wav", "d.wav"}


def test_two_mixtures_with_the_same_name_are_refused(folder, capsys):
    mixture = str(folder / "mixtures" / "a.wav")
    table = folder / "scores.csv"
    names = [str(folder / name) for name in ("mixtures", "references", "voices")]
    shutil.copytree(folder / "mixtures", folder / "more")
    assert score.main([mixture, str(folder / "more"), *names[1:], "--out", str(table), "--jobs", "1"]) == 1
    assert "1 names belong to several mixtures (a.wav)" in capsys.readouterr().err and not table.exists()


def test_an_engine_that_is_not_installed_is_reported(monkeypatch, tmp_path, capsys):
    monkeypatch.setitem(sys.modules, "ray", None)
    audio.write(tmp_path / "a.wav", np.zeros(100), 8000)
    assert score.main([str(tmp_path)] * 3 + ["--out", str(tmp_path / "s.csv"), "--parallel-backend", "ray"]) == 1
    assert 'ray is not installed; pip install ray, or choose loky.' in capsys.readouterr().err


def test_no_mean_is_printed_if_nothing_could_be_scored(folder, capsys):
    command = [str(folder / name) for name in ("mixtures", "references")]
    (folder / "empty").mkdir()
    assert score.main([*command, str(folder / "empty"), "--out", str(folder / "none.csv"), "--jobs", "1"]) == 1
    printed = capsys.readouterr()
    assert printed.err.count("error: ") == 4 and not printed.out


@pytest.mark.parametrize("absent", [0, 1, 2])
def test_a_path_that_does_not_exist_is_named(folder, absent, capsys):
    paths = [str(folder / name) for name in ("mixtures", "references", "voices")]
    paths[absent] = str(folder / "absent")
    assert score.main([*paths, "--out", str(folder / "none.csv"), "--jobs", "1"]) == 1
    error = capsys.readouterr().err
    assert error == f"error: {folder / 'absent'}: no such file or folder; give mixtures, references and voices.\n"
    assert not (folder / "none.csv").exists()


def test_an_absent_baseline_is_reported_before_any_work(folder, capsys):
    paths = [str(folder / name) for name in ("mixtures", "references", "voices")]
    assert score.main([*paths, "--baseline", "absent", "--out", str(folder / "none.csv"), "--jobs", "1"]) == 1
    assert capsys.readouterr().err.startswith("error: --baseline absent is no folder; ")
    assert not (folder / "none.csv").exists()


@pytest.mark.parametrize("jobs", ["0", "-2"])
def test_an_impossible_number_of_processes_is_refused(folder, jobs, capsys):
    assert score.main([str(folder / "mixtures")] * 3 + ["--jobs", jobs]) == 1
    assert f"--jobs {jobs} is not possible" in capsys.readouterr().err


@pytest.mark.parametrize("text", ["a,b\n1,2\n", "mixture,speakers,metric,value\nm,two,SDR,1\n",
                                  "mixture,speakers,metric,value\nm,2,SDR,high\n"])
def test_a_file_that_is_no_table_of_scores_is_refused(folder, capsys, text):
    (folder / "other.csv").write_text(text)
    assert score.main([str(folder / "mixtures")] * 3 + ["--out", str(folder / "other.csv"), "--jobs", "1"]) == 1
    assert "other.csv is not a table of scores" in capsys.readouterr().err
    assert (folder / "other.csv").read_text() == text


def run_score(folder, out="scores.csv"):
    """Score the folder in this process; return the exit status and the table."""
    names = [str(folder / name) for name in ("mixtures", "references", "voices")]
    status = score.main([*names, "--out", str(folder / out), "--jobs", "1"])
    return status, pd.read_csv(folder / out)


@pytest.fixture
def complete(folder):
    """Make the folder with two mixtures only; the voices of mixture b are its references."""
    for number in (1, 2):
        shutil.copy(folder / "references" / f"b_{number}.wav", folder / "voices")
    for stem in "cd":
        (folder / "mixtures" / f"{stem}.wav").unlink()
    return folder


def sdr(table, mixture):
    [value] = table[(table["mixture"] == mixture) & (table["metric"] == "SDR")]["value"]
    return value


def test_scores_are_used_again_only_for_the_same_files(complete, caplog):
    """Whatever the dates: the voices of mixture a are replaced by those of another system, with an older date."""
    status, before = run_score(complete)
    voice = complete / "voices" / "a_1.wav"
    old = voice.stat()
    samples, rate_hz = audio.read(voice)
    audio.write(voice, samples[0] + 0.1 * np.random.default_rng(1).standard_normal(4000), rate_hz, "FLOAT")
    os.utime(voice, (old.st_atime, old.st_mtime - 1000))
    status_after, after = run_score(complete)
    assert status == status_after == 0 and "1 of 2 mixtures are skipped" in caplog.text
    assert sdr(after, "a.wav") < sdr(before, "a.wav") - 3 and sdr(after, "b.wav") == sdr(before, "b.wav")
    assert list(after.columns) == ["mixture", "speakers", "metric", "value", "checksum"] and len(after) == len(before)
    run_score(complete, "anew.csv")
    assert (complete / "anew.csv").read_bytes() == (complete / "scores.csv").read_bytes()


def test_means_are_over_the_given_mixtures(complete, capsys):
    """The table also holds mixture b of an earlier call, whose voices may be those of another system."""
    run_score(complete)
    capsys.readouterr()
    (complete / "mixtures" / "b.wav").unlink()
    names = [str(complete / name) for name in ("mixtures", "references", "voices")]
    assert score.main([*names, "--out", str(complete / "scores.csv"), "--report", str(complete), "--jobs", "1"]) == 0
    printed, table = capsys.readouterr(), pd.read_csv(complete / "scores.csv")
    assert f"SDR {sdr(table, 'a.wav'):11.1f} dB, 1 mixture\n" in printed.out
    assert "scores.csv has 1 other mixture, which does not count in these means" in printed.err
    assert {*table["mixture"]} == {"a.wav", "b.wav"}
    assert {*pd.read_csv(complete / "summary.csv")["n"]} == {1}


def test_scores_of_deleted_files_are_not_mixed_with_those_of_another_system(complete, capsys):
    """The second system has no voices of mixture b, so the means may not contain the first system's scores of it."""
    _, before = run_score(complete)
    capsys.readouterr()
    samples, rate_hz = audio.read(complete / "voices" / "a_1.wav")
    audio.write(complete / "voices" / "a_1.wav", 0.5 * samples[0] ** 2, rate_hz, "FLOAT")
    (complete / "voices" / "b_1.wav").unlink()
    status, after = run_score(complete)
    printed = capsys.readouterr()
    assert status == 1 and "error: b.wav lacks references or voices" in printed.err
    assert f"SDR {sdr(after, 'a.wav'):11.1f} dB, 1 mixture\n" in printed.out
    assert sdr(after, "b.wav") == sdr(before, "b.wav")  # nothing is lost


def test_scores_of_files_that_changed_and_cannot_be_scored_are_removed(complete, capsys):
    run_score(complete)
    audio.write(complete / "voices" / "a_1.wav", np.ones(100), 8000, "FLOAT")
    status, table = run_score(complete)
    assert status == 1 and "different lengths" in capsys.readouterr().err
    assert {*table["mixture"]} == {"b.wav"}


def test_a_table_without_checksums_is_scored_again(complete, caplog):
    """Version 0.2.0 wrote such tables."""
    _, right = run_score(complete)
    right.assign(value=0.0).drop(columns="checksum").to_csv(complete / "scores.csv", index=False)
    status, table = run_score(complete)
    assert status == 0 and "lacks the checksums of the files of 2 mixtures" in caplog.text
    pd.testing.assert_frame_equal(table, right)


@pytest.mark.parametrize("silent", ["mixtures/b.wav", "references/b_2.wav"])
@pytest.mark.parametrize("offset", [0.0, 0.1])
def test_a_silent_mixture_or_reference_is_an_error_and_the_others_are_scored(complete, silent, offset, capsys):
    audio.write(complete / silent, np.full(4000, offset), 8000, "FLOAT")
    status, table = run_score(complete)
    error = capsys.readouterr().err
    assert status == 1 and f"{silent} is silent, so b.wav cannot be scored" in error and error.count("error: ") == 1
    assert {*table["mixture"]} == {"a.wav"} and table["value"].notna().all()


def test_references_that_are_copies_are_an_error(complete, capsys):
    audio.write(complete / "references" / "b_2.wav", 0.5 * audio.read(complete / "references" / "b_1.wav")[0][0], 8000,
                "FLOAT")
    status, table = run_score(complete)
    assert status == 1 and "is a copy of another" in capsys.readouterr().err and "b.wav" not in {*table["mixture"]}


def test_a_silent_voice_is_scored_as_noise_with_a_remark(complete, caplog):
    audio.write(complete / "voices" / "a_2.wav", np.zeros(4000), 8000, "FLOAT")
    status, table = run_score(complete)
    assert status == 0 and "a_2.wav is silent; it is scored as white noise" in caplog.text
    assert sdr(table, "a.wav") < 5 < sdr(table, "b.wav")  # the other voice of mixture a has 14 dB


def test_a_gap_in_the_numbers_of_the_voices_is_an_error(complete, capsys):
    """Before, voice 3 was ignored, and voice 1 was scored as if the mixture had one speaker."""
    for name in ("references", "voices"):
        (complete / name / "a_2.wav").rename(complete / name / "a_3.wav")
    status, table = run_score(complete)
    assert status == 1 and "a_3.wav exists, but not all voices with lower numbers" in capsys.readouterr().err
    assert {*table["mixture"]} == {"b.wav"}


def test_channels_of_opposite_signs_have_the_scores_of_one_channel(complete, caplog):
    _, right = run_score(complete)
    for name in ("mixtures/a.wav", "references/a_1.wav", "references/a_2.wav", "voices/a_1.wav", "voices/a_2.wav"):
        samples, rate_hz = audio.read(complete / name)
        audio.write(complete / name, np.concatenate([samples, -samples]), rate_hz, "FLOAT")
    status, table = run_score(complete)
    pd.testing.assert_frame_equal(table.drop(columns="checksum"), right.drop(columns="checksum"))
    assert status == 0 and "the channels cancel each other" in caplog.text


def test_a_table_that_another_call_writes_is_refused(complete, capsys):
    """Before, both calls succeeded, and the rows of one were lost."""
    out = complete / "scores.csv"
    with atomic_write.lock(complete / ".scores.csv.lock", "busy"):
        names = [str(complete / name) for name in ("mixtures", "references", "voices")]
        assert score.main([*names, "--out", str(out), "--jobs", "1"]) == 1
    assert "another call writes scores to" in capsys.readouterr().err and not out.exists()
    assert run_score(complete)[0] == 0


@pytest.mark.slow
def test_two_calls_at_once_write_one_whole_table_each_or_are_refused(complete):
    """Both have the same --out and different mixtures: no rows of a call that succeeds are lost."""
    mixtures = sorted((complete / "mixtures").iterdir())
    out = complete / "scores.csv"
    code = "import sys; from lab41_sce.commands.score import main; sys.exit(main(sys.argv[1:]))"
    calls = [subprocess.Popen([sys.executable, "-c", code, str(mixture), str(complete / "references"),
                               str(complete / "voices"), "--out", str(out), "--jobs", "1"], stderr=subprocess.PIPE,
                              stdout=subprocess.PIPE, text=True) for mixture in mixtures]
    ended = [(call.communicate()[1], call.returncode) for call in calls]
    succeeded = {mixture.name for mixture, (_, status) in zip(mixtures, ended) if status == 0}
    assert succeeded and {*pd.read_csv(out)["mixture"]} == succeeded
    assert all(status == 0 or "error: " in message and "Traceback" not in message for message, status in ended)


def listed(folder, *names, mixture="talk.wav"):
    """Make empty files in a folder; return the names of the voices of a mixture, and of one after a gap."""
    folder.mkdir(exist_ok=True)
    for name in names:
        (folder / name).touch()
    voices, later = numbered_files(folder, Path("mixtures") / mixture)
    return [voice.name for voice in voices], later and later.name


def test_voices_are_found_whatever_the_case_and_the_format_of_their_suffix(tmp_path):
    assert numbered_files(tmp_path / "missing", Path("talk.wav")) == ([], None)
    assert listed(tmp_path / "a", "talk_1.WAV", "talk_2.Wav", "talk_1.txt") == (["talk_1.WAV", "talk_2.Wav"], None)
    assert listed(tmp_path / "a", mixture="talk.FLAC") == (["talk_1.WAV", "talk_2.Wav"], None)
    assert listed(tmp_path / "a", "talk_1.mp3") == (["talk_1.WAV", "talk_2.Wav"], None)  # as the mixture first
    assert listed(tmp_path / "a", mixture="talk.mp3") == (["talk_1.mp3"], None)
    assert listed(tmp_path / "b", "talk_1.aiff", mixture="talk.AIFF") == (["talk_1.aiff"], None)
    assert listed(tmp_path / "b", "talk_2.aiff", "talk_4.aiff", mixture="talk.aiff")[1] == "talk_4.aiff"
    assert listed(tmp_path / "c", "talk_01.wav", "talking_1.wav", "talk_1_1.wav") == ([], None)


@pytest.mark.parametrize("names", [("talk_1.wav", "talk_1.WAV"), ("talk_1.ogg", "talk_1.flac")])
def test_two_files_of_one_voice_are_an_error(tmp_path, names):
    with pytest.raises(UserError, match=f"({'|'.join(names)}) have the same number; keep one of them"):
        listed(tmp_path / "a", *names)


def test_voices_in_upper_case_have_the_same_scores(complete):
    assert run_score(complete)[0] == 0
    for folder in ("references", "voices"):
        for path in [*(complete / folder).iterdir()]:
            path.rename(path.with_suffix(".WAV"))
    assert run_score(complete, "upper.csv")[0] == 0
    tables = [pd.read_csv(complete / name) for name in ("scores.csv", "upper.csv")]
    pd.testing.assert_frame_equal(*tables, check_exact=True)


@pytest.mark.parametrize("out", [".", "..", "/", "references"])
def test_a_folder_is_no_table_of_scores(folder, monkeypatch, out, capsys):
    monkeypatch.chdir(folder)
    assert score.main(["mixtures", "references", "voices", "--out", out]) == 1
    assert f"error: --out {out} is a folder; give the name of a table" in capsys.readouterr().err


def test_names_of_files_cannot_command_the_terminal(folder, capsys):
    for name in ("mixtures", "references"):
        for path in (folder / name).glob("b*"):
            path.rename(path.with_name(path.name.replace("b", "b\x1b[31m")))
    score.main([*(str(folder / name) for name in ("mixtures", "references", "voices")), "--out", str(folder / "s.csv")])
    error = capsys.readouterr().err
    assert "b\\x1b[31m.wav has 2 references" in error and "\x1b" not in error

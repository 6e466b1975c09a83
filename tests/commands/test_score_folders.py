"""The score command on a folder for each source: layouts, lengths, rates, numbers of voices, reports."""

import shutil

import numpy as np
import pandas as pd
import pytest

from lab41_sce import audio
from lab41_sce.commands import score
from lab41_sce.evaluation import mixture_files

RATE_HZ = 8000


@pytest.fixture
def root(tmp_path):
    """Make two mixtures in the layout of LibriMix, and the voices of a system, which are in another order."""
    rng = np.random.default_rng(0)
    for stem in "ab":
        sources = 0.1 * rng.standard_normal((2, 4000))
        put(tmp_path / "mix" / f"{stem}.wav", sources.sum(axis=0))
        for number, source in enumerate(sources, start=1):
            put(tmp_path / f"s{number}" / f"{stem}.wav", source)
            put(tmp_path / "est" / f"s{3 - number}" / f"{stem}.wav", source + 0.2 * sources[2 - number])
    return tmp_path


def put(path, signal, rate_hz=RATE_HZ):
    """Write a signal as floats, and its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    audio.write(path, signal, rate_hz, "FLOAT")


def run(root, *options, voices="est", sources=("s1", "s2"), out="scores.csv"):
    """Score the SI-SDR of a folder in this process; return the exit status and the values by mixture and metric."""
    paths = [str(root / name) for name in ("mix", *sources, voices)]
    status = score.main([*paths, "--out", str(root / out), "--jobs", "1", "--metrics", "SI-SDR", *options])
    table = pd.read_csv(root / out)
    return status, {(row.mixture, row.metric): row.value for row in table.itertuples()}


def test_every_layout_of_the_same_files_has_the_same_scores(root):
    status, scores = run(root)
    assert status == 0 and scores["a.wav", "SI-SDR"] == pytest.approx(14, abs=0.5)
    for stem in "ab":
        for number in (1, 2):
            (root / "flat").mkdir(exist_ok=True)
            shutil.copy(root / "est" / f"s{number}" / f"{stem}.wav", root / "flat" / f"{stem}_{number}.wav")
    assert run(root, voices="flat", out="flat.csv") == (0, scores)
    assert run(root, sources=["s*"], out="pattern.csv") == (0, scores)
    status, single = run(root, sources=["s1"], out="single.csv")  # one source, as for enhancement
    assert status == 0 and single["a.wav", "voices"] == 2 and single["a.wav", "SI-SDR"] == pytest.approx(14, abs=1)


def test_names_of_mixtures_may_end_in_a_number(root):
    """The file of mixture a_1 is no numbered reference of mixture a, and a_3 is none after a gap."""
    _, scores = run(root)
    for path in root.glob("**/b.wav"):
        for number in (1, 3):
            shutil.copy(path, path.with_name(f"a_{number}.wav"))
    status, found = run(root, out="more.csv")
    assert status == 0 and found.items() > scores.items()
    assert found["a_1.wav", "SI-SDR"] == found["a_3.wav", "SI-SDR"] == scores["b.wav", "SI-SDR"]


def test_a_pattern_without_a_match_is_refused(root, capsys):
    with pytest.raises(FileNotFoundError):
        run(root, sources=["t*"])
    assert "t* matches no file or folder" in capsys.readouterr().err


@pytest.mark.parametrize("long_seconds", [60.0, 0.1])
@pytest.mark.parametrize("change", ["missing", "shorter"])
def test_a_bad_source_is_named_in_one_sentence_and_the_others_are_scored(root, change, long_seconds, capsys,
                                                                         monkeypatch):
    monkeypatch.setattr(mixture_files, "LONG_SECONDS", long_seconds)
    source = root / "s2" / "b.wav"
    source.unlink() if change == "missing" else put(source, np.ones(3000))
    status, scores = run(root)
    error = capsys.readouterr().err
    assert status == 1 and error.count("error: ") == 1 and str(source) in error
    assert {mixture for mixture, _ in scores} == {"a.wav"}
    assert "1 of 2 mixtures are not scored" in error
    assert ("is missing, so b.wav cannot be scored" if change == "missing" else
            "have different lengths, 0.38 s and 0.50 s") in error


def test_lengths_may_differ_by_a_tenth_of_a_second(root):
    _, scores = run(root)
    for number in (1, 2):
        path = root / "est" / f"s{number}" / "a.wav"
        put(path, np.append(audio.read(path)[0][0], np.ones(700)))
    status, padded = run(root, out="padded.csv")
    assert status == 0 and padded == scores


@pytest.mark.parametrize(("suffix", "status"), [(".m4a", 0), (".wav", 1)])
def test_m4a_voices_may_be_longer_by_a_frame(root, suffix, status):
    """0.1 s are 800 samples here, and a frame of AAC has 1024. The files are WAV files: the suffix counts."""
    for number in (1, 2):
        path = root / "est" / f"s{number}" / "a.wav"
        put(path, np.append(audio.read(path)[0][0], np.ones(1023)))
        path.rename(path.with_suffix(suffix))
    assert run(root)[0] == status


def test_a_file_of_another_rate_is_resampled_to_that_of_the_mixture(root, caplog):
    path = root / "est" / "s1" / "a.wav"
    low = np.sin(np.arange(4000) / 20)
    for signal, rate_hz, out in ((low, RATE_HZ, "same.csv"), (audio.resample(low, RATE_HZ, 16000), 16000, "other.csv")):
        put(path, signal, rate_hz)
        status, scores = run(root, out=out)
        assert status == 0
    assert f"{path} has 16000 Hz and is resampled to the 8000 Hz of a.wav" in caplog.text
    assert scores == pytest.approx(run(root, out="same.csv")[1], abs=0.1)


def test_the_best_subset_of_surplus_voices_is_scored_and_counted(root, capsys, caplog):
    _, scores = run(root)
    put(root / "est" / "s3" / "a.wav", 0.1 * np.random.default_rng(9).standard_normal(4000))
    status, surplus = run(root, out="surplus.csv")
    assert status == 0 and surplus.pop(("a.wav", "voices")) == 3 and surplus == pytest.approx(scores)
    assert "1 surplus voice in 1 mixture:" in capsys.readouterr().err
    assert "a.wav has 2 references and 3 voices; the best subset is scored" in caplog.text


@pytest.mark.parametrize("long_seconds", [60.0, 0.1])
def test_a_missing_voice_is_counted_and_the_other_reference_is_scored(root, long_seconds, monkeypatch, capsys):
    monkeypatch.setattr(mixture_files, "LONG_SECONDS", long_seconds)
    (root / "est" / "s1" / "a.wav").unlink()
    status, scores = run(root, "--metrics", "SI-SDR", "SDR")
    assert status == 0 and scores["a.wav", "voices"] == 1
    assert scores["a.wav", "SI-SDR"] == pytest.approx(14, abs=0.5) and scores["a.wav", "SDR"] > 14
    assert "1 missing voice in 1 mixture" in capsys.readouterr().err


def test_a_recording_that_is_read_in_blocks_has_the_same_scores(root, monkeypatch, caplog):
    put(root / "est" / "s1" / "b.wav", np.zeros(4000))  # scored as white noise
    put(root / "s1" / "a.wav", audio.resample(audio.read(root / "s1" / "a.wav")[0][0], RATE_HZ, 16000), 16000)
    metrics = ["--metrics", "SDR", "SIR", "SAR", "SI-SDR"]
    status, whole = run(root, *metrics)
    monkeypatch.setattr(mixture_files, "LONG_SECONDS", 0.1)
    monkeypatch.setattr(mixture_files, "BLOCK_SECONDS", 0.2)
    status_blocks, blocks = run(root, *metrics, out="blocks.csv")
    assert status == status_blocks == 0 and len(whole) == 16
    of_a = {key: value for key, value in whole.items() if key[0] == "a.wav"}
    assert {key: blocks[key] for key in of_a} == pytest.approx(of_a, abs=1e-2)
    assert blocks["b.wav", "SI-SDR"] < 0 and caplog.text.count("is silent; it is scored as white noise") == 2


def test_silence_and_copies_in_a_long_recording_are_errors(root, monkeypatch, capsys):
    monkeypatch.setattr(mixture_files, "LONG_SECONDS", 0.1)
    put(root / "s1" / "a.wav", np.zeros(4000))
    shutil.copy(root / "s1" / "b.wav", root / "s2" / "b.wav")
    status, scores = run(root)
    error = capsys.readouterr().err
    assert status == 1 and not scores
    assert "s1/a.wav is silent, so a.wav cannot be scored" in error and "is a copy of another" in error


def test_more_metrics_are_added_to_the_table(root):
    run(root)
    status, scores = run(root, "--metrics", "SDR")
    assert status == 0 and {metric for _, metric in scores} == {"SI-SDR", "SI-SDRi", "SDR", "SDRi"}


def test_a_baseline_in_a_folder_of_the_same_name_has_another_name(root, capsys):
    for path in sorted((root / "est").rglob("*.wav")):
        put(root / "others" / path.relative_to(root), audio.read(path)[0][0] * 0.5)
    status, _ = run(root, "--baseline", str(root / "others/est"), "--report", str(root / "report"))
    lines = capsys.readouterr().out.splitlines()
    assert status == 0 and [line for line in lines if line.endswith(":")] == ["est 1:", "est 2:"]
    assert set(pd.read_csv(root / "report/summary.csv")["system"]) == {"est 1", "est 2"}


def test_a_report_compares_two_systems(root, capsys):
    for stem in "ab":
        for number in (1, 2):
            source = audio.read(root / f"s{number}" / f"{stem}.wav")[0][0]
            put(root / "other_est" / f"s{number}" / f"{stem}.wav", source + 0.02 * np.random.default_rng(number)
                .standard_normal(4000))
    (root / "other_est" / "s1" / "b.wav").unlink()
    (root / "other_est" / "s2" / "b.wav").unlink()
    report = root / "report"
    status, scores = run(root, "--baseline", str(root / "other_est"), "--report", str(report))
    assert status == 1 and "b.wav has 2 references" in capsys.readouterr().err
    summary, differences, failed = (pd.read_csv(report / f"{name}.csv") for name in
                                    ("summary", "differences", "not_scored"))
    assert summary.set_index(["system", "metric"])["n"].to_dict() == {
        ("est", "SI-SDR"): 2, ("est", "SI-SDRi"): 2, ("other_est", "SI-SDR"): 1, ("other_est", "SI-SDRi"): 1}
    baseline = pd.read_csv(root / "scores_baseline.csv").set_index("metric")["value"]
    found = differences.set_index("metric").loc["SI-SDR"]
    assert found["n"] == 1 and found["mean"] == pytest.approx(scores["a.wav", "SI-SDR"] - baseline["SI-SDR"])
    assert failed[["system", "mixture"]].values.tolist() == [["other_est", "b.wav"]]
    text, latex = (report / "table.md").read_text(), (report / "table.tex").read_text()
    assert "| est " in text and "scale-invariant SDR of zero-mean signals" in text
    assert "other_est: 1 of 2 mixtures are not scored (b.wav)" in text
    assert latex.count(r"\begin{tabular}{llrrr}") == 2 and r"other\_est & SI-SDR" in latex
    assert r"95 \% interval" in latex

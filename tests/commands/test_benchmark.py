"""The benchmark command: a set from metadata or folders becomes scores and tables; what was scored is not repeated."""

import contextlib
import json
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile

from lab41_sce.audio import write
from lab41_sce.commands import benchmark
from lab41_sce.data.datasets import MixtureDataset
from lab41_sce.data.librimix import load_librimix
from lab41_sce.errors import UserError
from lab41_sce.runs import benchmark as module
from lab41_sce.runs import benchmark_systems

SPEAKERS = {"11": "F", "22": "M", "33": "F"}
SYSTEMS = ("ideal_binary_mask", "unprocessed")


@pytest.fixture
def root(tmp_path):
    """Make a LibriSpeech of three speakers and the metadata of three mixtures, FM, MF and FF."""
    rng = np.random.default_rng(0)
    for speaker in SPEAKERS:
        (tmp_path / f"test-clean/{speaker}/1").mkdir(parents=True)
        soundfile.write(tmp_path / path(speaker), 0.1 * rng.standard_normal(16000).cumsum() % 0.2 - 0.1, 16000)
    (tmp_path / "SPEAKERS.TXT").write_text("".join(f"{speaker} | {sex}\n" for speaker, sex in SPEAKERS.items()))
    pairs = [("11", "22"), ("22", "33"), ("33", "11")]
    pd.DataFrame([{"mixture_ID": f"{first}-1-0_{second}-1-0", "source_1_path": path(first), "source_1_gain": 0.9,
                   "source_2_path": path(second), "source_2_gain": 1.1, "noise_path": "", "noise_gain": 0.0}
                  for first, second in pairs]).to_csv(tmp_path / "libri2mix_test-clean.csv", index=False)
    return tmp_path


def path(speaker):
    return f"test-clean/{speaker}/1/{speaker}-1-0.flac"


def run(root, *options, name="libri2mix", out="out", systems=SYSTEMS, metrics=("SI-SDR",)):
    """Score in this process; return the scores."""
    given = options or ("--metadata", str(root / "libri2mix_test-clean.csv"), "--librispeech", str(root))
    command = [name, *given, "--systems", *systems, "--metrics", *metrics, "--jobs", "1", "--out", str(root / out)]
    assert benchmark.main(command) == 0
    return pd.read_csv(root / out / "mixtures.csv", dtype={"kind": str})


def failure(root, capsys, *options, **settings):
    """Score in this process, which fails; return the message."""
    with pytest.raises(AssertionError):
        run(root, *options, **settings)
    return capsys.readouterr().err


def generate(root):
    """Write the set as LibriMix's folders."""
    loaded = load_librimix(root / "libri2mix_test-clean.csv", root, None, 2)
    for item in loaded.mixtures:
        mixture = item.read()
        for folder, signal in zip(("mix_clean", "s1", "s2"), [mixture.signal, *mixture.sources], strict=True):
            target = root / "Libri2Mix/wav8k/min/test" / folder / f"{item.name}.wav"
            target.parent.mkdir(parents=True, exist_ok=True)
            soundfile.write(target, signal, 8000)
    return target.parents[1]


def test_the_metadata_and_the_generated_folders_have_the_same_scores(root, capsys):
    of_metadata = run(root)
    folder, columns = generate(root), ["mixture", "kind", "system", "metric", "value"]
    sexes = ("--sexes", str(root / "SPEAKERS.TXT"))
    of_folders = run(root, "--root", str(root / "Libri2Mix"), *sexes, out="out2")
    pd.testing.assert_frame_equal(of_metadata[columns].sort_values(columns[:4], ignore_index=True),
                                  of_folders[columns].sort_values(columns[:4], ignore_index=True), atol=1e-6)
    sources = (str(folder / "s1"), str(folder / "s2"))
    any_folders = run(root, "--mixtures", str(folder / "mix_clean"), "--sources", *sources, name="folders", out="out3")
    assert any_folders["kind"].isna().all() and len(any_folders) == len(of_metadata)
    assert capsys.readouterr().out.count("### Scores") == 3


def test_the_folder_of_the_mixtures_does_not_state_part_and_length(root, capsys):
    folder = generate(root)
    for option, value in (("--part", "dev"), ("--length", "max")):
        assert f"{option} has no effect on" in failure(root, capsys, "--root", str(folder), option, value)
    run(root, "--root", str(folder))
    assert json.loads((root / "out/benchmark.json").read_text())["set"] == "libri2mix mix_clean 8000 Hz"


def test_a_set_whose_mixtures_cannot_be_scored(root, capsys):
    folder = generate(root)
    for name, others in (("s2", "s1"), ("mix_clean", "s1")):  # the second source is silent
        for file in (folder / name).glob("*.wav"):
            signal, _ = soundfile.read(folder / others / file.name)
            soundfile.write(file, signal * (name != "s2"), 8000)
    message = "error: none of the 3 mixtures can be scored, since a source is silent or a copy of another; give"
    assert message in failure(root, capsys, "--root", str(folder))
    assert not (root / "out/summary.csv").exists()


def test_mixtures_without_scores_are_named(root, caplog):
    folder = generate(root)
    silent = sorted((folder / "s2").glob("*.wav"))[0]
    for name in ("s2", "mix_clean"):
        signal, _ = soundfile.read(folder / "s1" / silent.name)
        soundfile.write(folder / name / silent.name, signal * (name != "s2"), 8000)
    scores = run(root, "--root", str(folder))
    assert scores["value"].isna().any() and scores["value"].notna().any()
    assert caplog.messages == ["1 of 3 mixtures have no scores, or not all, since a source is silent or a copy of "
                               f"another: {silent.stem}."]


def test_the_tables_have_a_column_for_each_kind_and_the_mean_over_all_mixtures(root, capsys):
    scores = run(root, metrics=("SI-SDR", "SDR"))
    text = (root / "out/table.md").read_text("utf-8")
    assert text in capsys.readouterr().out
    assert all(f"SI-SDRi {kind}" in text for kind in ("FF", "FM", "All")) and "SI-SDRi MM" not in text
    assert "SDRi FM" in text and "Differences" not in text
    latex = (root / "out/table.tex").read_text("utf-8")
    assert latex.count(r"\begin{table}") == 2 and "ideal\\_binary\\_mask" in latex and "SI-SDRi FM" in latex
    summary = pd.read_csv(root / "out/summary.csv").set_index(["system", "kind", "metric"])
    values = scores[(scores["system"] == "ideal_binary_mask") & (scores["metric"] == "SI-SDRi")]["value"]
    # The mean of an experiment would be (FF + 2 FM) / 3 of the means.
    assert summary.loc[("ideal_binary_mask", "All", "SI-SDRi"), "mean"] == pytest.approx(values.mean())
    assert summary.loc[("ideal_binary_mask", "FM", "SI-SDRi"), "n"] == 2
    assert json.loads((root / "out/benchmark.json").read_text())["set"] == "libri2mix test-clean mix_clean min 8000 Hz"
    assert list(pd.read_csv(root / "out/evaluation.csv")["kind"]) == ["FM", "MF", "FF"]


def test_only_what_is_missing_is_scored(root, monkeypatch):
    before, separated = run(root), []
    build = benchmark_systems.apply_masks

    def counted(*arguments):
        separated.append(1)
        return build(*arguments)

    monkeypatch.setattr(benchmark_systems, "apply_masks", counted)
    pd.testing.assert_frame_equal(run(root), before)
    assert not separated
    about = json.loads((root / "out/version.json").read_text())
    assert about["started"] <= about["resumed"][0]["started"] and len(about["resumed"]) == 1  # who made the scores
    table = root / "out/mixtures.csv"
    table.write_text("".join(line for line in table.read_text().splitlines(True) if not line.startswith("22-1-0_")))
    pd.testing.assert_frame_equal(run(root), before)
    assert len(separated) == 2  # both systems of the removed mixture
    table.write_text("damaged")
    pd.testing.assert_frame_equal(run(root), before)
    assert len(separated) == 2 + 6


def test_scores_of_other_systems_and_mixtures_are_kept(root, monkeypatch):
    before, separated = run(root), []
    build = benchmark_systems.apply_masks
    monkeypatch.setattr(benchmark_systems, "apply_masks", lambda *parts: separated.append(1) or build(*parts))
    given = "--metadata", str(root / "libri2mix_test-clean.csv"), "--librispeech", str(root)
    first = run(root, *given, "--first", "1", systems=SYSTEMS[:1])
    assert not separated and set(first["mixture"]) == {before["mixture"][0]} and set(first["system"]) == {SYSTEMS[0]}
    run(root, systems=["ideal_ratio_mask"])
    assert len(separated) == 3
    pd.testing.assert_frame_equal(run(root), before)
    assert len(separated) == 3
    assert set(pd.read_csv(root / "out/other_scores.csv")["system"]) == {"ideal_ratio_mask"}
    run(root, systems=[*SYSTEMS, "ideal_ratio_mask"])
    assert len(separated) == 3 and not (root / "out/other_scores.csv").exists()


def test_a_table_has_no_scores_of_another_system_of_the_same_name(root):
    run(root, systems=["mine=unprocessed"])
    given = "--metadata", str(root / "libri2mix_test-clean.csv"), "--librispeech", str(root)
    changed = run(root, *given, "--first", "1", systems=["mine=ideal_binary_mask"])
    assert len(changed["mixture"].unique()) == 1 and (changed.query("metric == 'SI-SDR'")["value"] > 3).all()
    assert len(pd.read_csv(root / "out/evaluation.csv")) == 1


def test_scores_are_saved_within_a_group(root, monkeypatch):
    monkeypatch.setattr(module, "SAVE_INTERVAL_SECONDS", 0.0)
    build, separated = benchmark_systems.apply_masks, []

    def interrupted(*parts):
        separated.append(1)
        if len(separated) == 2:
            raise KeyboardInterrupt
        return build(*parts)

    monkeypatch.setattr(benchmark_systems, "apply_masks", interrupted)
    with contextlib.suppress(KeyboardInterrupt, AssertionError):
        run(root, systems=SYSTEMS[:1])
    assert len(pd.read_csv(root / "out/mixtures.csv")["mixture"].unique()) == 1
    monkeypatch.setattr(benchmark_systems, "apply_masks", build)
    assert len(run(root, systems=SYSTEMS[:1])["mixture"].unique()) == 3


def test_the_checksum_of_a_model_is_that_of_its_calibrations_too(tmp_path):
    (tmp_path / "sce.keras").write_bytes(b"weights")
    before = benchmark_systems.model_checksum(tmp_path / "sce.keras")
    for name in ("sce.counting.json", "sce.verification.json", "sce.turns.json"):
        (tmp_path / name).write_text("{}")
        assert (after := benchmark_systems.model_checksum(tmp_path / "sce.keras")) != before
        before = after


@pytest.mark.parametrize(("given", "name", "path"), [
    ("lr0.1", "lr0.1", "lr0.1"), ("seed=1", "seed=1", "seed=1"), ("mine=lr0.1", "mine", "lr0.1"),
    ("model.v2.keras", "model.v2", "model.v2.keras"), ("mine=seed=1", "mine", "seed=1")])
def test_names_of_systems(tmp_path, monkeypatch, given, name, path):
    monkeypatch.chdir(tmp_path)
    for folder in ("lr0.1", "seed=1"):
        (tmp_path / folder).mkdir()
    (tmp_path / "model.v2.keras").touch()
    assert benchmark_systems.name_and_path(given) == (name, Path(path))


def test_changed_speech_is_scored_again(root):
    before = run(root)
    soundfile.write(root / path("33"), np.random.default_rng(1).uniform(-0.1, 0.1, 16000), 16000)
    after = run(root)
    changed = {name for name in after["mixture"] if not after[after["mixture"] == name].equals(
        before[before["mixture"] == name])}
    assert changed == {"22-1-0_33-1-0", "33-1-0_11-1-0"}


def test_voices_of_another_program(root, capsys):
    (root / "est").mkdir()
    for item in load_librimix(root / "libri2mix_test-clean.csv", root, None, 2).mixtures:
        mixture = item.read()
        for number, source in enumerate(mixture.sources[::-1], start=1):
            write(root / f"est/{item.name}_{number}.wav", source + 0.1 * mixture.sources[number - 1], 8000, "FLOAT")
    scores = run(root, systems=("unprocessed", f"other={root / 'est'}"))
    values = scores[(scores["system"] == "other") & (scores["metric"] == "SI-SDR")]["value"]
    assert values.between(15, 25).all()
    assert "Differences from unprocessed" in (root / "out/table.md").read_text()
    (root / "est/11-1-0_22-1-0_2.wav").unlink()
    assert "est has 1 voices of 11-1-0_22-1-0, which has 2 sources" in failure(
        root, capsys, systems=(f"other={root / 'est'}",), out="again")


def test_a_function_is_run_again_only_if_its_voices_change(root, monkeypatch):
    monkeypatch.chdir(root)
    monkeypatch.setattr("sys.path", [*sys.path])
    (root / "my_system.py").write_text(
        "import numpy as np\ncalls, gain = [], 0.0\n"
        "def separate(signal, n_speakers):\n    calls.append(len(signal))\n"
        "    return np.stack([signal, signal ** 2 * gain])\nseparate.sample_rate_hz = 16000\n")
    before = run(root, systems=("unprocessed", "mine=my_system:separate"))
    module = sys.modules["my_system"]
    assert len(module.calls) == 1 + 3 and set(module.calls) == {16000}
    assert {*before["system"]} == {"unprocessed", "mine"}
    pd.testing.assert_frame_equal(run(root, systems=("unprocessed", "mine=my_system:separate")), before)
    assert len(module.calls) == 4 + 1  # only the first mixture, to compare
    module.gain = 1.0
    after = run(root, systems=("unprocessed", "mine=my_system:separate"))
    assert len(module.calls) == 5 + 4 and not after.equals(before)
    assert set(run(root, systems=("my_system:separate",), out="other")["system"]) == {"separate"}


def test_a_published_set_is_a_dataset(root):
    loaded = load_librimix(root / "libri2mix_test-clean.csv", root, None, 2)
    dataset = MixtureDataset(loaded)
    assert len(dataset) == 3 and dataset.sample_rate_hz == 8000 and dataset[2]["kind"] == "FF"
    for item, listed in zip(dataset, loaded.mixtures, strict=True):
        mixture = listed.read()
        np.testing.assert_array_equal(item["mixture"], mixture.signal)
        np.testing.assert_array_equal(item["sources"], mixture.sources)


def test_the_shipped_model(root):
    scores = run(root, systems=("pretrained",))
    assert len(scores) == 3 * 2 and np.isfinite(scores["value"]).all()


def test_a_model_is_not_scored_on_its_training_speakers(root):
    item = load_librimix(root / "libri2mix_test-clean.csv", root, None, 2)
    (root / "run").mkdir()
    (root / "run/model.keras").write_bytes(benchmark_systems.MODEL.read_bytes())
    (root / "run/splits.csv").write_text("utterance,speaker,subset,split\nu,22,train-clean-100,train\n")
    with pytest.raises(UserError, match="was trained or selected with speaker 22 of this set"):
        benchmark_systems.build_systems([str(root / "run")], item)


@pytest.mark.parametrize(("options", "message"), [
    (("libri2mix",), "libri2mix needs --root or --metadata"),
    (("wham",), "wham needs --root;"),
    (("libri2mix", "--metadata", "x.csv"), "libri2mix needs --librispeech"),
    (("libri2mix", "--metadata", "x.csv", "--librispeech", "x"), "x.csv cannot be read as metadata"),
    (("libri2mix", "--metadata", "x.csv", "--librispeech", "x", "--noise", "y"), "--noise has no effect on mix_clean"),
    (("libri2mix", "--metadata", "x.csv", "--librispeech", "x", "--files", "a*"), "--files has no effect on mix_clean"),
    (("wham", "--root", "x", "--metadata", "x.csv"), "--metadata goes with libri2mix and libri3mix only"),
    (("libri2mix", "--root", "x", "--noise", "y"), "--noise has no effect"),
    (("whamr", "--root", "x", "--mixture", "mix"), "whamr has no mixtures mix;"),
    (("wham", "--root", "x", "--references", "reverb"), "--references reverb goes with whamr only"),
    (("folders", "--mixtures", "x"), "folders needs --sources"),
    (("folders", "--mixtures", "x", "--sources", "y", "--length", "max"), "--length has no effect"),
    (("folders", "--mixtures", "x", "--sources", "y", "--speaker-ids", "("), "is no regular expression"),
    (("folders", "--mixtures", "absent", "--sources", "y"), "there is no folder absent"),
    (("folders", "--mixtures", "x", "--sources", "y", "--noise", "z", "--more-than-sources"), "give one of the two"),
    (("run",), "run needs --root;"),
    (("run", "--root", "x", "--files", "a*"), "--files has no effect on the set run"),
    (("run", "--root", "x", "--rate", "8000"), "--rate has no effect on the set run"),
    (("run", "--root", "x"), "evaluation.csv cannot be read"),
    (("recordings", "--mixtures", "x"), "recordings needs --rttm;"),
    (("recordings", "--mixtures", "x", "--rttm", "y", "--sources", "z"), "--sources has no effect on the set record"),
    (("recordings", "--mixtures", "x", "--rttm", "y", "--metrics", "SDR"), "--metrics has no effect on recordings"),
    (("recordings", "--mixtures", "x", "--rttm", "y", "--jobs", "2"), "--jobs has no effect on recordings"),
    (("recordings", "--mixtures", "x", "--rttm", "absent.rttm"), "absent.rttm cannot be read as RTTM"),
    (("wham", "--root", "x", "--rttm", "y"), "--rttm goes with recordings only"),
    (("libri2mix", "--first", "0"), "--first 0 is not possible"),
    (("libri2mix", "--jobs", "0"), "--jobs 0 is not possible"),
])
def test_mistakes_leave_nothing_behind(tmp_path, monkeypatch, capsys, options, message):
    monkeypatch.chdir(tmp_path)
    assert benchmark.main([*options, "--out", "out"]) == 1
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("systems", "message"), [
    (("absent",), "absent is neither a system nor a file or folder"),
    (("absent:name",), "absent:name cannot be imported"),
    (("unprocessed", "unprocessed"), "two systems have the name unprocessed"),
])
def test_mistakes_in_systems(root, capsys, systems, message):
    assert message in failure(root, capsys, systems=systems)
    assert not (root / "out").exists()


def test_a_folder_keeps_one_set(root, capsys):
    run(root)
    given = ("--metadata", str(root / "libri2mix_test-clean.csv"), "--librispeech", str(root), "--length", "max")
    assert "out holds the scores of another set" in failure(root, capsys, *given)
    (root / "out/config.yaml").touch()
    assert "out holds the run of an experiment" in failure(root, capsys)

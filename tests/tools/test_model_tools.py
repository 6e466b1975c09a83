"""The tools that score the shipped model run from speech to table, here with an untrained model and a few voices."""

import shutil
import sys
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from omegaconf import OmegaConf

from lab41_sce.data.librispeech import EMBEDDED_ROOT, load
from lab41_sce.errors import UserError

TOOLS = Path(__file__).parents[2] / "tools"


@pytest.fixture(scope="module")
def shipped(tmp_path_factory):
    """Make a folder with a model and the list of its speakers: unseen and for validation are three of each sex."""
    from lab41_sce.models.embedding_model import EmbeddingModel
    from lab41_sce.models.front_end import FrontEnd
    from lab41_sce.models.networks import blstm

    folder = tmp_path_factory.mktemp("shipped")
    model = EmbeddingModel(FrontEnd(), blstm(257, 3, n_layers=1, units=4), unit_norm=True)
    model.predict_on_batch(np.zeros((1, 1000), np.float32))
    model.save(folder / "model.keras")
    table = load(None, ["synthetic"], check="headers")
    by_sex = table.groupby("sex")["speaker"].unique()
    split = {speaker: name for speakers in by_sex
             for name, some in (("unseen", speakers[:3]), ("validation", speakers[3:6])) for speaker in some}
    table.assign(split=table["speaker"].map(split).fillna("train"))[
        ["utterance", "speaker", "sex", "subset", "split"]].to_csv(folder / "splits.csv", index=False)
    return folder / "model.keras"


def run(name, shipped, results, monkeypatch, *arguments):
    """Call a tool's main function as the command line does."""
    monkeypatch.syspath_prepend(str(TOOLS))
    monkeypatch.setattr(sys, "argv", [name, str(EMBEDDED_ROOT), str(results), "--model", str(shipped), "--per-kind",
                                      "1", *arguments])
    __import__(name).main()
    tables = {file.stem: pd.read_csv(file) for file in results.glob("*.csv")}
    assert len((results / "table.md").read_text("utf-8").splitlines()) == 2 + len(tables["summary"])
    return tables


def test_counting(shipped, tmp_path, monkeypatch):
    tables = run("score_counting", shipped, tmp_path, monkeypatch, "--split", "validation")
    assert tables["summary"]["speakers"].to_list() == [1, 2, 3] and set(tables["summary"]["n"]) == {1}
    assert tables["mixtures"]["counted"].between(1, 3).all()
    # A threshold that no spread reaches finds one speaker, one of three mixtures is of one.
    assert tables["thresholds"]["right"].between(0, 1).all()
    assert tables["thresholds"]["right"].iloc[-1] == pytest.approx(1 / 3, abs=1e-4)


def test_enrolment(shipped, tmp_path, monkeypatch):
    tables = run("score_enrolment", shipped, tmp_path, monkeypatch, "--split", "validation")
    assert tables["summary"]["n"].to_list() == [4, 4, 4] and (tables["summary"]["right"] <= 4).all()
    assert tables["thresholds"]["right"].iloc[0] == 0.5  # below every likeness: all are found


def test_nothing_is_chosen_on_unseen_speakers(shipped, tmp_path, monkeypatch):
    with pytest.raises(SystemExit):
        run("trial_inference", shipped, tmp_path, monkeypatch, "--split", "unseen")
    assert "thresholds" not in run("score_counting", shipped, tmp_path, monkeypatch)


def test_degraded(shipped, tmp_path, monkeypatch):
    summary = run("score_degraded", shipped, tmp_path, monkeypatch)["summary"]
    assert set(summary["condition"]) == {"clean", "telephone", "mp3", "telephone, mp3"}
    assert summary.query("kind == 'All'")["n"].to_list() == [4] * 4
    assert summary.query("condition == 'clean'")["before_db"].abs().max() < 3  # at 0 dB, before de-emphasis


def test_conversations(shipped, tmp_path, monkeypatch):
    tables = run("score_conversations", shipped, tmp_path, monkeypatch, "--minutes", "0.5")
    assert tables["summary"]["kind"].to_list() == ["FF", "FM", "MM", "All"]
    assert tables["conversations"]["seconds"].between(20, 30).all()
    assert (tables["summary"]["swapped"] <= tables["summary"]["seconds"]).all()


def test_runs_are_compared_on_the_same_mixtures(shipped, tmp_path, monkeypatch):
    corpus = {"name": "embedded", "root": None, "subsets": ["synthetic"], "unseen_subsets": []}
    front_end = {"sample_rate_hz": 10000, "pre_emphasis": 0.95}
    config = OmegaConf.create({"corpus": corpus, "method": {"name": "sce"}, "front_end": front_end})
    for name, minutes in (("first", 10.0), ("second", 20.0)):
        shutil.copytree(shipped.parent, tmp_path / name / "systems" / "sce")
        shutil.copy(shipped.with_name("splits.csv"), tmp_path / name)
        OmegaConf.save(config, tmp_path / name / "config.yaml")
        facts = pd.DataFrame([{"system": "sce", "parameters": 7, "updates": 3, "minutes": minutes}])
        facts.to_csv(tmp_path / name / "systems.csv", index=False)
    monkeypatch.syspath_prepend(str(TOOLS))
    monkeypatch.setattr(sys, "argv", ["score_runs", *(str(tmp_path / name) for name in ("first", "results")), "--root",
                                      str(EMBEDDED_ROOT), "--others", str(tmp_path / "second"), "--per-kind", "1"])
    import score_runs

    score_runs.main()
    summary = pd.read_csv(tmp_path / "results" / "summary.csv").set_index("run")
    assert summary["minutes"].to_list() == [10, 20] and {"clean: All", "SNR 10 dB: FM"} <= set(summary)
    differences = pd.read_csv(tmp_path / "results" / "differences.csv")
    assert set(differences["system"]) == {"second"} and differences["mean"].abs().max() < 1e-6  # the same model
    (tmp_path / "second" / "splits.csv").write_text("utterance,split\n")
    with pytest.raises(SystemExit):
        score_runs.main()


def test_swapped_seconds_are_counted(monkeypatch):
    monkeypatch.syspath_prepend(str(TOOLS))
    from score_conversations import conversation, swapped_seconds

    rng = np.random.default_rng(0)
    sources = conversation(rng, rng.standard_normal((2, 50000)).astype(np.float32), 60 * 1000, 1000)
    assert (sources != 0).any(axis=0).mean() > 0.8 and (sources != 0).all(axis=0).mean() > 0.05  # gaps, and overlaps
    voices = sources[::-1].copy()
    assert swapped_seconds(sources, voices, 1000) == (0, 60)
    voices[:, 10000:13000] = voices[::-1, 10000:13000].copy()
    assert swapped_seconds(sources, voices, 1000) == (3, 60)


def test_a_model_that_cannot_be_loaded_is_not_kept(shipped, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(TOOLS))
    import keep_model

    (tmp_path / "sce.keras").write_text("the one before")
    arguments = ["keep_model", str(shipped.parent), "--cluster-variance", "0.7", "--verification-threshold", "0.5", "--folder", str(tmp_path)]
    for hop_reduction in ("3", "0"):
        monkeypatch.setattr(sys, "argv", [*arguments, "--hop-reduction", hop_reduction])
        with pytest.raises(SystemExit):
            keep_model.main()
    monkeypatch.setattr(sys, "argv", arguments)
    monkeypatch.setattr(keep_model, "halve", lambda source, target: target.write_text("half a model"))
    with pytest.raises(UserError, match="cannot be loaded"):
        keep_model.main()
    assert (tmp_path / "sce.keras").read_text() == "the one before"


def test_a_kept_model_is_half_as_large_and_says_almost_the_same(shipped, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(TOOLS))
    import keep_model

    from lab41_sce.separation.separator import Separator

    monkeypatch.setattr(sys, "argv", ["keep_model", str(shipped.parent), "--cluster-variance", "0.7", "--verification-threshold", "0.5",
                                      "--hop-reduction", "2", "--soft-scale", "3", "--folder", str(tmp_path)])
    keep_model.main()
    assert (tmp_path / "splits.csv").read_text() == (shipped.parent / "splits.csv").read_text()
    whole, kept = Separator.load(shipped).model, Separator.load(tmp_path / "sce.keras").model
    assert (kept.cluster_variance, kept.verification_threshold, kept.hop_reduction, kept.soft_scale) == (0.7, 0.5, 2, 3.0)
    assert kept.front_end.hop_length == 128 and kept.range_db == whole.range_db
    for before, after in zip(whole.network.get_weights(), kept.network.get_weights(), strict=True):
        assert after.dtype == np.float32
        np.testing.assert_array_equal(after, before.astype(np.float16))
    settings = zipfile.ZipFile(tmp_path / "sce.keras").read("config.json")
    assert not any(name in settings for name in (b"quantization_config", b"input_axes"))  # Keras 3.12 has neither


def test_speech_is_packed_to_travel(shipped, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(TOOLS))
    import pack_speech

    from lab41_sce import audio

    listed = pd.read_csv(shipped.with_name("splits.csv"), dtype=str)
    few = listed[listed["split"] != "unseen"].groupby("split").head(3)
    pd.concat([few, listed[listed["split"] == "unseen"]]).to_csv(tmp_path / "splits.csv", index=False)
    monkeypatch.setattr(sys, "argv", ["pack_speech", str(EMBEDDED_ROOT), str(tmp_path / "splits.csv"),
                                      str(tmp_path / "pack"), "--parts", "2"])
    pack_speech.main()
    tables = [load(tmp_path / f"pack_{part}", ["synthetic"]) for part in (1, 2)]
    table = pd.concat(tables).set_index("utterance")
    assert min(map(len, tables)) >= 2 and sorted(table.index) == sorted(few["utterance"])
    for name, row in table.iterrows():
        whole = audio.read_mono(next(EMBEDDED_ROOT.rglob(f"{name}.*")), 11000)
        packed = audio.read_mono(row["path"], 11000)
        np.testing.assert_allclose(packed, whole / np.abs(whole).max(), atol=1.5 / 2**11)


def test_the_estimate_is_that_of_its_model(monkeypatch):
    monkeypatch.syspath_prepend(str(TOOLS))
    from estimate_full_scale import estimate, gpu_seconds

    table = pd.DataFrame({"name": ["article's network, 100 x 40 frames: an update", "other, 1 x 40 frames: an update",
                                   "article's network, 20 x 40 frames: an update"], "value": [200.0, 1.0, 100.0]})
    gpu = gpu_seconds(table)
    assert gpu == ([20, 100], [0.1, 0.2])
    measured = {"frames of an excerpt": 41.0, "weights": 1e9, "a validation": 9.0,
                "input of one process, from a store": 4100.0}
    assumed = {"gigabytes_per_second": 8.0}
    one = estimate(measured, assumed, gpu, 1, 60)
    assert (one["GPU, ms"], one["input, ms"]) == pytest.approx((150, 600)) and one["update, ms"] == one["input, ms"]
    assert one["in all, hours"] == pytest.approx((92_000 * 0.6 + 184 * 9) / 3600)
    two = estimate(measured, assumed, gpu, 2, 40)  # of 20 excerpts each, and 4 GB of gradients there and back
    assert two["GPU, ms"] == pytest.approx(100 + 2 * 0.5 * 4e9 / 8e9 * 1000) and two["input, ms"] == pytest.approx(200)
    assert two["excerpts a second"] == pytest.approx(40 / 0.6)

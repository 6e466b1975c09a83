"""The model's tools run from speech to table, here with an untrained model and a few voices."""

import shutil
import sys
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import blstm

from lab41_sce import audio
from lab41_sce.data.conversation import ConversationSet, draw_conversations
from lab41_sce.data.corpus import EMBEDDED_ROOT, load_corpus
from lab41_sce.data.speech import Speech
from lab41_sce.errors import UserError
from lab41_sce.models.embedding_model import EmbeddingModel
from lab41_sce.models.front_end import FrontEnd
from lab41_sce.separation.calibration_file import weights_checksum
from lab41_sce.separation.count_classifier import CountClassifier
from lab41_sce.separation.separator import Separator

TOOLS = Path(__file__).parents[2] / "tools" / "model"
pytestmark = pytest.mark.skipif(not TOOLS.exists(), reason="an installed package has no tools")


@pytest.fixture(autouse=True)
def importable(monkeypatch):
    monkeypatch.syspath_prepend(str(TOOLS))


@pytest.fixture(scope="module")
def shipped(tmp_path_factory):
    """Make a folder with a model and the list of its speakers: three of each sex are unseen, three for validation."""
    folder = tmp_path_factory.mktemp("shipped")
    model = EmbeddingModel(FrontEnd(), blstm(257, 3, n_layers=1, units=4), unit_norm=True)
    model.predict_on_batch(np.zeros((1, 1000), np.float32))
    model.save(folder / "model.keras")
    table = load_corpus(None, ["synthetic"], check="headers")
    by_sex = table.groupby("sex")["speaker"].unique()
    split = {speaker: name for speakers in by_sex
             for name, some in (("unseen", speakers[:3]), ("validation", speakers[3:6])) for speaker in some}
    table.assign(split=table["speaker"].map(split).fillna("train"))[
        ["utterance", "speaker", "sex", "subset", "split"]].to_csv(folder / "splits.csv", index=False)
    return folder / "model.keras"


def call_main(name, monkeypatch, *arguments):
    """Call the main function of a tool as the command line does."""
    monkeypatch.setattr(sys, "argv", [name, *map(str, arguments)])
    __import__(name).main()


def run(name, shipped, results, monkeypatch, *arguments):
    """Run a scoring tool; return its tables."""
    call_main(name, monkeypatch, EMBEDDED_ROOT, results, "--model", shipped, "--per-kind", "1", *arguments)
    tables = {file.stem: pd.read_csv(file) for file in results.glob("*.csv")}
    assert len((results / "table.md").read_text("utf-8").splitlines()) == 2 + len(tables["summary"])
    return tables


@pytest.mark.slow
def test_the_threshold_for_counting(shipped, tmp_path, monkeypatch):
    tables = run("choose_cluster_variance", shipped, tmp_path, monkeypatch, "--split", "validation", "--per-kind", "4")
    mixtures, summary = tables["mixtures"], tables["summary"]
    assert summary["speakers"].to_list() == [1, 2, 3] and set(summary["n"]) == {4}

    def count(threshold):
        """One speaker if the variance around one centroid is below the threshold, and so on; three otherwise."""
        return np.select([mixtures["spread_1"] < threshold, mixtures["spread_2"] < threshold], [1, 2], 3)

    assert mixtures["counted"].to_list() == count(0.77).tolist()
    right = (count(0.77) == mixtures["speakers"]).groupby(mixtures["speakers"]).sum()
    assert summary["correct"].to_list() == right.to_list()
    thresholds = tables["thresholds"].set_index("cluster_variance")["right"]
    expected = [(count(threshold) == mixtures["speakers"]).mean() for threshold in thresholds.index]
    np.testing.assert_allclose(thresholds, expected, atol=1e-4)
    # No variance reaches the last threshold, so that it finds one speaker, in a third of the mixtures correctly.
    assert thresholds.iloc[-1] == pytest.approx(1 / 3, abs=1e-4)


def test_counts_of_the_same_two_speakers_say_little_about_others():
    """All 50 mixtures of one speaker are right, all 50 of the other wrong."""
    import score_counting

    listed = pd.DataFrame({"condition": "5 s", "speakers": 1, "mixture": [*map(str, range(100))], "kind": "F",
                           "speaker_1": ["a", "b"] * 50, "speaker_2": np.nan})
    counted = listed.assign(counted=[1, 2] * 50)
    summary, = score_counting.summarise(counted, listed).to_dict("records")
    assert [summary[name] for name in ("n", "correct", "within_one", "low", "high")] == [100, 50, 100, 0, 1]


@pytest.mark.slow
def test_counting(shipped, tmp_path, monkeypatch):
    """The counts of a classifier for which two is always the most probable number are scored, and resumed."""
    import score_counting

    model = tmp_path / "model" / "model.keras"
    shutil.copytree(shipped.parent, model.parent)
    network = weights_checksum(Separator.load(model).model)
    CountClassifier(network, ["coherence_next_bin"], [0.0], [1.0], [[0.0]] * 3, [0.0, 1.0, 0.5], {}).write(model)
    monkeypatch.setattr(score_counting, "CONDITIONS", {"5 s": (1, 2), "15 s": (1,), "noise at 15 dB": (2, 4)})
    tables = run("score_counting", model, tmp_path, monkeypatch, "--per-kind", "2")
    assert tables["summary"][["condition", "speakers", "n", "correct", "within_one"]].to_numpy().tolist() == [
        ["5 s", 1, 2, 0, 2], ["5 s", 2, 2, 2, 2], ["15 s", 1, 2, 0, 2], ["noise at 15 dB", 2, 2, 2, 2],
        ["noise at 15 dB", 4, 2, 0, 0]]
    assert tables["summary"].loc[1, ["low", "high"]].to_list() == [1, 1]
    mixtures, listed = tables["mixtures"], tables["evaluation"]
    assert listed["mixture"].to_list() == mixtures["mixture"].to_list() and set(mixtures["counted"]) == {2}
    assert mixtures[["probability_1", "probability_2", "probability_3"]].sum(axis=1).to_list() == pytest.approx(
        [1] * 10, abs=1e-3)
    assert set(listed["snr_db"].dropna()) == {15.0} and set(listed["length"]) == {50_000, 150_000}

    mixtures.head(8).assign(counted=1).to_csv(tmp_path / "mixtures.csv", index=False)
    again = run("score_counting", model, tmp_path, monkeypatch, "--per-kind", "2")["mixtures"]["counted"]
    assert again.to_list() == [1] * 8 + [2] * 2
    CountClassifier(network, ["coherence_next_bin"], [0.0], [1.0], [[0.0]] * 3, [1.0, 0.0, 0.5], {}).write(model)
    with pytest.raises(SystemExit, match="has the scores of another or of an unknown model"):
        run("score_counting", model, tmp_path, monkeypatch, "--per-kind", "2")
    assert pd.read_csv(tmp_path / "mixtures.csv")["counted"].to_list() == again.to_list()


def test_enrolment(shipped, tmp_path, monkeypatch):
    tables = run("score_enrolment", shipped, tmp_path, monkeypatch, "--split", "validation")
    mixtures, thresholds = tables["mixtures"], tables["thresholds"].set_index("verification_threshold")["right"]
    present, absent = mixtures[mixtures["present"]], mixtures[~mixtures["present"]]
    assert len(present) == len(absent) == 4
    right = [present["first"].sum(), (present["similarity"] >= 0).sum(), (absent["similarity"] < 0).sum()]
    assert tables["summary"][["n", "right"]].to_numpy().tolist() == [[4, count] for count in right]
    expected = [((present["similarity"] >= threshold).mean() + (absent["similarity"] < threshold).mean()) / 2
                for threshold in thresholds.index]
    np.testing.assert_allclose(thresholds, expected, atol=1e-4)
    assert thresholds.iloc[0] == 0.5  # below every similarity: all are found


def test_no_threshold_is_chosen_on_unseen_speakers(shipped, tmp_path, monkeypatch):
    assert "thresholds" not in run("choose_cluster_variance", shipped, tmp_path, monkeypatch)


def test_keeping_the_results_of_a_run(tmp_path, monkeypatch):
    """Tables without folders of the machine, the command, and on request the scores of every mixture."""
    run, results = tmp_path / "run", tmp_path / "results" / "comparisons" / "kept"
    run.mkdir()
    (run / "config.yaml").write_text(f"run_dir: {run}\ncorpus: {{root: {tmp_path}/speech}}\n", "utf-8")
    (run / "version.json").write_text('{"command": "lab41-sce experiment +exp=smoke"}', "utf-8")
    scores = pd.DataFrame({"mixture": ["007", "008"], "system": "sce", "value": [1.23456, -2.0]})
    scores.to_csv(run / "mixtures.csv", index=False)
    call_main("keep_results", monkeypatch, run, results)
    assert sorted(file.name for file in results.iterdir()) == ["command.txt", "config.yaml", "version.json"]
    assert str(tmp_path) not in (results / "config.yaml").read_text("utf-8")
    assert (results / "command.txt").read_text("utf-8") == "lab41-sce experiment +exp=smoke\n"
    call_main("keep_results", monkeypatch, run, results, "--mixtures")
    kept = pd.read_csv(results / "mixtures.csv.gz", dtype={"mixture": str})
    pd.testing.assert_frame_equal(kept, scores.assign(value=[1.2346, -2.0]))


def test_degraded(shipped, tmp_path, monkeypatch):
    summary = run("score_degraded", shipped, tmp_path, monkeypatch)["summary"]
    assert set(summary["condition"]) == {"clean", "telephone", "mp3", "telephone, mp3"}
    assert summary.query("kind == 'All'")["n"].to_list() == [4] * 4
    assert summary.query("condition == 'clean'")["before_db"].abs().max() < 3  # at 0 dB, before de-emphasis


@pytest.mark.slow
def test_calls(tmp_path, monkeypatch):
    """Two halves of the people; in a call without cross-talk, each channel holds one person."""
    import score_calls

    monkeypatch.setattr(score_calls, "SECONDS", 20)
    kept = [each for each in score_calls.conditions() if "no cross-talk, 10%" in each[0] or "one microphone" in each[0]]
    monkeypatch.setattr(score_calls, "conditions", lambda: kept)
    speakers = []
    for half in ("tuning", "reported"):
        call_main("score_calls", monkeypatch, EMBEDDED_ROOT, tmp_path / half, "--subset", "synthetic", "--half", half,
                  "--per-condition", "3")
        summary = pd.read_csv(tmp_path / half / "summary.csv")
        assert summary[["a_person_on_each_channel", "noticed", "n"]].to_numpy().tolist() == [
            ["yes", 3, 3], ["no", 0, 3], ["no", 0, 3]]
        speakers.append({*pd.read_csv(tmp_path / half / "speakers.csv")["speaker"]})
    assert not speakers[0] & speakers[1] and len(speakers[0] | speakers[1]) == 40


@pytest.fixture
def lists(shipped, tmp_path):
    """Make lists of short conversations of the unseen speakers."""
    splits = pd.read_csv(shipped.parent / "splits.csv", dtype=str).query("split == 'unseen'")
    table = load_corpus(EMBEDDED_ROOT, sorted(splits["subset"].unique()), check="headers")
    table = table.merge(splits[["utterance", "split"]], on="utterance")
    speech, rng = Speech(table, 16000), np.random.default_rng(0)
    sets = [ConversationSet("2 people 20 % overlap", ("FF", "FM", "MM"), (-3.0, 1.0)),
            ConversationSet("meetings", ("??",), (-1.0, 3.0), n_rooms=6, snr_db=20.0)]
    folder = tmp_path / "lists"
    folder.mkdir()
    turns = [draw_conversations(wanted, speech, table, 30.0, 0.95, rng) for wanted in sets]
    pd.concat(turns).to_csv(folder / "turns_unseen.csv", index=False)
    table.assign(start_seconds=0.0, end_seconds=table["seconds"])[["utterance", "start_seconds", "end_seconds"]].to_csv(
        folder / "speech_unseen.csv", index=False)
    return folder


@pytest.mark.slow
def test_conversations(shipped, lists, tmp_path, monkeypatch):
    pytest.importorskip("pyannote.metrics")
    call_main("score_conversations", monkeypatch, EMBEDDED_ROOT, tmp_path, "--model", shipped, "--lists", lists)
    swaps = pd.read_csv(tmp_path / "conversations" / "conversations.csv")
    summary = pd.read_csv(tmp_path / "conversations" / "summary.csv").set_index("kind")
    assert summary.index.to_list() == ["FF", "FM", "MM", "All"] and swaps["seconds"].between(20, 30).all()
    for column in ("seconds", "swapped"):
        assert summary[column].to_list() == [*swaps[column], swaps[column].sum()]
    np.testing.assert_allclose(summary["share"], summary["swapped"] / summary["seconds"], atol=1e-4)
    rates = pd.read_csv(tmp_path / "diarisation" / "summary.csv")
    assert rates.columns.to_list() == ["set", "collar_seconds", "der", "jer", "n", "low", "high"]
    assert rates["n"].to_list() == [3, 3, 1, 1] and rates["collar_seconds"].to_list() == [0, 0.25, 0, 0.25]
    assert rates["der"].between(0.1, 2).all() and not (rates["low"] > rates["der"]).any()
    assert (rates["low"].isna() == (rates["n"] == 1)).all()  # a single recording has no interval


@pytest.mark.slow
def test_turns_of_another_system_are_scored(shipped, lists, tmp_path, monkeypatch):
    """The recordings are written, and the true turns as those of a system have an error rate of zero."""
    pytest.importorskip("pyannote.metrics")
    arguments = ["score_conversations", monkeypatch, EMBEDDED_ROOT, tmp_path, "--model", shipped, "--lists", lists,
                 "--sets", "meetings"]
    call_main(*arguments, "--audio", tmp_path / "audio")
    assert audio.read_mono(tmp_path / "audio" / "meetings_0.wav", 16000).shape == (30 * 16000,)
    assert (tmp_path / "audio" / "meetings_0.txt").read_text() == "2\n"
    turns = pd.read_csv(lists / "turns_unseen.csv").query("set == 'meetings'")
    lines = [f"SPEAKER meetings_0 1 {turn.start_seconds} {turn.seconds} <NA> <NA> {turn.speaker} <NA> <NA>\n"
             for turn in turns.itertuples()]
    (tmp_path / "rttm").mkdir()
    (tmp_path / "rttm" / "meetings_0.rttm").write_text("".join(lines), "utf-8")
    call_main(*arguments, "--found", tmp_path / "rttm")
    assert pd.read_csv(tmp_path / "diarisation" / "summary.csv")["der"].max() < 1e-3


def test_swapped_seconds_are_counted():
    from score_conversations import swapped_seconds

    rng = np.random.default_rng(0)
    sources = rng.standard_normal((2, 60 * 1000)).astype(np.float32)
    voices = sources[::-1].copy()
    assert swapped_seconds(sources, voices, 1000) == (0, 60)
    voices[:, 10000:13000] = voices[::-1, 10000:13000].copy()
    assert swapped_seconds(sources, voices, 1000) == (3, 60)


def test_a_model_that_cannot_be_loaded_is_not_kept(shipped, tmp_path, monkeypatch):
    import keep_model

    (tmp_path / "sce.keras").write_text("the earlier one")
    arguments = [shipped.parent, "--cluster-variance", "0.7", "--verification-threshold", "0.5", "--folder", tmp_path]
    for hop_reduction in ("3", "0"):
        with pytest.raises(SystemExit):
            call_main("keep_model", monkeypatch, *arguments, "--hop-reduction", hop_reduction)
    monkeypatch.setattr(keep_model, "halve", lambda source, target: target.write_text("half a model"))
    with pytest.raises(UserError, match="cannot be loaded"):
        call_main("keep_model", monkeypatch, *arguments)
    assert (tmp_path / "sce.keras").read_text() == "the earlier one"


def test_a_kept_model_is_half_as_large_and_almost_the_same(shipped, tmp_path, monkeypatch):
    call_main("keep_model", monkeypatch, shipped.parent, "--cluster-variance", "0.7", "--verification-threshold", "0.5",
              "--hop-reduction", "2", "--soft-scale", "3", "--folder", tmp_path)
    assert (tmp_path / "splits.csv").read_text() == (shipped.parent / "splits.csv").read_text()
    whole, kept = (Separator.load(file, runtime="keras").model for file in (shipped, tmp_path / "sce.keras"))
    settings = kept.cluster_variance, kept.verification_threshold, kept.hop_reduction, kept.soft_scale
    assert settings == (0.7, 0.5, 2, 3.0)
    assert kept.front_end.hop_length == 128 and kept.range_db == whole.range_db
    for before, after in zip(whole.network.get_weights(), kept.network.get_weights(), strict=True):
        assert after.dtype == np.float32
        np.testing.assert_array_equal(after, before.astype(np.float16))
    config = zipfile.ZipFile(tmp_path / "sce.keras").read("config.json")
    assert not any(name in config for name in (b"quantization_config", b"input_axes"))  # Keras 3.12 has neither


def test_speech_is_packed(shipped, tmp_path, monkeypatch):
    listed = pd.read_csv(shipped.with_name("splits.csv"), dtype=str)
    few = listed[listed["split"] != "unseen"].groupby("split").head(3)
    pd.concat([few, listed[listed["split"] == "unseen"]]).to_csv(tmp_path / "splits.csv", index=False)
    call_main("pack_speech", monkeypatch, EMBEDDED_ROOT, tmp_path / "splits.csv", tmp_path / "pack")
    table = load_corpus(tmp_path / "pack", ["synthetic"]).set_index("utterance")
    assert sorted(table.index) == sorted(few["utterance"])
    for name, row in table.iterrows():
        whole = audio.read_mono(next(EMBEDDED_ROOT.rglob(f"{name}.*")), 11000)
        packed = audio.read_mono(row["path"], 11000)
        np.testing.assert_allclose(packed, whole / np.abs(whole).max(), atol=1.5 / 2**11)


def test_the_model_card_counts_the_speech_of_each_corpus():
    from write_model_card import training_speech

    speakers = ["103", "103", "1034", "speechocean762:900024", "speechocean762:900026", "speechocean762:900026"]
    assert training_speech(pd.DataFrame({"speaker": speakers})) == (
        "3 utterances of 2 speakers of LibriSpeech and 3 utterances of 2 speakers of speechocean762")

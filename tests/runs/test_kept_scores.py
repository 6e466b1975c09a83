"""Scores are kept as long as the checksums of everything that they depend on are the same."""

import os
import time
from dataclasses import replace

import pandas as pd
import pytest

from lab41_sce.runs.kept_scores import EXAMPLES, SCORES, ScoreFiles, with_metrics

MIXTURES = pd.DataFrame([["m0", "unseen", "FF"], ["m1", "unseen, SNR 5 dB", "FF"]],
                        columns=["mixture", "split", "kind"])
SYSTEMS = ["sce", "sce_oracle_centroids", "unprocessed"]
VALUES = [0.1 + 0.2, 1 / 3, float("nan")]


@pytest.fixture
def scored(tmp_path):
    """Return the files of a run with scores and an example, its scores and its examples."""
    for name in ("systems/sce/model.keras", "examples/a/mixture.wav", "speech.csv"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("content")
    rows = [[row.mixture, row.split, row.kind, system, "SDR", value] for row in MIXTURES.itertuples()
            for system, value in zip(SYSTEMS, VALUES, strict=True)]
    scores = pd.DataFrame(rows, columns=SCORES)
    examples = pd.DataFrame([["a", "m0", "unseen", "FF", "1 2"]], columns=EXAMPLES)
    files = ScoreFiles(tmp_path, MIXTURES, "sce")
    files.write(scores, examples)
    return files, scores, examples


def kept(files):
    """Return the systems of each split whose scores are kept."""
    scores, _ = files.read()
    return {split: sorted(of_split["system"]) for split, of_split in scores.groupby("split")}


def test_scores_are_kept_exactly_again_and_again(scored, caplog):
    files, scores, examples = scored
    for _ in range(2):
        found, found_examples = files.read()
        pd.testing.assert_frame_equal(found, scores, check_exact=True)
        pd.testing.assert_frame_equal(found_examples, examples, check_dtype=False)
        files.write(found, found_examples)
    assert not caplog.text


@pytest.mark.parametrize("days", [-20_000, -3, 3])
def test_dates_decide_nothing(scored, days):
    files, _, _ = scored
    moment = max(0.0, time.time() + 86_400 * days)
    os.utime(files.folder / "mixtures.csv", (moment, moment))
    assert kept(files) == dict.fromkeys(MIXTURES["split"], SYSTEMS)
    (files.folder / "systems/sce/model.keras").write_text("another model")
    assert kept(files) == dict.fromkeys(MIXTURES["split"], ["unprocessed"])


def test_changed_code_costs_the_scores_of_a_system_that_is_not_trained(scored, caplog):
    files, scores, examples = scored
    code = files.folder / "oracles.py"
    code.write_text("one = 1\n")
    files = replace(files, code={"unprocessed": code})
    files.write(scores, examples)
    assert kept(files) == dict.fromkeys(MIXTURES["split"], SYSTEMS)
    code.write_text("one = 2\n")
    assert kept(files) == dict.fromkeys(MIXTURES["split"], SYSTEMS[:2])
    assert "unprocessed on unseen (another model or other code)" in caplog.text


def test_an_edited_score_costs_its_system_and_split_only(scored, caplog):
    files, _, _ = scored
    path = files.folder / "mixtures.csv"
    path.write_text(path.read_text().replace("0.3333333333333333", "9.3333333333333333", 1))
    assert kept(files) == {"unseen": ["sce", "unprocessed"], "unseen, SNR 5 dB": SYSTEMS}
    assert "sce_oracle_centroids on unseen (edited or damaged scores)." in caplog.text


def test_columns_that_only_other_splits_need_cost_nothing(scored):
    files, _, _ = scored
    noisy = MIXTURES.assign(snr_db=[None, 5.0])
    assert kept(replace(files, mixtures=noisy)) == {"unseen": SYSTEMS}


def test_other_speech_other_mixtures_and_a_changed_example(scored, caplog):
    files, _, _ = scored
    (files.folder / "examples/a/mixture.wav").write_text("noise")
    scores, examples = files.read()
    assert examples.empty and len(scores) == 5 and "sce on unseen (edited or damaged examples)" in caplog.text
    other = ScoreFiles(files.folder, MIXTURES.assign(kind=["FM", "FF"]), "sce")
    assert kept(other) == {"unseen, SNR 5 dB": SYSTEMS}
    (files.folder / "speech.csv").write_text("other speech")
    assert kept(files) == {} and "(other speech)" in caplog.text


@pytest.mark.parametrize("name", ["mixtures.csv", "checksums.csv"])
@pytest.mark.parametrize("damage", [b"", bytes(500), b"\xff\xfe\x00", b"split,system\n1,2\n", None])
def test_damaged_tables_are_written_anew(scored, name, damage):
    files, scores, examples = scored
    (files.folder / name).unlink() if damage is None else (files.folder / name).write_bytes(damage)
    found, found_examples = files.read()
    assert found.empty and found["value"].dtype == float and found_examples.empty
    files.write(scores, examples)
    assert len(files.read()[0]) == len(scores)


def test_scores_of_an_earlier_version_are_computed_again_with_one_line(scored, caplog):
    files, _, _ = scored
    (files.folder / "checksums.csv").unlink()
    assert kept(files) == {} and caplog.text.count("\n") == 1
    assert "has no checksums, as in runs of earlier versions" in caplog.text


def test_only_systems_with_all_wanted_metrics_are_kept():
    rows = [("unseen", "sce", "SDR", 1.0), ("unseen", "sce", "STOI", 0.5), ("unseen", "pit", "SDR", 2.0)]
    scores = pd.DataFrame(rows, columns=["split", "system", "metric", "value"])
    assert with_metrics(scores, ["SDR"])["system"].to_list() == ["sce", "pit"]
    assert with_metrics(scores, ["SDR", "STOI"])["system"].to_list() == ["sce", "sce"]

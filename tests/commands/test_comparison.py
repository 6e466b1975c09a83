"""Several systems in one run, side by side; two and three speakers at once."""

import subprocess
import sys
from functools import partial

import numpy as np
import pandas as pd
import pytest
from conftest import blstm

from lab41_sce.commands import experiment
from lab41_sce.methods.base import Setup
from lab41_sce.models.front_end import FrontEnd
from lab41_sce.runs.config_schema import check, compose_config
from lab41_sce.runs.systems import build_systems, configured_systems

TRAINED = ["sce", "deep_clustering", "attractor", "pit_cnn", "pit_blstm", "recurrent_mask"]
SMALL_CNN = ["others.pit_cnn.build.network.filters=[2,2,2]", "others.pit_cnn.build.network.dense_units=4"]


@pytest.mark.slow
def test_one_command_compares_every_system_and_a_resumed_run_adds_a_missing_system(tmp_path):
    """Every system of the article, tiny; deep clustering is added later, and only it is trained and scored then."""
    tiny = ["network.units=4", "embedding_size=4", "mixtures.batch_size=2", "mixtures.seconds=0.5",
            "training.minutes=null", "training.updates=2", "training.validate_every=2", "validation.batches=1",
            "validation.per_kind=1", "validation.seconds=1.5", "evaluation.per_kind=1", "evaluation.seconds=1.5",
            "evaluation.examples_per_kind=1", "training.tensorboard=false", *SMALL_CNN]
    experiment.run(compose_config(["+exp=compare", *tiny, "~method@others.deep_clustering"]), tmp_path)
    first = pd.read_csv(tmp_path / "mixtures.csv")
    models = {path: path.stat().st_mtime_ns for path in (tmp_path / "systems").glob("*/model.keras")}
    assert len(models) == len(TRAINED) - 1
    arguments = [sys.executable, "-m", "lab41_sce.experiment", "+exp=compare", f"run_dir={tmp_path}", *tiny]
    result = subprocess.run([*arguments, "resume=true"], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr

    assert {path: path.stat().st_mtime_ns for path in models} == models
    scores = pd.read_csv(tmp_path / "mixtures.csv")
    is_added = ~scores["system"].isin(first["system"])
    pd.testing.assert_frame_equal(scores[~is_added].reset_index(drop=True), first)
    added = scores[is_added]
    assert set(added["system"]) == {"deep_clustering", "deep_clustering_oracle_centroids"}
    separated = scores.groupby("system")[["split", "mixture"]].apply(lambda rows: len(rows.drop_duplicates())).to_dict()
    untrained = ["nmf_blind", "unprocessed", "ideal_binary_mask", "ideal_ratio_mask", "phase_sensitive_mask"]
    ceilings = [f"{name}_oracle_centroids" for name in TRAINED[:3]]
    assert separated == dict.fromkeys([*TRAINED, *untrained, *ceilings], 8) | {"nmf_supervised": 4}
    assert set(scores.loc[scores["system"] == "nmf_supervised", "split"]) == {"in-set"}
    systems = pd.read_csv(tmp_path / "systems.csv").set_index("system")
    assert sorted(systems.index) == sorted(TRAINED) and (systems["updates"] == 2).all()
    assert (systems[["parameters", "seconds_per_update", "minutes"]] > 0).all(axis=None)
    differences = pd.read_csv(tmp_path / "differences.csv")
    assert set(differences["system"]) == set(separated) - {"sce"}
    summary = pd.read_csv(tmp_path / "summary.csv")
    of_all = [table.query("metric == 'SDRi' and kind == 'All' and split == 'unseen'").set_index("system")["mean"]
              for table in (summary, differences)]
    assert of_all[1]["pit_blstm"] == pytest.approx(of_all[0]["pit_blstm"] - of_all[0]["sce"])
    check_that_every_model_separates(tmp_path / "systems")
    table = (tmp_path / "table.md").read_text()
    assert all(name.replace("_", " ") in table for name in [*TRAINED, *untrained])


def check_that_every_model_separates(systems):
    """Load each in a process that imports no more than the command line does."""
    code = ("import sys, numpy; from lab41_sce.separation import Separator; "
            "sounds = [Separator.load(folder).separate(numpy.ones(9000), 10000, 2) for folder in sys.argv[1:]]; "
            "print([sound.voices.shape for sound in sounds]); "
            "Separator.load(sys.argv[1]).separate(numpy.ones(9000), 10000, 3)")
    folders = [systems / name for name in ["recurrent_mask", *TRAINED[:-1]]]
    result = subprocess.run([sys.executable, "-c", code, *folders], capture_output=True, text=True, check=False)
    assert result.stdout.strip() == str([(2, 9000)] * len(TRAINED))
    assert "UserError: this model separates 2 speakers and cannot separate 3" in result.stderr


def test_a_system_does_not_depend_on_those_before_it():
    config = compose_config(["+exp=smoke", "+method@others.pit_blstm=pit_blstm",
                             "+method@others.recurrent_mask=recurrent_mask"])
    alone = compose_config(["+exp=smoke", "method=recurrent_mask"])
    setup = Setup(FrontEnd(), partial(blstm, n_layers=1, units=4), 2, ("1", "2", "3"))
    among, alone = (build_systems(each, setup)["recurrent_mask"] for each in (config, alone))
    for here, there in zip(among.weights, alone.weights, strict=True):
        np.testing.assert_array_equal(here, there)


@pytest.mark.slow
@pytest.mark.parametrize("exp", ["compare", "compare_three"])
def test_every_system_of_a_comparison_can_be_the_method(exp):
    everyone = configured_systems(compose_config([f"+exp={exp}"]))
    for name in everyone:
        config = compose_config([f"+exp={exp}", f"method={name}", "method.about=mine"])
        check(config)
        systems = configured_systems(config)
        assert next(iter(systems)) == name and set(systems) == set(everyone)
        assert [system.about == "mine" for system in systems.values()] == [True] + [False] * (len(everyone) - 1)


@pytest.mark.slow
def test_three_speakers(tmp_path):
    tiny = ["network.units=4", "embedding_size=4", "mixtures.batch_size=2", "mixtures.seconds=0.5",
            "training.minutes=null", "training.updates=2", "training.validate_every=2", "validation.batches=1",
            "validation.per_kind=1", "validation.seconds=1.5", "evaluation.per_kind=1", "evaluation.seconds=1.5",
            "evaluation.splits=[unseen]"]
    experiment.run(compose_config(["+exp=three_speaker", *tiny]), tmp_path)
    summary = pd.read_csv(tmp_path / "summary.csv")
    assert set(summary["kind"]) == {"FFF", "FFM", "FMM", "MMM", "All"}
    ideal = summary.query("system == 'ideal_binary_mask' and metric == 'SDRi' and kind == 'All'")
    assert ideal["mean"].item() > 8 and ideal["n"].item() == 8
    example = tmp_path / "examples" / "unseen-FFM-1"
    assert len(list(example.glob("estimate_*.wav"))) == 3

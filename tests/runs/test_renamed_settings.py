"""Old names of settings, experiments, functions and systems keep working."""

import pandas as pd
import pytest
import yaml

from lab41_sce.errors import UserError
from lab41_sce.runs.config_schema import check, compose_config
from lab41_sce.runs.renamed_settings import load_config, renamed_config, renamed_overrides, renamed_systems


@pytest.mark.parametrize(("old", "new"), [
    ("mixtures.easy_batches=2", "mixtures.curriculum_batches=2"),
    ("network.rank=64", "network.bottleneck_rank=64"),
    ("method.build.frame_step=4", "method.build.loss_frame_stride=4"),
    ("method.build.step_ratio=1.0", "method.build.speaker_lr_multiplier=1.0"),
    ("others.rival.build.centre_share=0.5", "others.rival.build.centroid_loss_weight=0.5"),
    ("++method.build.weight_as_heard=true", "++method.build.weight_without_pre_emphasis=true"),
    ("+exp=quick", "+exp=cpu_half_hour"), ("+exp=pretrained", "+exp=cpu_hours"),
    ("+exp=pretrained_gpu", "+exp=shipped"), ("+exp=paper,smoke", "+exp=article,smoke"),
    ("network._target_=lab41_sce.networks.blstm", "network._target_=lab41_sce.models.networks.blstm"),
    ("~mixtures.easy_batches", "~mixtures.curriculum_batches"),
])
def test_an_old_override_becomes_the_new_one_with_one_line(old, new, capsys):
    assert renamed_overrides(["seed=1", old]) == ["seed=1", new]
    assert capsys.readouterr().err == f"{old} is an old name; it is now {new}\n"


@pytest.mark.parametrize("override", [
    "mixtures.curriculum_batches=2", "+exp=smoke", "method=pretrained", "+method@others.pretrained=pretrained",
    "name=quick", "--cfg", "job", "-m", "method.build._target_=lab41_sce.methods.sce.build",
    "mixtures.speeds=[0.9,1.0]"])
def test_other_overrides_stay_without_a_word(override, capsys):
    assert renamed_overrides([override]) == [override] and capsys.readouterr().err == ""


def test_old_overrides_compose():
    config = compose_config(["+exp=quick", "mixtures.easy_batches=7", "method.build.frame_step=2", "network.rank=3"])
    assert config.name == "cpu_half_hour" and check(config).mixtures.curriculum_batches == 7
    assert (config.method.build.loss_frame_stride, config.network.bottleneck_rank) == (2, 3)


def test_an_experiment_file_with_old_names_works(tmp_path, capsys):
    """A file of the user's adds its old names to the defaults under the new ones."""
    (tmp_path / "exp").mkdir()
    (tmp_path / "exp" / "mine.yaml").write_text(
        "# @package _global_\ntraining: {updates: 1}\nmixtures: {easy_batches: 7}\n")
    config = compose_config([f"hydra.searchpath=[file://{tmp_path}]", "+exp=mine"])
    assert check(renamed_config(config)).mixtures.curriculum_batches == 7
    assert len(capsys.readouterr().err.splitlines()) == 1
    config = compose_config(["+exp=smoke"])
    assert renamed_config(config) is config and capsys.readouterr().err == ""


def test_settings_of_an_old_run_are_loaded_under_new_names(tmp_path):
    old = {"seed": 3, "mixtures": {"easy_batches": 5, "seconds": 1.0},
           "network": {"_target_": "lab41_sce.networks.blstm", "rank": None},
           "front_end": {"_target_": "lab41_sce.features.FrontEnd"},
           "others": {"pretrained": {"name": "pretrained", "build": {"_target_": "lab41_sce.methods.saved.build"}},
                      "sce": {"build": {"frame_step": 2, "scale": 5.0, "seed": "${seed}"}}}}
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(old))
    new = {"seed": 3, "mixtures": {"curriculum_batches": 5, "seconds": 1.0},
           "network": {"_target_": "lab41_sce.models.networks.blstm", "bottleneck_rank": None},
           "front_end": {"_target_": "lab41_sce.models.front_end.FrontEnd"},
           "others": {"pretrained": {"name": "pretrained",
                                     "build": {"_target_": "lab41_sce.evaluation.saved_model.build"}},
                      "sce": {"build": {"loss_frame_stride": 2, "scale": 5.0, "seed": "${seed}"}}}}
    assert load_config(tmp_path) == load_config(tmp_path / "config.yaml") == new


@pytest.mark.parametrize("text", [None, "[1, 2]", "a: ["])
def test_a_file_without_settings_is_refused(tmp_path, text):
    if text is not None:
        (tmp_path / "config.yaml").write_text(text)
    with pytest.raises(UserError, match="config.yaml cannot be read .*; give a YAML file"):
        load_config(tmp_path)


def test_systems_of_old_runs_have_the_new_endings():
    names = pd.Series(["sce", "sce_true_centres", "attractor_true_centres", "sce_oracle_centroids"])
    assert renamed_systems(names).to_list() == ["sce", "sce_oracle_centroids", "attractor_oracle_centroids",
                                                "sce_oracle_centroids"]

"""The runs of a sweep become one table; the launchers of sweeps compose."""

import pandas as pd
import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from lab41_sce.commands import sweep
from lab41_sce.data.checksums import file_checksum
from lab41_sce.reporting.sweep import differing_settings
from lab41_sce.runs import config_schema
from lab41_sce.runs.run_directory import write_csv


def write_run(folder, overrides, means):
    """Write the files of a finished run, with means for FF and All."""
    with initialize_config_dir(str(config_schema.CONFIG_PATH), version_base="1.3"):
        config = compose("config", overrides)
    folder.mkdir(parents=True)
    OmegaConf.save(config, folder / "config.yaml", resolve=True)
    rows = [(system, "unseen", kind, "SDRi", mean + bonus, mean - 1, mean + 1, 40)
            for system, bonus in ((config.method.name, 0), ("ideal_binary_mask", 9))
            for kind, mean in zip(("FF", "All"), means, strict=True)]
    write_csv(pd.DataFrame(rows, columns=["system", "split", "kind", "metric", "mean", "low", "high", "n"]),
              folder / "summary.csv")


def test_differing_settings_and_scores_are_in_one_table(tmp_path, capsys):
    write_run(tmp_path / "0", ["seed=0"], (1.0, 2.0))
    write_run(tmp_path / "1", ["seed=1", "training.patience=7"], (3.0, 4.0))
    write_run(tmp_path / "10", ["seed=2"], (2.0, 3.0))
    (tmp_path / "11").mkdir()
    OmegaConf.save({}, tmp_path / "11" / "config.yaml")
    assert sweep.main([str(tmp_path)]) == 0
    printed = capsys.readouterr()
    assert "without scores yet: 11" in printed.err
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in printed.out.splitlines()]
    assert cells[0] == ["split", "run", "seed", "training.patience", "SDRi FF", "SDRi All", "n"]
    assert [row[1:4] for row in cells[2:]] == [["1", "1", "7"], ["10", "2", "–"], ["0", "0", "–"]]
    assert cells[2][4:] == ["3.0 [2.0, 4.0]", "4.0 [3.0, 5.0]", "40"]
    assert (tmp_path / "sweep.md").read_text("utf-8") == printed.out
    table = pd.read_csv(tmp_path / "sweep.csv")
    assert set(table["system"]) == {"sce"} and table["mean"].to_list() == [1, 2, 3, 4, 2, 3]


def test_runs_may_differ_in_an_empty_group(tmp_path, capsys):
    """A run without other systems has `others: {}`."""
    empty = [f"~method@others.{name}" for name in ("unprocessed", "ideal_binary_mask", "ideal_ratio_mask")]
    for number, overrides in enumerate([["seed=0"], ["seed=1"], ["seed=0", *empty], ["seed=1", *empty]]):
        write_run(tmp_path / str(number), overrides, (number + 1.0, number + 2.0))
        (tmp_path / str(number) / "evaluation.csv").write_text("mixtures")
    assert sweep.main([str(tmp_path)]) == 0
    means = capsys.readouterr().out.split("Mean ± standard deviation over seeds")[1]
    assert "| 0, 1 |" in means and "| 2, 3 |" in means and "4.5 ± 0.71" in means


def test_seeds_with_the_same_mixtures_are_averaged(tmp_path, capsys):
    """Runs 0 and 2 differ only in the seed; run 1 has another rate, run 3 other mixtures, run 4 no list of them."""
    changes = [["seed=0"], ["seed=0", "training.learning_rate=0.5"], ["seed=1"], ["seed=2"], ["seed=3"]]
    for number, overrides in enumerate(changes):
        write_run(tmp_path / str(number), overrides, (number + 1.0, number + 2.0))
        if number < 4:
            (tmp_path / str(number) / "evaluation.csv").write_text("others" if number == 3 else "mixtures")
    assert sweep.main([str(tmp_path)]) == 0
    printed, messages = capsys.readouterr()
    assert messages.endswith("no mean over seeds with 4: evaluation.csv is missing there\n")
    assert (tmp_path / "sweep.md").read_text("utf-8") == printed
    first, text, second = printed.split("\n\n")
    assert len(first.splitlines()) == 7 and text == "Mean ± standard deviation over seeds, on the same mixtures:"
    heads, _, row = ([cell.strip() for cell in line.strip("|").split("|")] for line in second.splitlines())
    assert heads == ["split", "runs", "training.learning_rate", "SDRi FF", "SDRi All", "seeds"]
    assert row == ["unseen", "0, 2", "0.0015", "2.0 ± 1.41", "3.0 ± 1.41", "2"]
    table = pd.read_csv(tmp_path / "sweep_seeds.csv")
    assert table["mean"].to_list() == [2.0, 3.0] and table["deviation"].to_list() == pytest.approx([2**0.5] * 2)


def test_all_systems_of_comparisons_are_averaged(tmp_path, capsys):
    """Each run has the system `sce`, a better one beside it, and a reference, which is left out."""
    for seed in (0, 1):
        folder = tmp_path / str(seed)
        write_run(folder, [f"seed={seed}"], (seed + 1.0, seed + 2.0))
        summary = pd.read_csv(folder / "summary.csv")
        other = summary[summary["system"] == "sce"].assign(system="deep_clustering", mean=lambda rows: rows["mean"] + 5)
        write_csv(pd.concat([summary, other]), folder / "summary.csv")
        (folder / "evaluation.csv").write_text("mixtures")
    assert sweep.main([str(tmp_path)]) == 0
    first, _, second = capsys.readouterr().out.split("\n\n")
    tables = [[[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines()]
              for text in (first, second)]
    assert tables[0][0][:4] == ["split", "run", "seed", "system"]
    assert [row[1:4] + row[5:6] for row in tables[0][2:]] == [
        ["1", "1", "deep clustering", "8.0 [2.0, 4.0]"], ["0", "0", "deep clustering", "7.0 [1.0, 3.0]"],
        ["1", "1", "sce", "3.0 [2.0, 4.0]"], ["0", "0", "sce", "2.0 [1.0, 3.0]"]]
    assert tables[1][0] == ["split", "runs", "system", "SDRi FF", "SDRi All", "seeds"]
    assert [row[2:5] for row in tables[1][2:]] == [["deep clustering", "6.5 ± 0.71", "7.5 ± 0.71"],
                                                   ["sce", "1.5 ± 0.71", "2.5 ± 0.71"]]
    means = pd.read_csv(tmp_path / "sweep_seeds.csv").set_index(["system", "kind"])["mean"]
    assert means["deep_clustering", "All"] == 7.5 and "ideal_binary_mask" not in means.index.get_level_values(0)


def test_the_seed_changes_neither_speakers_nor_evaluation():
    with initialize_config_dir(str(config_schema.CONFIG_PATH), version_base="1.3"):
        config = compose("config", ["seed=3"])
    assert (config.splits.seed, config.evaluation.seed, config.method.build.seed) == (0, 0, 3)


def test_scores_of_an_earlier_model_are_not_shown(tmp_path, capsys):
    """A resumed run has the new settings and the old scores until its end."""
    for name, mean in (("0", 3.0), ("1", 2.0)):
        write_run(tmp_path / name, [f"seed={name}"], (mean, mean))
        (tmp_path / name / "systems" / "sce").mkdir(parents=True)
        (tmp_path / name / "systems" / "sce" / "model.keras").write_text("the model")
        recorded = [("unseen", "sce", file_checksum(tmp_path / name / "systems" / "sce" / "model.keras")),
                    ("unseen", "ideal_binary_mask", "")]
        write_csv(pd.DataFrame(recorded, columns=["split", "system", "model"]), tmp_path / name / "checksums.csv")
    (tmp_path / "0" / "systems" / "sce" / "model.keras").write_text("a later model")
    assert sweep.main([str(tmp_path)]) == 0
    printed = capsys.readouterr()
    assert "without scores yet: 0\n" in printed.err and "3.0 [" not in printed.out and "2.0 [1.0, 3.0]" in printed.out
    (tmp_path / "1" / "checksums.csv").write_text("")
    assert sweep.main([str(tmp_path)]) == 1
    assert "checksums.csv cannot be read" in capsys.readouterr().err
    (tmp_path / "1" / "config.yaml").write_text("seed: 1\n")
    assert sweep.main([str(tmp_path)]) == 1
    assert "holds no run with scores" in capsys.readouterr().err


def test_only_the_names_of_different_methods_are_shown(tmp_path, capsys):
    for number, method in enumerate(("sce", "deep_clustering")):
        write_run(tmp_path / str(number), [f"method={method}"], (1.0, 2.0 + number))
    assert sweep.main([str(tmp_path)]) == 0
    heads, _, first, second = capsys.readouterr().out.splitlines()
    assert heads.split("|")[3].strip() == "method.name" and "deep_clustering" in first and " sce " in second
    assert len(heads.split("|")) == len("split run method FF All n".split()) + 2


def test_two_commands_at_once_write_tables_of_one_of_them(tmp_path, monkeypatch, capsys):
    """A run ends, and a second command starts, while the first writes."""
    write_run(tmp_path / "0", ["seed=0"], (1.0, 2.0))
    write_csv, ended = sweep.write_csv, []

    def interrupted(*arguments):
        write_csv(*arguments)
        if not ended:
            write_run(tmp_path / "1", ["seed=1"], (3.0, 4.0))
            ended.append(None)
            ended.append(sweep.main([str(tmp_path)]))

    monkeypatch.setattr(sweep, "write_csv", interrupted)
    assert sweep.main([str(tmp_path)]) == 0 and ended == [None, 1]
    assert "another process writes the table" in capsys.readouterr().err
    assert set(pd.read_csv(tmp_path / "sweep.csv")["run"].astype(str)) == {"0"}
    assert len((tmp_path / "sweep.md").read_text("utf-8").splitlines()) == 3  # two lines of heads
    assert not [path.name for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_a_folder_without_runs_is_reported(tmp_path, capsys):
    assert sweep.main([str(tmp_path)]) == 1
    assert "holds no run with scores" in capsys.readouterr().err


@pytest.mark.parametrize(("launcher", "plugin", "wanted"), [
    ("cores", "hydra_joblib_launcher", {"n_jobs": 2}),
    ("slurm", "hydra_submitit_launcher", {"gpus_per_node": 1, "cpus_per_task": 8, "array_parallelism": 16}),
    ("ray_cluster", "hydra_ray_launcher", {"ray": {"init": {"address": "auto", "object_store_memory": None},
                                                   "remote": {"num_cpus": 8, "num_gpus": 1}}}),
])
def test_launchers_compose(launcher, plugin, wanted):
    pytest.importorskip(f"hydra_plugins.{plugin}", reason='not installed: pip install -e ".[sweeps]"')
    with initialize_config_dir(str(config_schema.CONFIG_PATH), version_base="1.3"):
        config = compose("config", [f"hydra/launcher={launcher}"], return_hydra_config=True)
    composed = OmegaConf.to_container(config.hydra.launcher, resolve=False)
    assert composed["_target_"].startswith(f"hydra_plugins.{plugin}.")
    assert {name: composed[name] for name in wanted} == wanted


def test_settings_that_do_not_follow_from_the_method_are_kept():
    """A setting of the method that varies beside it, and one that changes at random with another."""
    configs = [{"seed": seed, "method.build.seed": seed, "method.name": name, "method.build.scale": scale,
                "method.build.k": name == "sce", "training.rate": seed}
               for seed in (0, 1) for name in ("sce", "deep_clustering") for scale in (None, 5)]
    assert [*differing_settings(configs)[0]] == ["seed", "method.name", "training.rate", "method.build.scale"]


def test_seeds_of_methods_without_a_seed_of_their_own_are_averaged(tmp_path, capsys):
    """SCE has `method.build.seed`, deep clustering has none."""
    for number, (seed, method) in enumerate((seed, name) for seed in (0, 1) for name in ("sce", "deep_clustering")):
        write_run(tmp_path / str(number), [f"seed={seed}", f"method={method}"], (number + 1.0, number + 2.0))
        (tmp_path / str(number) / "evaluation.csv").write_text("mixtures")
    assert sweep.main([str(tmp_path)]) == 0
    heads, _, *rows = capsys.readouterr().out.split("\n\n")[-1].splitlines()
    assert [cell.strip() for cell in heads.strip("|").split("|")][:3] == ["split", "runs", "method.name"]
    assert sorted(row.split("|")[2].strip() for row in rows) == ["0, 2", "1, 3"]


def test_a_setting_that_is_a_list_can_differ_beside_the_seed(tmp_path, capsys):
    changes = [[f"seed={seed}", f"mixtures.speeds={speeds}"] for seed in (0, 1) for speeds in ("[1.0]", "[0.9,1.0]")]
    for number, overrides in enumerate(changes):
        write_run(tmp_path / str(number), overrides, (number + 1.0, number + 2.0))
        (tmp_path / str(number) / "evaluation.csv").write_text("mixtures")
    assert sweep.main([str(tmp_path)]) == 0
    rows = capsys.readouterr().out.split("\n\n")[-1].splitlines()[2:]
    assert sorted(row.split("|")[2].strip() for row in rows) == ["0, 2", "1, 3"]

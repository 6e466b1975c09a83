"""From the folder of a run to the article's figures and the report on its claims, and what is told where files lack."""

import json
import re
import shutil

import numpy as np
import pandas as pd
import pytest
import soundfile
import yaml
from conftest import hum
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf
from test_claims import mixture_list, mixture_scores, population, summary, timing

from lab41_sce.article import draw, report
from lab41_sce.errors import UserError
from lab41_sce.models.front_end import FrontEnd
from lab41_sce.models.mask_model import MaskModel
from lab41_sce.models.networks import blstm
from lab41_sce.runs.config_schema import CONFIG_PATH


def write_run(folder, tables, *overrides):
    """Write what every run has, and some tables."""
    folder.mkdir(parents=True, exist_ok=True)
    with initialize_config_dir(str(CONFIG_PATH), version_base="1.3"):
        config = compose("config", overrides=[
            "+exp=two_speaker", "corpus=librispeech", "corpus.root=/secret/speech", f"run_dir={folder}",
            "+method@others.deep_clustering=deep_clustering", "+method@others.sce_free_vectors=sce",
            "others.sce_free_vectors.name=sce_free_vectors", *overrides])
    config = OmegaConf.to_container(config, resolve=True)
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    command = f"python -m lab41_sce.experiment corpus.root=/secret/speech run_dir={folder}"
    (folder / "version.json").write_text(json.dumps({"command": command, "git_commit": "abc1234", "platform": "Linux",
                                                     "started": "2026-01-02T03:04:05"}))
    of_all = {
        "splits.csv": pd.DataFrame({"utterance": ["a-1", "a-2", "b-1", "c-1"], "speaker": list("aabc"), "sex": "F",
                                    "subset": "x", "split": ["train", "in-set", "train", "unseen"]}),
        "systems.csv": pd.DataFrame([{"system": "sce", "parameters": 1234567, "updates": 4000, "minutes": 25.0,
                                      "seconds_per_update": 0.36, "best_update": 3500}]),
        "evaluation.csv": mixture_list(),
        "mixtures.csv": mixture_scores({"sce": 5.0, "sce_free_vectors": 4.0, "deep_clustering": 4.0}),
    }
    for name, table in (of_all | tables).items():
        table.to_csv(folder / name, index=False)
    return folder


FIGURES = [name for name in draw.CAPTIONS if name != "improvement_by_snr"]  # of a run without noise


@pytest.fixture
def run(tiny_model, tmp_path):
    """Make the folder of a run whose scores are made up; its model is untrained."""
    means = {"FF": 4.0, "FM": 7.0, "MM": 4.5, "All": 5.6}
    rivals = {kind: mean - 1 for kind, mean in means.items()}
    folder = write_run(tmp_path / "runs" / "main", {
        "summary.csv": pd.concat([summary(means, "sce"), summary(rivals, "deep_clustering")]),
        "differences.csv": summary(dict.fromkeys(means, -1.0), "deep_clustering"),
        "mixtures.csv": mixture_scores({"deep_clustering": 4.0, "sce": 5.5}),
    })
    system = folder / "systems" / "sce"
    system.mkdir(parents=True)
    tiny_model.save(system / "model.keras")
    population(23, by_sex=2.0, by_pitch=1.0).to_csv(system / "speakers.csv", index=False)
    rng = np.random.default_rng(0)
    for example in ("unseen-FF-1", "unseen-FM-1"):
        (folder / "examples" / example).mkdir(parents=True)
        sources = [hum(pitch_hz, 1.0, 10000, rng) for pitch_hz in (210, 110 if "M" in example else 180)]
        for name, signal in {"mixture": sum(sources), "reference_1": sources[0], "reference_2": sources[1]}.items():
            soundfile.write(folder / "examples" / example / f"{name}.wav", 0.3 * signal, 10000)
    return folder


def test_every_figure_in_both_formats(run):
    (run / "figures").mkdir()
    (run / "figures" / "improvement_by_snr.svg").write_text("stale")
    files = draw.write_figures(run)
    assert [file.stem for file in files] == FIGURES
    assert {file.name for file in (run / "figures").iterdir()} == {
        f"{name}{suffix}" for name in FIGURES for suffix in (".png", ".svg")}
    assert not [file for file in run.iterdir() if file.name.startswith("tmp")]


def test_figures_show_this_very_run(run):
    figures = draw.draw(run)
    mixture, _ = soundfile.read(run / "examples" / "unseen-FM-1" / "mixture.wav")
    shown = figures["figure_1_components"].axes[0].images[0].get_array()
    assert shown.shape == (257, 1 + (len(mixture) + 255) // 256) and len(figures["figure_1_components"].axes) == 4
    texts = " ".join(text.get_text() for text in figures["figure_4_network"].axes[0].texts)
    assert "[23, 3]" in texts  # P and K
    before, after = figures["figure_5_vectors"].axes
    assert (before.get_title(), after.get_title()) == ("before training", "after training")
    assert not np.allclose(before.collections[0]._offsets3d[0], after.collections[0]._offsets3d[0])


def test_estimated_masks_are_put_in_the_order_of_the_speakers(run, monkeypatch):
    """An ideal model that names the speakers the other way round still gets speaker 1's mask drawn for speaker 1."""
    from lab41_sce.models.embedding_model import EmbeddingModel

    sources = np.stack([soundfile.read(run / "examples" / "unseen-FM-1" / f"reference_{number}.wav")[0]
                        for number in (1, 2)])

    def swapped(model, mixture, n_speakers):
        levels = np.abs(model.front_end.spectrogram(sources.astype(np.float32)))
        return (levels.argmax(axis=0) == np.array([1, 0])[:, None, None]).astype(np.float32)

    monkeypatch.setattr(EmbeddingModel, "masks", swapped)
    figure = draw.draw(run)["figure_3_masking"]
    shown = {axes.get_title(loc="left"): axes.images[0].get_array() for axes in figure.axes if axes.images}
    np.testing.assert_array_equal(shown["estimated mask"], shown["ideal mask"])


def test_what_a_run_lacks_is_left_out(run):
    (run / "systems" / "sce" / "speakers.csv").unlink()
    assert "speaker_vectors" not in draw.draw(run)
    shutil.rmtree(run / "examples")
    assert list(draw.draw(run)) == ["figure_4_network", "figure_6_scores"]
    (run / "systems" / "sce" / "model.keras").unlink()
    assert list(draw.draw(run)) == ["figure_6_scores"]
    summary({"All": 1.0}, "nmf_blind").to_csv(run / "summary.csv", index=False)
    assert draw.draw(run) == {} and draw.write_figures(run) == []
    with pytest.raises(UserError, match="holds no finished run"):
        draw.draw(run / "systems")


def test_three_speakers_and_a_model_that_gives_masks(tmp_path):
    folder = write_run(tmp_path / "three", {"summary.csv": summary({"FFM": 1.0, "All": 1.0}, "sce")},
                       "mixtures.n_speakers=3", "method=pit_blstm")
    (folder / "systems" / "pit_blstm").mkdir(parents=True)
    MaskModel(FrontEnd(), blstm(257, 3, n_layers=1, units=4), 3).save(folder / "systems" / "pit_blstm" / "model.keras")
    example = folder / "examples" / "unseen-FFM-1"
    example.mkdir(parents=True)
    sources = [hum(pitch_hz, 1.0, 10000, np.random.default_rng(0)) for pitch_hz in (210, 180, 110)]
    signals = {"mixture": sum(sources)} | {f"reference_{number}": s for number, s in enumerate(sources, start=1)}
    for name, signal in signals.items():
        soundfile.write(example / f"{name}.wav", 0.2 * signal, 10000)
    figures = draw.draw(folder)
    assert list(figures) == ["figure_1_components", "figure_2_louder_source", "figure_3_masking", "figure_4_network"]
    assert len(figures["figure_1_components"].axes) == 5  # mixture, three sources, scale


def test_what_cannot_be_drawn_does_not_stop_the_rest(run, caplog):
    population(2).to_csv(run / "systems" / "sce" / "speakers.csv", index=False)  # two vectors have no two components
    assert list(draw.draw(run)) == FIGURES[:-1]
    assert "speaker_vectors is left out" in caplog.text


def test_a_report_with_everything(run, tmp_path, capsys):
    timing((5.0, 10.0)).to_csv(tmp_path / "timing.csv", index=False)
    variants = {"summary.csv": pd.concat([summary({"All": 5.0}, "sce"), summary({"All": 4.0}, "sce_free_vectors")]),
                "differences.csv": summary({"All": -1.0}, "sce_free_vectors")}
    split = "unseen, SNR 5 dB"
    noise = {"summary.csv": pd.concat([summary({"All": 3.0}, name, split) for name in ("sce", "saved")]),
             "differences.csv": summary({"All": -2.0}, "saved", split),
             "mixtures.csv": mixture_scores({"sce": 3.0, "saved": 1.0}, split=split, metrics=("SDRi", "SIRi"))}
    noise["evaluation.csv"] = mixture_list(split=split, noise="speech_shaped", snr_db=5.0)
    ablation = write_run(tmp_path / "runs" / "ablation", variants)
    noisy = write_run(tmp_path / "runs" / "noisy", noise, "noise.training_snr_db=[-5,15]",
                      "noise.evaluation_snr_db=[5]", "+method@others.saved=saved",
                      "others.saved.build.path=/secret/runs/main/systems/sce")
    arguments = [run, "--timing", tmp_path / "timing.csv", "--ablation", ablation, "--noisy", noisy, "--out",
                 tmp_path / "results"]
    assert report.main([*map(str, arguments)]) == 0
    text = (tmp_path / "results" / "REPORT.md").read_text()
    page = (tmp_path / "results" / "report.html").read_text()
    assert re.findall(r"^### (\d)\. .*: (holds|does not hold|cannot be told)$", text, re.MULTILINE) == [
        ("1", "does not hold"), ("2", "holds"), ("3", "holds"), ("4", "holds"), ("5", "holds"), ("6", "holds")]
    assert "Of 6 claims, 5 found to hold, 1 found not to hold, 0 open." in text  # MM is better, too
    assert "`python -m lab41_sce.experiment corpus.root=$LIBRISPEECH run_dir=runs/main`" in text
    assert "/secret" not in text + page and str(tmp_path) not in text + page
    assert "trained on 2 utterances of 2 speakers" in text
    assert "| 942 million" in text and "| 13 million" in text  # 92,000 updates of 256 x 40, and 4000 of 32 x 101
    assert "took 5 s, it would be 128 hours (5.3 days)" in text
    assert re.search(r"\| speech shaped \| +-?\d\.\d \|", text)
    assert "$" not in text.replace("$LIBRISPEECH", "")
    for name in draw.CAPTIONS:  # that of noise included
        assert f"figures/{name}.png" in text and (tmp_path / "results" / "figures" / f"{name}.svg").exists()
    assert page.count("data:image/png;base64,") == len(draw.CAPTIONS) and 'src="figures/' not in page
    assert "<table>" in page and "| ---" not in page
    written = [str(tmp_path / "results" / name) for name in ("REPORT.md", "report.html")]
    assert capsys.readouterr().out.split() == written
    assert len(re.findall(r"\| +4,000 \|", text)) == 3  # what each of the three runs had


def test_a_folder_that_holds_more_keeps_it(run, tmp_path):
    (tmp_path / "paper" / "figures").mkdir(parents=True)
    for name in ("mine.png", "improvement_by_snr.png"):
        (tmp_path / "paper" / "figures" / name).write_text("kept, and from an earlier report")
    assert report.main([str(run), "--out", str(tmp_path / "paper")]) == 0
    assert (tmp_path / "paper" / "figures" / "mine.png").exists()
    assert not (tmp_path / "paper" / "figures" / "improvement_by_snr.png").exists()
    assert not (run / "figures").exists() and not (run / "article").exists()  # the run is left as it was


def test_the_command_of_the_timing_names_no_folder(tmp_path):
    timing((5.0, 10.0)).to_csv(tmp_path / "timing.csv", index=False)
    about = {"command": "python -m lab41_sce.article.timing '--out=/home/me/my runs/timing.csv' --batch 32",
             "git_commit": "abc", "started": "2026-01-02T03:04:05", "platform": "Linux", "cores": 2}
    (tmp_path / "timing.json").write_text(json.dumps(about))
    [row] = report._timed(tmp_path / "timing.csv")
    assert row[1] == "`python -m lab41_sce.article.timing --out=timing.csv --batch 32`"


def test_what_was_not_measured_cannot_be_told(run):
    report.main([str(run)])
    text = (run / "article" / "REPORT.md").read_text()
    assert [claim for claim in re.findall(r"^### (\d).*: cannot be told$", text, re.MULTILINE)] == ["2", "5", "6"]
    assert "there is no --noisy" in text and "days" not in text


@pytest.mark.parametrize(("arguments", "wanted"), [
    (["{run}/none"], "is no finished run for the main part (config.yaml is missing)"),
    (["{run}", "--ablation", "{run}/none"], "for the ablation part"),
    (["{run}", "--noisy", "{run}"], "was not trained and scored with noise"),
    (["{run}", "--timing", "{run}/none.csv"], "none.csv is not there; write one with"),
    (["{run}", "--timing", "{run}"], "is not there; write one with"),
    (["{run}", "--timing", "{run}/summary.csv"], "no table of times (it has no column `what`); write one"),
    (["{run}", "--ablation", "{clean}"], "has no variants of SCE"),
    (["{run}", "--out", "{run}"], "is the run itself, whose report.html would be replaced"),
])
def test_mistakes_get_one_sentence(run, arguments, wanted, capsys):
    clean = write_run(run.parent / "clean", dict.fromkeys(("summary.csv", "differences.csv"), pd.DataFrame({"a": []})),
                      "~others.sce_free_vectors")
    assert report.main([argument.format(run=run, clean=clean) for argument in arguments]) == 1
    assert wanted in capsys.readouterr().err and not (run / "article").exists()

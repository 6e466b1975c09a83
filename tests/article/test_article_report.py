"""Runs become the report on the article; unsuitable runs and missing files get an error message."""

import json
import re

import pandas as pd
import pytest
from made_runs import make_run, write_run
from test_score_claims import mixture_list, mixture_scores, summary
from test_time_claims import timing

from lab41_sce.article import draw
from lab41_sce.article.__main__ import main
from lab41_sce.article.report_text import describe_timing
from lab41_sce.atomic_write import lock


@pytest.fixture
def run(tiny_model, tmp_path):
    return make_run(tmp_path / "runs" / "main", tiny_model)


@pytest.mark.slow
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
    assert main([*map(str, arguments)]) == 0
    text = (tmp_path / "results" / "REPORT.md").read_text()
    page = (tmp_path / "results" / "report.html").read_text()
    verdicts = r"^### (\d)\. .*: (holds|holds by construction|does not hold|undecided)$"
    assert re.findall(verdicts, text, re.MULTILINE) == [
        ("1", "does not hold"), ("2", "holds"), ("3", "holds by construction"), ("4", "holds"), ("5", "holds"),
        ("6", "holds")]
    # MM is better
    assert ("Verdicts on the 6 claims: 4 × holds, 1 × holds by construction, 1 × does not hold, 0 × undecided." in text)
    assert re.findall("^## (.*)$", text, re.MULTILINE) == [
        "Claims", "Figures", "Differences from the original", "A full run", "Runs"]
    contents = re.search('<nav aria-label="Contents">(.*?)</nav>', page, re.DOTALL)[1]
    linked = re.findall('href="#(.*?)"', contents)
    assert len(linked) == 5 + 6 and linked == re.findall('<h[23] id="(.*?)">', page)
    assert "`python -m lab41_sce.experiment corpus.root=$LIBRISPEECH run_dir=runs/main`" in text
    assert "/secret" not in text + page and str(tmp_path) not in text + page
    assert "trained on 2 utterances of 2 speakers" in text
    assert "| 942 million" in text and "| 13 million" in text  # 92,000 updates of 256 x 40, and 4000 of 32 x 101
    assert "took 5 s, so the training would take 128 hours (5.3 days)" in text
    assert re.search(r"\| speech shaped \| +-?\d\.\d \|", text)
    assert "$" not in text.replace("$LIBRISPEECH", "")
    for name in draw.CAPTIONS:  # that of noise included
        assert f"figures/{name}.png" in text and (tmp_path / "results" / "figures" / f"{name}.svg").exists()
    assert page.count("data:image/png;base64,") == len(draw.CAPTIONS) and 'src="figures/' not in page
    assert "<table>" in page and "| ---" not in page
    written = [str(tmp_path / "results" / name) for name in ("REPORT.md", "report.html")]
    assert capsys.readouterr().out.split() == written
    assert len(re.findall(r"\| +4,000 \|", text)) == 3  # training of each of the three runs


@pytest.mark.slow
def test_a_run_of_the_article_s_size_is_in_figure_6(run, tmp_path):
    larger = write_run(tmp_path / "runs" / "larger", {"summary.csv": summary({"All": 7.0}, "sce"),
                                                      "differences.csv": summary({"All": -1.0}, "deep_clustering")})
    assert main([str(run), "--article-size", str(larger)]) == 0
    text = (run / "article" / "REPORT.md").read_text()
    assert "Systems of the article's size run and their training:" in text and "| article's size " in text
    assert "article's size" in (run / "article" / "figures" / "figure_6_scores.svg").read_text()


@pytest.mark.slow
def test_other_files_in_the_folder_are_kept(run, tmp_path):
    (tmp_path / "paper" / "figures").mkdir(parents=True)
    for name in ("mine.png", "improvement_by_snr.png"):
        (tmp_path / "paper" / "figures" / name).write_text("kept, and from an earlier report")
    assert main([str(run), "--out", str(tmp_path / "paper")]) == 0
    assert (tmp_path / "paper" / "figures" / "mine.png").exists()
    assert not (tmp_path / "paper" / "figures" / "improvement_by_snr.png").exists()
    assert not (run / "figures").exists() and not (run / "article").exists()  # the run is left as it was


def test_a_second_report_in_the_same_folder_is_refused(run, tmp_path, capsys):
    (tmp_path / "paper").mkdir()
    with lock(tmp_path / "paper" / ".report.lock"):
        assert main([str(run), "--out", str(tmp_path / "paper")]) == 1
    assert "another process writes the report" in capsys.readouterr().err
    assert not [*(tmp_path / "paper").iterdir()]


def test_the_command_of_the_timing_contains_no_folder(tmp_path):
    timing((5.0, 10.0)).to_csv(tmp_path / "timing.csv", index=False)
    about = {"command": "python -m lab41_sce.article.timing '--out=/home/me/my runs/timing.csv' --batch 32",
             "git_commit": "abc", "started": "2026-01-02T03:04:05", "platform": "Linux", "cores": 2}
    (tmp_path / "timing.json").write_text(json.dumps(about))
    [row] = describe_timing(tmp_path / "timing.csv")
    assert row[1] == "`python -m lab41_sce.article.timing --out=timing.csv --batch 32`"


@pytest.mark.slow
def test_claims_without_measurements_are_undecided(run):
    main([str(run)])
    text = (run / "article" / "REPORT.md").read_text()
    assert [claim for claim in re.findall(r"^### (\d).*: undecided$", text, re.MULTILINE)] == ["2", "5", "6"]
    assert "no --noisy was given" in text and "days" not in text


@pytest.mark.parametrize(("arguments", "wanted"), [
    (["{run}/none"], "is not a finished run for the main part (config.yaml is missing)"),
    (["{run}", "--ablation", "{run}/none"], "for the ablation part"),
    (["{run}", "--noisy", "{run}"], "was not trained and scored with noise"),
    (["{run}", "--timing", "{run}/none.csv"], "none.csv does not exist; write one with"),
    (["{run}", "--timing", "{run}"], "does not exist; write one with"),
    (["{run}", "--timing", "{run}/summary.csv"], "is not a table of times (it has no column `what`); write one"),
    (["{run}", "--ablation", "{clean}"], "has no variants of SCE"),
    (["{run}", "--out", "{run}"], "is the run itself, and its report.html would be replaced"),
])
def test_mistakes_get_an_error_message(run, arguments, wanted, capsys):
    clean = write_run(run.parent / "clean", dict.fromkeys(("summary.csv", "differences.csv"), pd.DataFrame({"a": []})),
                      "~others.sce_free_vectors")
    assert main([argument.format(run=run, clean=clean) for argument in arguments]) == 1
    assert wanted in capsys.readouterr().err and not (run / "article").exists()

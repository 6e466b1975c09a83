"""The folder of a run becomes the article's figures; figures without data are left out."""

import shutil

import numpy as np
import pytest
import soundfile
from conftest import blstm, hum
from made_runs import make_run, write_run
from test_model_claims import population
from test_score_claims import summary

from lab41_sce.article import draw
from lab41_sce.errors import UserError
from lab41_sce.models.front_end import FrontEnd
from lab41_sce.models.mask_model import MaskModel
from lab41_sce.separation import chunked_inference

FIGURES = [name for name in draw.CAPTIONS if name != "improvement_by_snr"]  # of a run without noise


@pytest.fixture
def run(tiny_model, tmp_path):
    return make_run(tmp_path / "runs" / "main", tiny_model)


def test_every_figure_in_both_formats(run):
    (run / "figures").mkdir()
    (run / "figures" / "improvement_by_snr.svg").write_text("stale")
    files = draw.write_figures(run)
    assert [file.stem for file in files] == FIGURES
    assert {file.name for file in (run / "figures").iterdir()} == {
        f"{name}{suffix}" for name in FIGURES for suffix in (".png", ".svg")}
    assert not [file for file in run.iterdir() if file.name.startswith("tmp")]


def test_figures_show_the_given_run(run):
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
    """An ideal model with its masks in reverse order still has the mask of speaker 1 drawn for speaker 1."""
    sources = np.stack([soundfile.read(run / "examples" / "unseen-FM-1" / f"reference_{number}.wav")[0]
                        for number in (1, 2)])

    def swapped(model, mixture, n_speakers):
        levels = np.abs(model.front_end.spectrogram(sources.astype(np.float32)))
        return (levels.argmax(axis=0) == np.array([1, 0])[:, None, None]).astype(np.float32)

    monkeypatch.setattr(chunked_inference, "estimate_masks", swapped)
    figure = draw.draw(run)["figure_3_masking"]
    shown = {axes.get_title(loc="left"): axes.images[0].get_array() for axes in figure.axes if axes.images}
    np.testing.assert_array_equal(shown["estimated mask"], shown["ideal mask"])


def test_figures_without_files_are_left_out(run):
    (run / "systems" / "sce" / "speakers.csv").unlink()
    assert "speaker_vectors" not in draw.draw(run)
    shutil.rmtree(run / "examples")
    assert list(draw.draw(run)) == ["figure_4_network", "figure_6_scores"]
    (run / "systems" / "sce" / "model.keras").unlink()
    assert list(draw.draw(run)) == ["figure_6_scores"]
    summary({"All": 1.0}, "nmf_blind").to_csv(run / "summary.csv", index=False)
    assert draw.draw(run) == {} and draw.write_figures(run) == []
    with pytest.raises(UserError, match="contains no finished run"):
        draw.draw(run / "systems")


def test_three_speakers_and_a_mask_model(tmp_path):
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


def test_one_failing_figure_does_not_stop_the_others(run, caplog):
    population(2).to_csv(run / "systems" / "sce" / "speakers.csv", index=False)  # too few vectors to draw
    assert list(draw.draw(run)) == FIGURES[:-1]
    assert "speaker_vectors is left out" in caplog.text

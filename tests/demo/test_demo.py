"""What the page does, without a browser: sounds, systems, results, pictures and their captions, visitors."""

import json
import threading
import time
from pathlib import Path

import keras
import numpy as np
import pytest
import soundfile

from lab41_sce.demo import drawing, markup, work
from lab41_sce.demo.sessions import Job, Stopped, Visitors
from lab41_sce.demo.systems import FACTORISATION, Systems
from lab41_sce.demo.work import Choices, Limits, Sound
from lab41_sce.errors import UserError
from lab41_sce.separation.separator import Separator

WOMAN, MAN = "3 (woman)", "13 (man)"


@pytest.fixture(scope="module")
def model_file(tmp_path_factory):
    """Save an untrained model of vectors, as that of a run's system."""
    from conftest import blstm

    from lab41_sce.models.embedding_model import EmbeddingModel
    from lab41_sce.models.front_end import FrontEnd

    keras.utils.set_random_seed(1)
    model = EmbeddingModel(FrontEnd(), blstm(257, n_outputs=4, n_layers=1, units=4), unit_norm=True, soft_scale=2.0,
                           cluster_variance=0.5)
    file = tmp_path_factory.mktemp("run") / "systems" / "tiny_sce" / "model.keras"
    file.parent.mkdir(parents=True)
    model.predict_on_batch(np.zeros((1, 1000), np.float32))
    model.save(file)
    return file


@pytest.fixture(scope="module")
def systems(model_file):
    return Systems(model_file)


@pytest.fixture(scope="module")
def result(systems):
    return work.separate(work.make_mixture(WOMAN, MAN, 0.0), Choices(systems.names[0], 2), systems)


def test_a_mixture_is_as_loud_as_asked_for():
    sound = work.make_mixture(WOMAN, MAN, 6.0, sentence=2)
    np.testing.assert_allclose(sound.signal, sound.sources.sum(axis=0), atol=1e-6)
    assert np.abs(sound.signal).max() == pytest.approx(work.PEAK, abs=1e-3)
    emphasised = sound.sources[:, 1:] - 0.95 * sound.sources[:, :-1]
    assert 20 * np.log10(emphasised[0].std() / emphasised[1].std()) == pytest.approx(6.0, abs=0.1)
    again = work.make_mixture(WOMAN, MAN, 6.0, sentence=3)
    assert not np.array_equal(sound.signal[:1000], again.signal[:1000])


def test_a_mixture_needs_two_speakers():
    with pytest.raises(UserError, match="twice; choose two different"):
        work.make_mixture(WOMAN, WOMAN, 0.0)
    with pytest.raises(UserError, match="no speaker 'nobody'"):
        work.make_mixture("nobody", MAN, 0.0)


def test_recordings_have_limits_and_no_path_is_told(tmp_path):
    file = tmp_path / "talk.wav"
    soundfile.write(file, 0.1 * np.ones((16000, 2)), 8000)
    sound = work.open_sound(file, Limits())
    assert (sound.signal.shape, sound.sample_rate_hz, sound.seconds, sound.name) == ((16000,), 8000, 2, "talk")
    broken = tmp_path / "broken.wav"
    broken.write_bytes(b"RIFF and so on")
    for path, limits, words in ((file, Limits(megabytes=0.01), "0.1 MB"), (file, Limits(seconds=1), "lasts 2 s"),
                                (broken, Limits(), "not audio"), (tmp_path / "none.wav", Limits(), "no such file")):
        with pytest.raises(UserError, match=words) as told:
            work.open_sound(path, limits)
        assert str(tmp_path) not in str(told.value) and path.name in str(told.value)


def test_a_result_is_what_the_separator_gives(systems, model_file, result):
    voices = Separator.load(model_file).separate(result.sound.signal, 10000, 2)
    np.testing.assert_allclose(result.voices, voices, atol=1e-5)
    np.testing.assert_allclose(result.masks.sum(axis=0), 1, atol=1e-5)
    assert result.masks.shape[1:] == result.levels.shape and 0.01 < result.masks.max(axis=0).min() < 0.9  # soft


def test_binary_masks_give_all_or_nothing(systems, result):
    binary = work.separate(result.sound, Choices(systems.names[0], 2, binary=True), systems)
    assert set(np.unique(binary.masks)) == {0.0, 1.0}
    np.testing.assert_array_equal(binary.masks.argmax(axis=0), result.masks.argmax(axis=0))
    np.testing.assert_allclose(binary.voices.sum(axis=0), result.sound.signal, atol=1e-4)


def test_scores_know_the_truth(result, systems):
    scores = result.scores
    assert scores.loc["ideal binary mask", "SDR"] > scores.loc["this separation", "SDR"] + 3
    assert scores.loc["the mixture as it is", "SDRi"] == 0
    three = work.separate(result.sound, Choices(systems.names[0], 3), systems)
    assert len(three.voices) == 3 and np.isnan(three.scores.loc["this separation", "SDR"])
    unknown = Sound(result.sound.signal, 10000, "no truth")
    assert work.separate(unknown, Choices(systems.names[0], 1), systems).scores is None


def test_factorisation_is_offered_and_has_no_vectors(systems):
    sound = work.make_mixture(WOMAN, MAN, 0.0)
    factorised = work.separate(sound, Choices(FACTORISATION, 2), systems)
    assert factorised.cloud is None and factorised.voices.shape == sound.sources.shape
    with pytest.raises(UserError, match="say how many"):
        work.separate(sound, Choices(FACTORISATION), systems)
    with pytest.raises(UserError, match="no system 'magic'"):
        work.separate(sound, Choices("magic"), systems)


def test_the_trained_systems_of_a_run_are_offered(model_file, tmp_path):
    run = model_file.parents[2]
    assert f"tiny sce (of {run.name})" in Systems(run=run).names
    with pytest.raises(UserError, match="holds no trained model"):
        Systems(run=tmp_path)


def test_progress_adds_up_and_can_stop(systems):
    shares = []
    work.separate(work.make_mixture(WOMAN, MAN, 0.0), Choices(systems.names[0]), systems, shares.append)
    assert sum(shares) == pytest.approx(1.0, abs=0.01)

    def refuse(share):
        raise Stopped

    with pytest.raises(Stopped):
        work.separate(work.make_mixture(WOMAN, MAN, 0.0), Choices(systems.names[0]), systems, refuse)


def test_every_picture_says_its_facts_in_words(result):
    share = (result.masks * result.levels**2).sum(axis=(1, 2))
    figure, caption = drawing.spectrogram(result)
    assert f"voice 1 (blue) has {share[0] / share.sum():.0%}" in caption and drawing.png(figure)[1:4] == b"PNG"
    assert "voice 2's is the largest in" in drawing.masks(result)[1]
    assert f"Confidence: {result.frames.confidence():.2f}" in drawing.who_speaks_when(result.frames)[1]
    html = markup.pictures(result)
    assert html.count("<img alt=") == html.count("<figcaption>") == 3


def test_one_voice_has_captions_too(systems):
    one = work.separate(work.make_mixture(WOMAN, MAN, 0.0), Choices(systems.names[0], 1), systems)
    assert "lets everything through" in drawing.masks(one)[1]
    assert "no confidence" in drawing.who_speaks_when(one.frames)[1]


def test_silence_can_be_shown(systems):
    silent = work.separate(Sound(np.zeros(20000, np.float32), 10000, "silence"), Choices(systems.names[0], 2), systems)
    assert silent.cloud is None and "never" in drawing.who_speaks_when(silent.frames)[1]
    assert "described below" in markup.pictures(silent)


def test_the_cloud_holds_the_audible_vectors(result):
    figure, caption = drawing.vectors(result.cloud, 2)
    data = json.loads(figure)["data"]
    assert [trace["name"] for trace in data] == ["voice 1", "voice 2"]
    assert sum(len(trace["x"]) for trace in data) == len(result.cloud.places) <= work.POINTS
    assert "centres are" in caption and f"{result.cloud.n_bins:,}" in caption


def test_players_play_what_was_separated(result, tmp_path):
    html = markup.players(result, tmp_path)
    assert html.count("<audio") == html.count("download=") == 3
    mixture, voice = (soundfile.read(tmp_path / f"{name}.wav")[0] for name in ("mixture", "voice_1"))
    scale = np.abs(mixture).max() / np.abs(result.sound.signal).max()
    np.testing.assert_allclose(voice, scale * result.voices[0], atol=1e-3)


def test_a_message_is_no_markup():
    assert "&lt;b&gt;" in markup.message("<b>") and 'role="alert"' in markup.message("no", failed=True)


def test_visitors_are_kept_apart_and_forgotten(tmp_path):
    visitors, upload, shared = Visitors(tmp_path / "root"), tmp_path / "mine.wav", tmp_path / "both.wav"
    for file in (upload, shared):
        file.write_text("sound")
    one, other = visitors.folder("one"), visitors.folder("other")
    assert one != other and one.stat().st_mode & 0o077 == 0 and visitors.root.stat().st_mode & 0o077 == 0
    for visitor, file in (("one", upload), ("one", shared), ("other", shared)):
        visitors.hold(visitor, file)
    again = visitors.folder("one")
    assert again.is_dir() and not one.exists()
    visitors.leave("one")
    assert not again.exists() and not upload.exists() and shared.exists() and other.is_dir()
    visitors.close()
    assert not visitors.root.exists() and not shared.exists()


def test_a_job_is_watched_and_stopped():
    def count(progress):
        for _ in range(4):
            progress(0.25)
        return "done"

    job = Job(count)
    assert all(share is None or 0 <= share <= 1 for share in job.watch(0.01)) and job.result == "done"

    stopped = threading.Event()

    def endless(progress):
        try:
            while True:
                progress(0.0)
                time.sleep(0.01)
        except Stopped:
            stopped.set()
            raise

    running, waiting = Job(endless), Job(count)
    watch = waiting.watch(0.05)
    assert next(watch) is None and next(watch) is None  # while another works
    running.stop()
    with pytest.raises(Stopped):
        [*running.watch()]
    assert stopped.wait(5)
    for _ in watch:
        pass
    assert waiting.result == "done"


def test_what_goes_wrong_in_a_job_is_told_to_who_watches():
    def fail(progress):
        raise UserError("no.")

    with pytest.raises(UserError, match="no."):
        [*Job(fail).watch(0.01)]


def test_the_command_line_refuses_impossible_limits(capsys):
    from lab41_sce.demo.__main__ import parse

    assert parse([]).host == "127.0.0.1"
    with pytest.raises(SystemExit):
        parse(["--max-seconds", "-1"])
    assert "give a number above 0" in capsys.readouterr().err


def test_the_page_says_what_is_wrong(systems, tmp_path):
    pytest.importorskip("gradio", reason="the page needs Gradio; make test-browser installs it")
    from types import SimpleNamespace

    from lab41_sce.demo.page import OWN, SOFT, Page

    page, visitor = Page(systems, Limits(seconds=1), Visitors(tmp_path / "root")), SimpleNamespace(session_hash="one")
    page.build()
    *_, last = page.separate(OWN, None, None, None, 0, 1, None, "2", systems.names[0], SOFT, visitor)
    assert "there is no recording yet" in last[0]
    file = tmp_path / "talk.wav"
    soundfile.write(file, np.ones(16000), 8000)
    assert "lasts 2 s" in page.check(str(file), visitor)
    assert "nothing to cancel" in page.cancel(SimpleNamespace(session_hash="two"))[0]
    page.leave(visitor)
    assert not Path(file).exists()  # what a visitor uploads goes with the visitor

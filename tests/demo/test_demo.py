"""The page without a browser: sounds, systems, results, figures and their captions, visitors."""

import json
import threading
import time
import zipfile
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest
import soundfile

from lab41_sce.demo import downloads, drawing, markup, player, results, sounds
from lab41_sce.demo.results import Choices, separate_sound
from lab41_sce.demo.sessions import Job, Stopped, Visitors
from lab41_sce.demo.sounds import Limits, Sound, make_mixture
from lab41_sce.demo.systems import FACTORISATION, Systems
from lab41_sce.errors import UserError
from lab41_sce.separation.separator import Separator
from lab41_sce.separation.speaker_count import SpeakerCount

WOMAN, MAN = "3 (woman)", "13 (man)"


@pytest.fixture(scope="module")
def model_file(tmp_path_factory):
    """Save an untrained embedding model in the folder of a run."""
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
    return separate_sound(make_mixture(WOMAN, MAN, 0.0), Choices(systems.names[0], 2), systems)


def test_a_mixture_has_the_requested_levels():
    sound = make_mixture(WOMAN, MAN, 6.0, sentence=2)
    np.testing.assert_allclose(sound.signal, sound.sources.sum(axis=0), atol=1e-6)
    assert np.abs(sound.signal).max() == pytest.approx(sounds.MIXTURE_PEAK, abs=1e-3)
    emphasised = sound.sources[:, 1:] - 0.95 * sound.sources[:, :-1]
    assert 20 * np.log10(emphasised[0].std() / emphasised[1].std()) == pytest.approx(6.0, abs=0.1)
    again = make_mixture(WOMAN, MAN, 6.0, sentence=3)
    assert not np.array_equal(sound.signal[:1000], again.signal[:1000])


def test_a_mixture_needs_two_speakers():
    with pytest.raises(UserError, match="twice; choose two different"):
        make_mixture(WOMAN, WOMAN, 0.0)
    with pytest.raises(UserError, match="no speaker 'nobody'"):
        make_mixture("nobody", MAN, 0.0)


def test_recordings_have_limits_and_messages_contain_no_folder(tmp_path):
    file = tmp_path / "talk.wav"
    soundfile.write(file, 0.1 * np.ones((16000, 2)), 8000)
    sound = sounds.open_sound(file, Limits())
    assert (sound.signal.shape, sound.sample_rate_hz, sound.seconds, sound.name) == ((16000,), 8000, 2, "talk.wav")
    broken = tmp_path / "broken.wav"
    broken.write_bytes(b"RIFF and so on")
    for path, limits, words in ((file, Limits(megabytes=0.01), "0.1 MB"),
                                (file, Limits(seconds=1), "lasts 2 s.*lab41-sce separate"),
                                (broken, Limits(), "not audio"), (tmp_path / "none.wav", Limits(), "no such file")):
        with pytest.raises(UserError, match=words) as raised:
            sounds.open_sound(path, limits)
        assert str(tmp_path) not in str(raised.value) and path.name in str(raised.value)


def test_a_result_contains_the_voices_of_the_separator(systems, model_file, result):
    """The voice that speaks first is the first."""
    separation = Separator.load(model_file).separate(result.sound.signal, 10000, 2)
    np.testing.assert_allclose(result.voices, separation.voices[separation.order_of_speech()], atol=1e-5)
    starts = [[*segments, (np.inf, np.inf)][0][0] for segments in result.separation.activity.segments()]
    assert starts == sorted(starts)
    masks = result.details.masks
    np.testing.assert_allclose(masks.sum(axis=0), 1, atol=1e-5)
    assert masks.shape[1:] == result.details.magnitudes.shape and 0.01 < masks.max(axis=0).min() < 0.9  # soft


def test_binary_masks_are_zero_or_one(systems, result):
    binary = separate_sound(result.sound, Choices(systems.names[0], 2, binary=True), systems)
    assert set(np.unique(binary.details.masks)) == {0.0, 1.0}
    owners = [each.details.masks.argmax(axis=0) for each in (binary, result)]
    assert np.array_equal(*owners) or np.array_equal(owners[0], 1 - owners[1])  # the order of speech may change
    np.testing.assert_allclose(binary.voices.sum(axis=0), result.sound.signal, atol=1e-4)


def test_scores_need_the_sources(result, systems):
    scores = result.scores
    assert scores.loc["ideal binary mask", "SDR"] > scores.loc["this separation", "SDR"] + 3
    assert scores.loc["the mixture as it is", "SDRi"] == 0
    three = separate_sound(result.sound, Choices(systems.names[0], 3), systems)
    assert len(three.voices) == 3 and np.isnan(three.scores.loc["this separation", "SDR"])
    unknown = Sound(result.sound.signal, 10000, "unknown sources")
    assert separate_sound(unknown, Choices(systems.names[0], 1), systems).scores is None


@pytest.mark.slow
def test_factorisation_is_offered_and_has_no_embeddings(systems):
    sound = make_mixture(WOMAN, MAN, 0.0)
    factorised = separate_sound(sound, Choices(FACTORISATION, 2), systems)
    assert factorised.projection is None and factorised.voices.shape == sound.sources.shape
    with pytest.raises(UserError, match="give the number of speakers"):
        separate_sound(sound, Choices(FACTORISATION), systems)
    with pytest.raises(UserError, match="no system 'magic'"):
        separate_sound(sound, Choices("magic"), systems)


def test_the_trained_systems_of_a_run_are_offered(model_file, tmp_path):
    run = model_file.parents[2]
    assert f"tiny sce (of {run.name})" in Systems(run=run).names
    with pytest.raises(UserError, match="contains no trained model"):
        Systems(run=tmp_path)


def test_progress_adds_up_and_can_stop(systems):
    shares = []
    separate_sound(make_mixture(WOMAN, MAN, 0.0), Choices(systems.names[0]), systems, shares.append)
    assert sum(shares) == pytest.approx(1.0, abs=0.01)

    def refuse(share):
        raise Stopped

    with pytest.raises(Stopped):
        separate_sound(make_mixture(WOMAN, MAN, 0.0), Choices(systems.names[0]), systems, refuse)


def test_every_figure_has_a_caption_with_its_content(result):
    share = (result.details.masks * result.details.magnitudes**2).sum(axis=(1, 2))
    figure, caption = drawing.spectrogram(result)
    assert f"voice 1 (blue) has {share[0] / share.sum():.0%}" in caption and drawing.png(figure)[1:4] == b"PNG"
    assert "the mask of voice 2 is the largest in" in drawing.masks(result)[1]
    assert f"Confidence: {result.separation.confidence:.2f}" in drawing.who_speaks_when(result)[1]
    html = markup.pictures(result)
    assert html.count("<img alt=") == html.count("<figcaption>") == 3


def test_six_voices_have_colours(systems):
    """There are five colours."""
    six = separate_sound(make_mixture(WOMAN, MAN, 0.0), Choices(systems.names[0], 6), systems)
    assert "voice 6 (blue) has" in drawing.spectrogram(six)[1] and drawing.colour(5) == drawing.colour(0)


@pytest.mark.parametrize(("low", "probabilities", "kind", "words"), [
    (False, {1: 0.1, 2: 0.9}, "clear", "2 people, clear."),
    (True, {1: 0.1, 2: 0.9}, "unsure", "2 people, but these voices may each hold parts of the other: listen to them."),
    (False, {1: 0.4, 2: 0.6}, "unsure", "2 people, unsure (1 is almost as likely): listen, or press Try 1."),
    (None, {1: 0.1, 2: 0.9}, "", "2 people."),
    (True, None, "unsure", "These voices may each hold parts of the other: listen to them."),
    (False, None, "clear", "2 voices, as chosen: clear."), (None, None, "", "2 voices, as chosen.")])
def test_the_verdict_has_words_and_a_kind(result, low, probabilities, kind, words):
    """The kind is the colour, and a sign that needs no colour."""
    count = probabilities and SpeakerCount(2, probabilities=probabilities)
    changed = replace(result, separation=replace(result.separation, low_confidence=low, count=count))
    html = markup.verdict(changed)
    assert f'class="verdict {kind}"' in html and f"{words}</p>" in html
    assert [sign in html for sign in markup.SIGNS.values()] == [kind == name for name in markup.SIGNS]
    assert markup.alternative(changed) == (1 if "Try 1" in words else None)
    table = markup.details(changed, "sce")
    assert ('id="probabilities"' in table) == bool(probabilities)
    if probabilities:
        assert f"<td>{probabilities[1]:.0%}</td><td>{probabilities[2]:.0%}</td>" in table


@pytest.fixture(scope="module")
def shipped():
    return Systems()


@pytest.mark.parametrize("index", [0, 1])
def test_a_person_comes_first_under_the_own_name(shipped, index, tmp_path):
    """The sound in which a person talks alone is another sentence."""
    speaker, name = (WOMAN, MAN)[index], "Anna & co"
    alone = Sound(make_mixture(WOMAN, MAN, 0.0, sentence=4).sources[index], 10000, "alone")
    mixture = make_mixture(WOMAN, MAN, 0.0, sentence=1)
    found = separate_sound(mixture, Choices(shipped.names[0], 2, people={name: alone}), shipped)
    assert found.names == [name, "Voice 2"] and found.true_voices() == [index, 1 - index]
    assert mixture.source_names[index] == f"speaker {speaker}"
    [anna] = found.separation.people
    assert 0.5 < anna.probability < 1
    assert f"<p>Anna &amp; co is present (probability {anna.probability:.0%}).</p>" in markup.verdict(found)
    assert 'aria-label="Anna &amp; co"' in markup.voices(found, tmp_path)
    caption = drawing.spectrogram(found)[1]
    assert "Anna & co (blue) has" in caption and "voice 2 (orange) has" in caption
    figure, caption = drawing.masks(found)
    assert "the mask of Anna & co is the largest" in caption
    assert [panel.get_title("left") for panel in figure.axes[:2]] == ["Anna & co", "voice 2"]
    figure, caption = drawing.who_speaks_when(found)
    assert caption.startswith("Anna & co (blue) speaks: ") and "Voice 2 (orange) speaks: " in caption
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == ["Anna & co", "voice 2"]
    plotted = json.loads(drawing.embeddings(found.projection, found.labels)[0])["data"]
    assert [trace["name"] for trace in plotted] == ["Anna & co", "voice 2"]
    absent = replace(anna, present=False, probability=0.04)
    lost = replace(found, separation=replace(found.separation, people=(absent,)))
    assert lost.names == ["Voice 1", "Voice 2"]
    assert "<p>Anna &amp; co is not present (probability 4%).</p>" in markup.verdict(lost)


@pytest.mark.parametrize(("name", "words"), [("Anna", "the recording of Anna is silent; give a few seconds"),
                                             ("<b>", "the name '<b>' contains '<'; give a name"),
                                             ("2", "the name '2' is a number")])
def test_people_who_cannot_be_enrolled_are_refused(shipped, name, words):
    silent = {name: Sound(np.zeros(20000, np.float32), 10000, "silence")}
    with pytest.raises(UserError, match=words):
        separate_sound(make_mixture(WOMAN, MAN, 0.0), Choices(shipped.names[0], 2, people=silent), shipped)


def test_one_voice_has_captions_too(systems):
    one = separate_sound(make_mixture(WOMAN, MAN, 0.0), Choices(systems.names[0], 1), systems)
    assert "is 1 everywhere" in drawing.masks(one)[1]
    assert "no confidence" in drawing.who_speaks_when(one)[1]


def test_silence_can_be_shown(systems):
    silent = separate_sound(Sound(np.zeros(20000, np.float32), 10000, "silence"), Choices(systems.names[0], 2), systems)
    assert "The recording is silent, so there is no confidence." in drawing.who_speaks_when(silent)[1]
    assert "clear" not in markup.verdict(silent)
    assert silent.projection is None and "never" in drawing.who_speaks_when(silent)[1]
    assert "no bin is active" in drawing.masks(silent)[1]
    assert "described below" in markup.pictures(silent)


def test_the_plot_contains_the_embeddings_of_active_bins(result):
    figure, caption = drawing.embeddings(result.projection, result.labels)
    data = json.loads(figure)["data"]
    assert [trace["name"] for trace in data] == ["voice 1", "voice 2"]
    assert sum(len(trace["x"]) for trace in data) == len(result.projection.points) <= results.MAX_POINTS
    assert "nearest centroids" in caption and f"{result.projection.n_bins:,}" in caption


def test_true_voices_are_beside_their_estimates(result, systems):
    """An estimate and its true voice have the largest SI-SDR, also if there are more voices than sources."""
    swapped = replace(result, separation=result.separation.reordered([1, 0]))
    assert [*reversed(swapped.true_voices())] == result.true_voices()
    assert {*result.true_voices()} == {0, 1}
    three = separate_sound(result.sound, Choices(systems.names[0], 3), systems)
    assert sorted(three.true_voices(), key=str) == [0, 1, None]
    unknown = replace(result, sound=Sound(result.sound.signal, 10000, "unknown sources"))
    assert unknown.true_voices() == [None, None]


def test_all_files_of_a_result_are_written(result, tmp_path):
    downloads.write_result(result, tmp_path)
    signals = {file.stem: soundfile.read(file)[0] for file in tmp_path.glob("*.wav")}
    assert sorted(signals) == ["mixture", "true_1", "true_2", "voice_1", "voice_2"]
    scale = np.abs(signals["mixture"]).max() / np.abs(result.sound.signal).max()
    for number in (1, 2):
        np.testing.assert_allclose(signals[f"voice_{number}"], scale * result.voices[number - 1], atol=1e-3)
        np.testing.assert_allclose(signals[f"true_{number}"], scale * result.sound.sources[number - 1], atol=1e-3)
    described = json.loads((tmp_path / "separation.json").read_text())
    assert [voice["file"] for voice in described["voices"]] == ["voice_1.wav", "voice_2.wav"]
    segments = result.separation.activity.segments()
    assert (tmp_path / "speakers.rttm").read_text().count("SPEAKER") == sum(map(len, segments))
    labels = [line.split("\t") for line in (tmp_path / "labels.txt").read_text().splitlines()]
    assert sorted(labels) == sorted([f"{start:.3f}", f"{end:.3f}", f"Voice {number}"]
                                    for number, of_voice in enumerate(segments, 1) for start, end in of_voice)
    with zipfile.ZipFile(tmp_path / "voices.zip") as archive:
        assert archive.testzip() is None
        assert {*archive.namelist()} == {"voice_1.wav", "voice_2.wav", "separation.json", "speakers.rttm", "labels.txt"}
        assert archive.read("voice_2.wav") == (tmp_path / "voice_2.wav").read_bytes()


def test_labels_are_ordered_by_their_start():
    labels = downloads.audacity_labels([[(0.5, 1.25), (3.0, 4.0)], [(0.0, 2.0)]], ["Anna", "Voice 2"])
    assert labels == "0.000\t2.000\tVoice 2\n0.500\t1.250\tAnna\n3.000\t4.000\tAnna\n"


def test_the_player_has_a_track_for_each_sound(result, tmp_path):
    html = markup.voices(result, tmp_path)
    assert html.count("<voice-player") == 1 and html.count('class="track"') == 5
    assert html.count('class="mute" aria-pressed="true"') == 3  # all voices together are the recording
    true = result.true_voices()[0]
    assert html.index('data-name="voice_1"') < html.index(f'data-name="true_{true + 1}"') < html.index(
        'data-name="voice_2"')
    assert f"True voice 1: {result.sound.source_names[true]}" in html
    for file, title in downloads.DOWNLOADS.items():
        assert f'<a href="voices/{tmp_path.name}/{file}" download="{file}">{title}</a>' in html
    assert 'class="mute"' not in markup.preview(result.sound, tmp_path)


def test_a_waveform_shows_the_peaks():
    signal = np.zeros(1000)
    signal[500] = -0.75
    path = player.waveform(signal)
    assert path.count("0.75") == 2 and "L200 -0.75" in path and path.count("L") == 2 * player.COLUMNS - 1
    assert player.waveform(np.ones(3)).count("1.00") == 2 * player.COLUMNS  # shorter than the picture is wide


def test_messages_are_escaped():
    assert "&lt;b&gt;" in markup.message("<b>") and 'role="alert"' in markup.message("no", failed=True)


def test_visitors_are_separate_and_their_files_are_deleted(tmp_path):
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


def test_files_are_deleted_after_an_hour(tmp_path, monkeypatch):
    """The times of files and the date of the computer do not matter."""
    now = [1000.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    monkeypatch.setattr("time.time", lambda: 0.0)
    visitors = Visitors(tmp_path / "root")
    voices, upload = visitors.folder("one"), visitors.new_upload("talk.wav")
    upload.write_text("sound")
    now[0] += 1800
    later = visitors.new_upload("talk.wav")
    later.write_text("sound")
    now[0] += 1800
    visitors.expire()
    assert voices.is_dir() and visitors.is_upload(upload)
    now[0] += 1
    visitors.expire()
    assert not voices.exists() and not upload.parent.exists() and not visitors.is_upload(upload)
    assert visitors.is_upload(later) and visitors.folder("one").is_dir()


def test_the_space_of_all_visitors_is_limited(tmp_path, monkeypatch):
    monkeypatch.setattr("lab41_sce.demo.sessions.MAX_STORED_BYTES", 100)
    visitors = Visitors(tmp_path / "root")
    upload = visitors.new_upload("talk.wav")
    upload.write_bytes(bytes(101))
    for use in (visitors.folder, visitors.new_upload):
        with pytest.raises(UserError, match="try again in an hour"):
            use("another")
    visitors.delete_upload(upload)
    assert visitors.folder("another").is_dir()
    monkeypatch.setattr("lab41_sce.demo.sessions.MAX_FOLDERS", 1)
    with pytest.raises(UserError, match="at most 1e-07 GB in 1; try again"):
        visitors.new_upload("talk.wav")


def test_files_that_vanish_while_the_space_is_measured_do_not_count(tmp_path, monkeypatch):
    """Other threads rename and delete their files meanwhile. A link to nothing is such a file."""
    visitors = Visitors(tmp_path / "root")
    upload = visitors.new_upload("talk.wav")
    upload.write_bytes(bytes(60))
    (upload.parent / ".voice.part.wav").symlink_to(tmp_path / "gone")
    assert visitors.folder("another").is_dir()
    monkeypatch.setattr("lab41_sce.demo.sessions.MAX_STORED_BYTES", 59)
    with pytest.raises(UserError, match="try again in an hour"):
        visitors.folder("third")


def test_a_result_is_released_after_it_was_shown(tmp_path):
    visitors = Visitors(tmp_path / "root")
    job = visitors.start("one", lambda progress: "result")
    [*job.watch(0.01)]
    newer = visitors.start("two", lambda progress: "another")
    visitors.finish("one", job)
    visitors.finish("two", job)  # an older job of a visitor who has started a new one
    assert not visitors.cancel("one") and visitors.cancel("two")
    assert newer is not job


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


def test_an_error_in_a_job_is_raised_while_it_is_watched():
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


def test_the_page_shows_mistakes_as_sentences(systems, tmp_path):
    pytest.importorskip("gradio", reason="the page needs Gradio; make test-browser installs it")
    from types import SimpleNamespace

    from lab41_sce.demo.layout import EXAMPLE, EXAMPLES, OWN, SOFT
    from lab41_sce.demo.page import Page

    page, visitor = Page(systems, Limits(seconds=1), Visitors(tmp_path / "root")), SimpleNamespace(session_hash="one")
    page.build()
    status, preview = page.layout.status, page.layout.preview
    settings = "2", systems.names[0], SOFT
    *_, last = page.separate(OWN, None, None, None, 0, 1, None, None, *settings, None, "", visitor)
    assert "there is no recording" in last[status] and "there is no recording" in last[page.layout.verdict]
    for message, sentence in (("HTTP 415: a.wav is not audio.", "</b> a.wav is not audio.<"),
                              ('File(s) exceed the maximum allowed size of 19 MB: "a.wav"',
                               "</b> a.wav has more than 20 MB, and this page accepts at most 20 MB; shorten it")):
        refused = page.refuse(message, visitor)
        assert sentence in refused[status] and sentence in refused[page.layout.verdict]
        assert not refused[page.layout.sounds]
    file = page.visitors.new_upload("talk.wav")
    soundfile.write(file, np.ones(16000), 8000)
    chosen = page.choose(OWN, None, None, None, 0, 1, str(file), None, visitor)
    assert "lasts 2 s" in chosen[status] and not chosen[preview]
    assert "lasts 2 s" in page.change_person(*settings, str(file), "", visitor)[status]  # the person's recording
    assert "there is no recording" in page.change_person(*settings, str(tmp_path / "other.wav"), "", visitor)[status]
    page.limits = Limits()
    chosen = page.choose(EXAMPLE, next(iter(EXAMPLES)), None, None, 0, 1, None, None, visitor)
    assert "Press Separate" in chosen[status] and "<voice-player" in chosen[preview]
    assert "nothing to cancel" in page.cancel(SimpleNamespace(session_hash="two"))[status]
    page.leave(visitor)
    assert not Path(file).exists()  # uploads are deleted when the visitor leaves
    assert not [*page.visitors.voices.iterdir()]  # previews, too


def test_a_new_choice_stops_the_separation_and_clears_the_result(systems, tmp_path, monkeypatch):
    gr = pytest.importorskip("gradio", reason="the page needs Gradio; make test-browser installs it")
    from types import SimpleNamespace

    from lab41_sce.demo import page as module
    from lab41_sce.demo.layout import MIXTURE, SOFT

    page, visitor = module.Page(systems, Limits(), Visitors(tmp_path / "root")), SimpleNamespace(session_hash="one")
    page.build()
    layout = page.layout
    sound = MIXTURE, None, WOMAN, MAN, 0, 1, None, None
    settings, show = ("2", systems.names[0], SOFT, None, ""), page._show

    def choose_meanwhile(*arguments):
        cleared = page.change("3", *settings[1:], visitor)
        assert cleared[layout.sounds] == "" and cleared[layout.verdict] == markup.IDLE
        return show(*arguments)

    monkeypatch.setattr(page, "_show", choose_meanwhile)
    steps = [*page.separate(*sound, *settings, visitor)]
    assert "Working" in steps[0][layout.verdict] and steps[0][layout.sounds] == ""
    assert "you chose something else" in steps[-1][layout.status] and steps[-1][layout.sounds] == ""

    def choose_the_same_meanwhile(*arguments):
        """The event of a choice can be slower than that of the button, which was pressed later."""
        assert page.choose(*sound, visitor).keys() == {layout.preview} and page.change(*settings, visitor) == {
            layout.status: gr.skip()}
        return show(*arguments)

    monkeypatch.setattr(page, "_show", choose_the_same_meanwhile)
    *_, last = page.separate(*sound, *settings, visitor)
    assert "Done in" in last[layout.status] and "<voice-player" in last[layout.sounds]
    assert page.choose(*sound[:2], MAN, WOMAN, *sound[4:], visitor)[layout.sounds] == ""

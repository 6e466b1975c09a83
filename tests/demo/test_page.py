"""The page in a real browser: `make test-browser` installs what this needs, and runs it."""

import io
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
import zipfile
from pathlib import Path
from urllib.parse import urlparse
from urllib.request import urlopen

import av
import numpy as np
import pytest
import scipy.signal
import soundfile

HINT = "make test-browser installs it"
pytest.importorskip("gradio", reason=f"the page needs Gradio; {HINT}")
playwright = pytest.importorskip("playwright.sync_api", reason=f"Playwright drives the browser; {HINT}")
BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
if BROWSER is None:
    pytest.skip(f"there is no Chromium here; {HINT}, where it may", allow_module_level=True)

EXAMPLE_SECONDS, EXAMPLE_RATE_HZ = 7.45, 16_000
PATIENCE_MS = 180_000  # other programs may take most of the machine
# A sandbox is not to be had as root; WebGL without a graphics card is SwiftShader's.
FLAGS = ["--no-sandbox", "--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--use-fake-ui-for-media-stream",
         "--use-fake-device-for-media-stream"]
# All that goes to the loudspeakers also goes to `meter`, which keeps the last 32,768 samples.
METER = """
const connect = AudioNode.prototype.connect;
AudioNode.prototype.connect = function (target, ...more) {
    if (target instanceof AudioDestinationNode) {
        if (window.meter?.context !== this.context) window.meter = new AnalyserNode(this.context, {fftSize: 32768});
        connect.call(this, window.meter);
    }
    return connect.call(this, target, ...more);
};"""
SAMPLES = """([player, seconds]) => new Promise((resolve, reject) => {
    const position = document.querySelector(`${player} input[type=range]`), start = Number(position.value);
    setTimeout(() => reject(new Error("The player does not play.")), 60000);
    const step = () => {
        if (position.value < start + seconds) return requestAnimationFrame(step);
        const samples = new Float32Array(meter.fftSize);
        meter.getFloatTimeDomainData(samples);
        resolve([...samples]);
    };
    step();
})"""
DURATIONS = """(places) => Promise.all(places.map(async (place) => {
    const content = await (await fetch(place)).arrayBuffer();
    return (await new OfflineAudioContext(1, 1, 16000).decodeAudioData(content)).duration;
}))"""


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """Start the page with small limits; return its address and the parent folder of its visitors' folders."""
    folder = tmp_path_factory.mktemp("server")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with open(folder / "log.txt", "w") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "lab41_sce.demo", "--port", str(port), "--max-megabytes", "2.5", "--max-seconds",
             "130"],
            env=os.environ | {"TMPDIR": str(folder)}, stdout=log, stderr=subprocess.STDOUT)
        address = f"http://127.0.0.1:{port}/"
        try:
            wait(lambda: answers(address) or process.poll() is not None)
            assert process.poll() is None, (folder / "log.txt").read_text()
            [private] = folder.glob("lab41_sce_demo_*")
            yield address, private
            with urlopen(f"{address}gradio_api/heartbeat/somebody"):  # a browser that is still open
                process.terminate()
                assert process.wait(30) == 0, (folder / "log.txt").read_text()
            assert not private.exists()  # with all files of visitors
        finally:
            process.kill()
    log = (folder / "log.txt").read_text()
    assert log.startswith("The page is at http://127.0.0.1:") and log.count("\n") == 1, log


@pytest.fixture(scope="module")
def browser():
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=BROWSER, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def visit(browser, server):
    """Return a function that opens the page as a new visitor; afterwards, no request may have gone elsewhere."""
    hosts, contexts = set(), []

    def open_page(width=1280, height=900, **options):
        context = browser.new_context(viewport={"width": width, "height": height}, **options)
        contexts.append(context)
        context.add_init_script(METER)
        context.on("request", lambda request: hosts.add(urlparse(request.url).netloc))
        page = context.new_page()
        page.set_default_timeout(PATIENCE_MS)
        page.goto(server[0])
        page.locator("#preview voice-player").wait_for()
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert hosts - {""} == {urlparse(server[0]).netloc}  # data: and blob: have no host


def wait(condition, seconds=120):
    """Wait until a condition holds."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.2)


def answers(address):
    try:
        with urlopen(address, timeout=5) as answer:
            return answer.status == 200
    except OSError:
        return False


def status(page):
    return page.locator("#status .status").inner_text()


def choose(page, label):
    page.get_by_label(label, exact=True).check()


def separate(page):
    page.get_by_role("button", name="Separate").click()


def done(page):
    """Wait for a result; an error message fails the test."""
    page.locator("#status .status", has_text=re.compile("Done|Error")).wait_for()
    assert "Done" in status(page)
    page.locator("#sounds .track").first.wait_for()


def upload(page, file):
    """Upload a file, and return the status message about it."""
    choose(page, "A file of your own")
    page.locator("#status", has_text="Choose a file").wait_for()
    page.locator("#file input[type=file]").set_input_files(str(file))
    wait(lambda: "Choose a file" not in status(page))
    return status(page)


def refused_upload(page, file):
    """Upload a file that the page refuses; return the error message, which is in the status and in the result."""
    choose(page, "A file of your own")
    page.locator("#status", has_text="Choose a file").wait_for()
    page.locator("#file input[type=file]").set_input_files(str(file))
    page.locator("#status [role=alert]", has_text=file.name).wait_for()
    page.get_by_test_id("toast-body").wait_for(state="detached")
    assert page.locator("#result .failed").inner_text() == status(page) and page.get_by_text("HTTP").count() == 0
    return status(page)


def durations(page, player="#sounds"):
    """Decode the sounds of a player in the browser; return their durations in seconds."""
    return page.evaluate(DURATIONS, [source for source, _ in tracks(page, player).values()])


def tracks(page, player="#sounds"):
    """Return address and title of each track of a player, by name."""
    found = page.locator(f"{player} .track")
    found.first.wait_for()
    return {track.get_attribute("data-name"): (track.get_attribute("data-source"),
                                               track.locator(".title").inner_text()) for track in found.all()}


def sound(page, name, player="#sounds"):
    """Fetch a sound of a player: its address, and its samples `[N]`."""
    address, _ = tracks(page, player)[name]
    return address, soundfile.read(io.BytesIO(page.request.get(page.url + address).body()))[0]


def hear(page, player="#sounds", start=2.0, seconds=2.4):
    """Play for some seconds from a time on; return the last samples that went to the loudspeakers, and pause."""
    page.locator(f"{player} input[type=range]").fill(str(start))
    page.locator(f"{player} .play").click()
    samples = np.array(page.evaluate(SAMPLES, [player, seconds]))
    page.get_by_role("button", name="Pause").click()
    return samples


def error_db(samples, expected):
    """Return the level of what differs from the best-fitting part of a sound, relative to that part."""
    samples = np.trim_zeros(samples)  # before the beginning and after the end of the sound
    assert len(samples) > 5000
    products = scipy.signal.correlate(expected, samples, "valid")
    energies = scipy.signal.correlate(expected**2, np.ones(len(samples)), "valid")
    place = np.argmax(products / np.sqrt(np.maximum(energies, 1e-9)))
    part = expected[place : place + len(samples)]
    return 20 * np.log10(np.linalg.norm(samples - part) / np.linalg.norm(part))


def in_view(page, selector):
    """Return whether an element is on the screen as a whole."""
    box, size = page.locator(selector).bounding_box(), page.viewport_size
    return box["y"] >= 0 and box["x"] >= 0 and box["y"] + box["height"] <= size["height"] + 1 and (
        box["x"] + box["width"] <= size["width"])


def write_sound(path, seconds, rate_hz=8000, seed=0):
    """Write noise that comes and goes."""
    time_seconds = np.arange(round(seconds * rate_hz)) / rate_hz
    noise = np.random.default_rng(seed).standard_normal(len(time_seconds))
    soundfile.write(path, 0.1 * noise * np.clip(np.sin(6 * time_seconds), 0, 1), rate_hz, "PCM_16")
    return path


def test_the_chosen_sound_is_heard_before_it_is_separated(visit):
    page = visit()
    assert durations(page, "#preview") == pytest.approx([EXAMPLE_SECONDS], abs=0.05)
    _, expected = sound(page, "mixture", "#preview")
    assert error_db(hear(page, "#preview"), expected) < -60
    for kind in ("Two women (hard)", "A mixture of two speakers"):
        before = tracks(page, "#preview")
        choose(page, kind)
        wait(lambda: tracks(page, "#preview") != before)  # noqa: B023
        assert tracks(page, "#preview")["mixture"][1] in (kind, "speakers 3 (woman) and 13 (man)")
    _, expected = sound(page, "mixture", "#preview")
    assert error_db(hear(page, "#preview", 0, 1), expected) < -60  # the sound of the new choice


def test_the_voices_play_in_step_alone_and_together(visit):
    """What goes to the loudspeakers is compared with the files: of the only voice that plays, or of the sum of all."""
    page = visit()
    separate(page)
    done(page)
    assert durations(page) == pytest.approx([EXAMPLE_SECONDS] * 3, abs=0.05)  # the recording and two voices
    mixture, one, two = (sound(page, name)[1] for name in ("mixture", "voice_1", "voice_2"))

    def press(name):
        page.get_by_role("button", name=name, exact=True).click()

    assert error_db(hear(page), one + two) < -60 and error_db(one + two, mixture) < -40
    press("Solo: only Voice 1")
    heard = hear(page)
    assert error_db(heard, one) < -60 and error_db(heard, two) > -10
    press("Solo: only Voice 2")
    assert error_db(hear(page), two) < -60
    press("Solo: only Recording")
    assert error_db(hear(page), mixture) < -60
    press("Solo: only Recording")
    press("Mute Voice 1")
    assert error_db(hear(page), two) < -60
    press("Mute Voice 2")
    assert np.abs(hear(page)).max() < 1e-6
    pressed = page.locator("#sounds [aria-pressed=true]").evaluate_all("all => all.map(one => one.ariaLabel)")
    assert pressed == ["Mute Recording", "Mute Voice 1", "Mute Voice 2"]


def test_the_player_works_with_the_keyboard(visit):
    page = visit()
    separate(page)
    done(page)
    page.locator("#sounds .play").focus()
    page.keyboard.press("Space")
    page.wait_for_function("document.querySelector('#sounds input[type=range]').value > 0.3")
    page.keyboard.press("Space")
    assert page.locator("#sounds .play").inner_text() == "Play"
    page.keyboard.press("Tab")
    slider = page.locator("#sounds input[type=range]")
    assert slider.evaluate("one => one === document.activeElement")
    page.keyboard.press("Home")
    for _ in range(10):
        page.keyboard.press("ArrowRight")
    assert slider.get_attribute("aria-valuetext") == f"1.0 of {EXAMPLE_SECONDS:.1f} seconds"
    names = []
    for _ in range(4):
        page.keyboard.press("Tab")
        names.append(page.evaluate("document.activeElement.ariaLabel"))
    assert names == ["Mute Recording", "Solo: only Recording", "Download Recording (WAV)", "Mute Voice 1"]
    page.keyboard.press("Enter")
    assert page.get_by_role("button", name="Mute Voice 1").get_attribute("aria-pressed") == "true"


def test_the_result_has_a_verdict_downloads_and_details(visit, tmp_path):
    page = visit()
    separate(page)
    done(page)
    assert page.locator("#verdict").inner_text().endswith("2 people, clear.")
    green = page.locator("#verdict").evaluate("one => getComputedStyle(one).borderLeftColor")
    assert green == "rgb(22, 128, 60)" and not page.locator("#again").is_visible()
    files = {}
    for name in ("All voices (ZIP)", "JSON", "RTTM", "Labels for Audacity", "Download Voice 2 (WAV)"):
        with page.expect_download() as download:
            page.get_by_role("link", name=name).click()
        files[name] = tmp_path / download.value.suggested_filename
        download.value.save_as(files[name])
    assert [*zipfile.ZipFile(files["All voices (ZIP)"]).namelist()][:2] == ["voice_1.wav", "voice_2.wav"]
    assert json.loads(files["JSON"].read_text())["speakers"] == 2
    assert files["RTTM"].read_text().startswith("SPEAKER")
    assert re.fullmatch(r"([\d.]+\t[\d.]+\tVoice \d\n)+", files["Labels for Audacity"].read_text())
    assert soundfile.info(files["Download Voice 2 (WAV)"]).duration == pytest.approx(EXAMPLE_SECONDS, abs=0.05)

    shown = page.locator("body").inner_text()
    assert not re.search("[Ee]mbedding|[Mm]asks? of|[Bb]inary|SDR|[Pp]robabilit", shown)
    page.get_by_role("button", name="Advanced: masks and numbers").click()
    page.locator("#probabilities").wait_for()
    assert "Probability" in page.locator("#probabilities").inner_text()
    for picture in page.locator("figure img").all():
        assert picture.get_attribute("alt") and picture.evaluate("one => one.naturalWidth") > 300
    captions = " ".join(page.locator("figcaption").all_inner_texts())
    assert all(word in captions for word in ("Of the energy", "active bins", "speaks", "Confidence"))
    assert page.locator("#scores").count() == 0  # the sources are unknown


def test_an_uncertain_number_offers_another_one(visit):
    page = visit()
    choose(page, "Three people (hard)")
    page.locator("#status", has_text="Three people").wait_for()
    separate(page)
    done(page)
    words = page.locator("#verdict").inner_text()
    number = re.search(r"unsure \((\d) is .+press Try \1\.", words)[1]
    amber = page.locator("#verdict").evaluate("one => getComputedStyle(one).borderLeftColor")
    assert "⚠" in words and amber == "rgb(180, 95, 6)"
    page.get_by_role("button", name=f"Try {number}").click()
    page.locator(f"#sounds .track[data-name=voice_{number}]").wait_for()
    assert page.get_by_label(number, exact=True).is_checked() and len(tracks(page)) == int(number) + 1
    assert not page.locator("#again").is_visible()


def test_a_person_is_found_and_named(visit, tmp_path):
    """The person is a synthetic speaker: the page is given another sentence of the second speaker of its mixture."""
    from lab41_sce.demo.sounds import make_mixture

    file = tmp_path / "alone.wav"
    soundfile.write(file, make_mixture("3 (woman)", "13 (man)", 0, sentence=4).sources[1], 10_000)
    page = visit()
    choose(page, "A mixture of two speakers")
    page.get_by_role("button", name="Find a person (optional)").click()
    page.get_by_label("Name").fill("Anna ${1+1} {{x}} &amp;")
    page.locator("#person input[type=file]").set_input_files(str(file))
    page.locator("#person audio, #person .waveform-container, #person canvas").first.wait_for(state="attached")
    page.locator("#status", has_text="Ready. Press Separate").wait_for()
    choose(page, "2")
    separate(page)
    done(page)
    titles = [title for _, title in tracks(page).values()]
    assert titles == ["Recording", "Anna ${1+1} {{x}} &amp;", "True voice 1: speaker 13 (man)", "Voice 2",
                      "True voice 2: speaker 3 (woman)"]
    assert re.search(r"Anna .+ &amp; is present \(probability \d\d%\)\.", page.locator("#verdict").inner_text())
    assert page.get_by_title("Share").count() == page.get_by_label("Share").count() == 0
    page.get_by_role("button", name="Solo: only True voice 1").click()
    true = sound(page, [*tracks(page)][2])[1]
    assert error_db(hear(page, start=0, seconds=1.5), true) < -60


def test_a_new_choice_clears_the_result(visit):
    page = visit()
    separate(page)
    done(page)
    for change in (lambda: choose(page, "Two women (hard)"), lambda: choose(page, "2"),
                   lambda: choose(page, "A mixture of two speakers")):
        change()
        page.locator("#sounds .track").first.wait_for(state="detached")
        assert "press Separate" in page.locator("#result").inner_text() and "Press Separate" in status(page)
        assert not page.locator("#details").is_visible()
        separate(page)
        done(page)


def test_the_result_shows_the_work_and_the_status_stays_in_view(visit, tmp_path):
    long = write_sound(tmp_path / "talk.wav", 120)
    for width, height in ((1400, 900), (390, 844)):
        page = visit(width, height)
        assert in_view(page, "#separate") and in_view(page, "#status")
        assert "120.0 s" in upload(page, long)
        separate(page)
        page.locator("#result .working", has_text=re.compile(r"Working.+Separating, [1-9]\d?% done")).wait_for()
        assert page.locator("#result progress").get_attribute("aria-label") == "Progress"
        assert in_view(page, "#result .working") and in_view(page, "#status")  # a telephone has scrolled
        choose(page, "2")
        page.locator("#status", has_text=re.compile("Ready|you chose something else")).wait_for()
        page.locator("#result .working").wait_for(state="detached")
        choose(page, "An example")
        page.locator("#status", has_text="A woman and a man").wait_for()
        separate(page)
        done(page)
        page.get_by_role("button", name="Advanced: masks and numbers").click()
        page.locator(".js-plotly-plot canvas").first.wait_for()
        page.evaluate("window.scrollTo(0, document.documentElement.scrollHeight)")
        assert in_view(page, "#separate") and in_view(page, "#status")


def test_the_page_has_help(visit):
    page = visit()
    with page.context.expect_page() as opened:
        page.get_by_role("link", name="Help").click()
    assert opened.value.get_by_role("heading", name="Downloads").is_visible()


def test_a_film_is_separated(visit, tmp_path):
    file = tmp_path / "film.mp4"
    with av.open(str(file), "w") as container:
        video, audio = container.add_stream("mpeg4", 10), container.add_stream("aac", 16_000, layout="mono")
        video.width = video.height = 64
        samples = (0.1 * np.random.default_rng(0).standard_normal((1, 48_000))).astype(np.float32)
        frame = av.AudioFrame.from_ndarray(samples, "fltp", "mono")
        frame.sample_rate = 16_000
        pictures = [av.VideoFrame(64, 64, "yuv420p") for _ in range(30)]
        for stream, frames in ((audio, [frame]), (video, pictures)):
            for each in (*frames, None):
                container.mux(stream.encode(each))
    page = visit()
    assert "film.mp4: 3." in upload(page, file)
    assert durations(page, "#preview") == pytest.approx([3], abs=0.2)


def test_the_embeddings_turn_without_a_mouse(visit):
    page = visit()
    separate(page)
    done(page)
    page.get_by_role("button", name="Advanced: masks and numbers").click()
    page.locator(".js-plotly-plot canvas").first.wait_for()
    camera = "document.querySelector('.js-plotly-plot').layout.scene.camera.eye.x"
    before = page.evaluate(camera)
    slider = page.get_by_role("slider", name=re.compile("Turn"))
    slider.focus()
    for _ in range(4):
        slider.press("ArrowRight")
    page.wait_for_function(f"Math.abs({camera} - {before}) > 0.2")
    assert "nearest centroids" in page.locator("#vectors-caption").inner_text()


def test_it_works_with_the_keyboard_alone(visit):
    page = visit()

    def go_to(name):
        focused = "(document.activeElement.closest('label') || document.activeElement).innerText.trim()"
        for _ in range(40):
            page.keyboard.press("Tab")
            if page.evaluate(focused) == name:
                return
        raise AssertionError(f"Tab does not lead to {name}")

    go_to("A mixture of two speakers")
    page.keyboard.press("Space")
    page.get_by_label("First speaker (synthetic speech)").wait_for()
    go_to("Separate")
    page.keyboard.press("Enter")
    done(page)
    assert len(tracks(page)) == 5


def test_it_makes_a_mixture_and_scores_it(visit):
    page = visit(390, 844, color_scheme="dark")
    choose(page, "A mixture of two speakers")
    choose(page, "2")
    separate(page)
    done(page)
    page.get_by_role("button", name="Advanced: masks and numbers").click()
    page.locator("#scores").wait_for()
    sdr = [float(cell) for cell in page.locator("#scores td[data-metric=SDR]").all_inner_texts()]
    assert sdr[1] > sdr[0] > 5 > abs(sdr[2])  # the ideal mask's, this separation's, the mixture's own
    choose(page, "3")
    separate(page)
    page.locator("#sounds .track[data-name=voice_3]").wait_for()
    page.locator("#scores caption", has_text="cannot be scored").wait_for(state="attached")


def test_it_fits_a_telephone(visit):
    """Nothing is wider than the screen, and no label is cut."""
    page = visit(390, 844)
    cut = """[...document.querySelectorAll("label, button:not(.label-wrap), .label-wrap span, .title, .hint, h2")]
        .filter((one) => one.offsetParent && one.clientWidth && one.scrollWidth > one.clientWidth + 1)
        .map((one) => one.innerText)"""
    for kind in ("A mixture of two speakers", "A file of your own", "The microphone", "An example"):
        choose(page, kind)
        page.wait_for_timeout(500)
        assert page.evaluate("document.documentElement.scrollWidth") <= 390 and page.evaluate(cut) == []
    separate(page)
    done(page)
    page.get_by_role("button", name="Advanced: masks and numbers").click()
    page.locator(".js-plotly-plot canvas").first.wait_for()
    assert page.evaluate("document.documentElement.scrollWidth") <= 390 and page.evaluate(cut) == []


def test_unusable_recordings_give_a_sentence(visit, server, tmp_path):
    broken = tmp_path / "broken.wav"
    broken.write_bytes(b"RIFF" + bytes(2000))
    page = visit()
    message = refused_upload(page, broken)
    assert "broken.wav is not audio that can be decoded" in message and str(server[1]) not in message
    message = refused_upload(visit(), write_sound(tmp_path / "long.wav", 140))
    assert "long.wav lasts 140 s" in message and "lab41-sce separate" in message

    page = visit(390, 844)
    message = refused_upload(page, write_sound(tmp_path / "large.wav", 200))  # refused in the browser ...
    assert message.startswith("Error: large.wav has more than 2.5 MB, and this page accepts at most 2.5 MB; shorten")
    file = {"name": "large.wav", "mimeType": "audio/wav", "buffer": (tmp_path / "large.wav").read_bytes()}
    response = page.request.post(f"{server[0]}gradio_api/upload", multipart={"files": file})
    assert response.status == 413  # ... and by the server
    assert not [*server[1].rglob("large.wav")]
    page.wait_for_timeout(500)
    separate(page)  # a telephone scrolls to the sentence
    page.locator("#result .failed", has_text="there is no recording; record or upload one first").wait_for()
    page.wait_for_function("scrollY > 0")
    assert in_view(page, "#result .failed") and in_view(page, "#status")

    page.locator("#file input[type=file]").set_input_files(str(write_sound(tmp_path / "old.wav", 2)))
    page.locator("#status", has_text="old.wav: 2.0 s. Press Separate").wait_for()
    for file in server[1].rglob("old.wav"):  # as after an hour
        file.unlink()
    separate(page)
    page.locator("#status", has_text="The recording is not there any more; upload it again.").wait_for()
    page.get_by_test_id("toast-body").wait_for(state="detached")
    assert in_view(page, "#result .failed")
    for opened in page.context.browser.contexts:
        for shown in opened.pages:
            assert "Traceback" not in shown.content()


def test_a_long_run_can_be_cancelled(visit, tmp_path):
    page = visit()
    assert "120.0 s" in upload(page, write_sound(tmp_path / "talk.wav", 120))
    cancel = page.get_by_role("button", name="Cancel")
    assert cancel.is_disabled()
    separate(page)
    page.wait_for_function("!document.querySelector('#cancel').disabled")
    cancel.click()
    page.locator("#status", has_text="Cancelled").wait_for(timeout=5000)
    time.sleep(1)
    assert "Cancelled" in status(page) and cancel.is_disabled() and page.locator("#sounds .track").count() == 0
    choose(page, "An example")
    separate(page)  # waits only for the step that was running
    done(page)
    assert durations(page) == pytest.approx([EXAMPLE_SECONDS] * 3, abs=0.05)


def test_a_recording_is_made_with_the_microphone(visit):
    page = visit(permissions=["microphone"])
    choose(page, "The microphone")
    page.get_by_role("button", name=re.compile("^Record$", re.IGNORECASE)).click()
    page.wait_for_timeout(2500)
    page.get_by_role("button", name=re.compile("^Stop$", re.IGNORECASE)).click()
    page.locator("#status", has_text="Press Separate").wait_for()
    choose(page, "2")
    separate(page)
    done(page)
    assert min(durations(page)) > 1


def test_two_visitors_at_once_are_separate(visit, server, tmp_path):
    one, other = visit(), visit()
    for number, page in enumerate((one, other)):
        upload(page, write_sound(tmp_path / f"{number}.wav", 3 + number, seed=number))
        choose(page, "2")
    for page in (one, other):
        separate(page)
    for number, page in enumerate((one, other)):
        done(page)
        assert durations(page) == pytest.approx([3 + number] * 3, abs=0.05)
    (address, mine), (other_address, others) = sound(one, "voice_1"), sound(other, "voice_1")
    assert len(mine) != len(others) and Path(address).parent != Path(other_address).parent
    assert len([*server[1].glob("voices/*/voice_1.wav")]) >= 2 and server[1].stat().st_mode & 0o077 == 0
    one.context.close()
    private = server[1] / "voices" / Path(address).parent.name
    assert private.is_dir()
    wait(lambda: not private.exists() and not [*server[1].rglob("0.wav")])
    np.testing.assert_array_equal(sound(other, "voice_1")[1], others)  # this visitor is still there

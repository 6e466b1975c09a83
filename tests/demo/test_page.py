"""The page in a real browser: `make test-browser` installs what this needs, and runs it."""

import io
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path
from urllib.parse import urlparse
from urllib.request import urlopen

import numpy as np
import pytest
import soundfile
from PIL import Image

HINT = "make test-browser installs it"
pytest.importorskip("gradio", reason=f"the page needs Gradio; {HINT}")
playwright = pytest.importorskip("playwright.sync_api", reason=f"Playwright drives the browser; {HINT}")
BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
if BROWSER is None:
    pytest.skip(f"there is no Chromium here; {HINT}, where it may", allow_module_level=True)

PICTURES = Path(__file__).parents[2] / "build" / "page"
EXAMPLE_SECONDS = 7.45
PATIENCE_MS = 180_000  # other programs may take most of the machine
# A sandbox is not to be had as root; WebGL without a graphics card is SwiftShader's.
FLAGS = ["--no-sandbox", "--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--use-fake-ui-for-media-stream",
         "--use-fake-device-for-media-stream"]


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
            process.terminate()
            assert process.wait(30) == 0, (folder / "log.txt").read_text()
            assert not private.exists()  # with all files of visitors
        finally:
            process.kill()
    assert "A separation failed" not in (folder / "log.txt").read_text()


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
        context.on("request", lambda request: hosts.add(urlparse(request.url).netloc))
        page = context.new_page()
        page.set_default_timeout(PATIENCE_MS)
        page.goto(server[0])
        page.get_by_role("button", name="Separate").wait_for()
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
    page.locator("#status .status", has_text=re.compile("Done|error in the program")).wait_for()
    assert "Done" in status(page)
    page.locator("audio[data-name]").first.wait_for()


def upload(page, file):
    """Upload a file, and return the status message about it."""
    choose(page, "A recording of your own")
    before = status(page)
    page.locator("input[type=file]").first.set_input_files(str(file))
    wait(lambda: status(page) != before)
    return status(page)


def refused_upload(page, file):
    """Upload a file that the page refuses, and return the error message."""
    choose(page, "A recording of your own")
    page.locator("input[type=file]").first.set_input_files(str(file))
    return page.get_by_test_id("toast-body").inner_text()


def durations(page):
    """Wait until every player knows how long its sound is; return their durations in seconds."""
    page.locator("audio[data-name]").first.wait_for()
    page.wait_for_function("[...document.querySelectorAll('audio[data-name]')].every(one => one.duration > 0)")
    return page.evaluate("[...document.querySelectorAll('audio[data-name]')].map(one => one.duration)")


def sound(page, name):
    """Fetch what a player plays."""
    address = page.locator(f"audio[data-name={name}]").evaluate("one => one.src")
    return address, page.request.get(address).body()


def keep_picture(page, name):
    """Keep a picture of the whole page, with few enough colours to be small."""
    PICTURES.mkdir(parents=True, exist_ok=True)
    whole = Image.open(io.BytesIO(page.screenshot(full_page=True))).convert("RGB")
    whole.quantize(128, dither=Image.Dither.NONE).save(PICTURES / f"{name}.png", optimize=True)


def write_sound(path, seconds, rate_hz=8000, seed=0):
    """Write noise that comes and goes."""
    time_seconds = np.arange(round(seconds * rate_hz)) / rate_hz
    noise = np.random.default_rng(seed).standard_normal(len(time_seconds))
    soundfile.write(path, 0.1 * noise * np.clip(np.sin(6 * time_seconds), 0, 1), rate_hz, "PCM_16")
    return path


def test_it_separates_the_example_and_plays_a_voice(visit):
    page = visit()
    separate(page)
    done(page)
    assert durations(page) == pytest.approx([EXAMPLE_SECONDS] * 3, abs=0.05)  # the mixture and two voices
    voice = page.locator("audio[data-name=voice_1]")
    voice.evaluate("one => one.play()")
    page.wait_for_function("document.querySelector('audio[data-name=voice_1]').currentTime > 0.3")
    voice.evaluate("one => one.pause()")
    with page.expect_download() as download:
        page.get_by_role("link", name="Download voice 2").click()
    assert soundfile.info(download.value.path()).duration == pytest.approx(EXAMPLE_SECONDS, abs=0.05)
    for picture in page.locator("figure img").all():
        assert picture.get_attribute("alt") and picture.evaluate("one => one.naturalWidth") > 300
    captions = " ".join(page.locator("figcaption").all_inner_texts())
    assert page.locator("#verdict").inner_text() == "2 people, clear."
    assert all(word in captions for word in ("Of the energy", "active bins", "speaks", "Confidence"))
    assert page.locator("table.scores").count() == 0  # the sources are unknown
    page.locator(".js-plotly-plot canvas").first.wait_for()
    keep_picture(page, "desktop")


def test_the_embeddings_turn_without_a_mouse(visit):
    page = visit()
    separate(page)
    done(page)
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
    page.locator("table.scores").wait_for()


def test_it_makes_a_mixture_and_scores_it(visit):
    page = visit(390, 844, color_scheme="dark")
    choose(page, "A mixture of two speakers")
    choose(page, "2")
    separate(page)
    done(page)
    page.locator("table.scores").wait_for()
    sdr = [float(cell) for cell in page.locator("table.scores td[data-metric=SDR]").all_inner_texts()]
    assert sdr[1] > sdr[0] > 5 > abs(sdr[2])  # the ideal mask's, this separation's, the mixture's own
    keep_picture(page, "phone_dark")
    choose(page, "3")
    separate(page)
    page.locator("audio[data-name=voice_3]").wait_for()
    assert "cannot be scored" in page.locator("table.scores").inner_text()


def test_it_fits_a_telephone(visit):
    page = visit(390, 844)
    separate(page)
    done(page)
    durations(page)
    page.locator(".js-plotly-plot canvas").first.wait_for()
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    keep_picture(page, "phone")


def test_unusable_recordings_give_a_sentence(visit, server, tmp_path):
    broken = tmp_path / "broken.wav"
    broken.write_bytes(b"RIFF" + bytes(2000))
    page = visit()
    message = refused_upload(page, broken)
    assert "broken.wav is not audio that can be decoded" in message and str(server[1]) not in message
    separate(page)
    page.locator("#status [role=alert]").wait_for()

    assert "long.wav lasts 140 s" in refused_upload(visit(), write_sound(tmp_path / "long.wav", 140))

    page = visit()
    choose(page, "A recording of your own")
    page.locator("input[type=file]").first.set_input_files(str(write_sound(tmp_path / "large.wav", 200)))
    page.get_by_text(re.compile("exceed the maximum.+large.wav")).first.wait_for()  # refused in the browser ...
    file = {"name": "large.wav", "mimeType": "audio/wav", "buffer": (tmp_path / "large.wav").read_bytes()}
    response = page.request.post(f"{server[0]}gradio_api/upload", multipart={"files": file})
    assert response.status == 413  # ... and by the server
    assert not [*server[1].rglob("large.wav")]
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
    assert "Cancelled" in status(page) and cancel.is_disabled() and page.locator("audio[data-name]").count() == 0
    choose(page, "An example")
    separate(page)  # waits only for the step that was running
    done(page)
    assert durations(page) == pytest.approx([EXAMPLE_SECONDS] * 3, abs=0.05)


def test_a_recording_is_made_with_the_microphone(visit):
    page = visit(permissions=["microphone"])
    choose(page, "A recording of your own")
    page.get_by_role("button", name=re.compile("record", re.IGNORECASE)).first.click()
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
    assert mine != others and Path(address).parent != Path(other_address).parent
    assert len([*server[1].glob("voices/*/voice_1.wav")]) >= 2 and server[1].stat().st_mode & 0o077 == 0
    one.context.close()
    private = server[1] / "voices" / Path(address).parent.name
    assert private.is_dir()
    wait(lambda: not private.exists() and not [*server[1].rglob("0.wav")])
    assert sound(other, "voice_1")[1] == others  # this visitor is still there

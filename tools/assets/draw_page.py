"""The page of `lab41-sce demo` becomes pictures of its states, on a desktop and on a telephone.

    python tools/assets/draw_page.py results/model/page

needs what `make test-browser` installs.
"""

import io
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import soundfile
from PIL import Image
from playwright.sync_api import Page, sync_playwright

from lab41_sce.examples import FOLDER

SIZES = {"desktop": (1400, 900), "phone": (390, 844)}
PATIENCE_MS = 600_000
COLOURS = 128  # of a picture, so that it is small
LONG_SECONDS = 110


def idle(page: Page, folder: Path) -> None:
    """Open the page."""


def working(page: Page, folder: Path) -> None:
    """Separate a long recording, and wait for the first progress."""
    _upload(page, _long_recording(folder, LONG_SECONDS))
    page.locator("#status", has_text="Press Separate").wait_for()
    page.get_by_role("button", name="Separate").click()
    page.locator("#result .working", has_text=re.compile("[1-9]% done")).wait_for()


def done(page: Page, folder: Path) -> None:
    """Separate the first example, and play a voice alone."""
    page.get_by_role("button", name="Separate").click()
    page.locator("#sounds .track").nth(2).wait_for()
    page.get_by_role("button", name="Solo: only voice 1").click()


def unsure(page: Page, folder: Path) -> None:
    """Separate the hard example."""
    page.get_by_label("Three people (hard)").check()
    page.locator("#status", has_text="Three people").wait_for()
    done(page, folder)


def error(page: Page, folder: Path) -> None:
    """Upload a recording that is too long."""
    _upload(page, _long_recording(folder, LONG_SECONDS + 30))
    page.locator("#status .failed", has_text="lasts").wait_for()
    page.get_by_role("button", name="Separate").click()
    page.locator("#result .failed", has_text="there is no recording").wait_for()


def main(folder: Path) -> None:
    """Draw every state in every size into a folder."""
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    with tempfile.TemporaryDirectory() as temporary, sync_playwright() as driver:
        server = subprocess.Popen([sys.executable, "-m", "lab41_sce.demo", "--port", "0"], stdout=subprocess.PIPE,
                                  text=True)
        try:
            [address] = re.findall(r"http://\S+", server.stdout.readline())
            browser = driver.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
            for state in (idle, working, done, unsure, error):
                for name, (width, height) in SIZES.items():
                    picture = _draw(browser, address, (width, height), state, Path(temporary))
                    _save(picture, folder / f"{name}_{state.__name__}.png")
        finally:
            server.terminate()
            server.wait()


def _draw(browser, address: str, size: tuple[int, int], state: Callable[[Page, Path], None], folder: Path) -> bytes:
    """Bring a new visitor's page into a state, and return a picture of what is in view."""
    with browser.new_context(viewport=dict(zip(("width", "height"), size, strict=True))) as context:
        page = context.new_page()
        page.set_default_timeout(PATIENCE_MS)
        page.goto(address)
        page.locator("#preview voice-player").wait_for()
        state(page, folder)
        page.wait_for_timeout(1500)  # scrolling and fading end
        return page.screenshot()


def _save(picture: bytes, file: Path) -> None:
    """Save a picture with few colours."""
    file.parent.mkdir(parents=True, exist_ok=True)
    few = Image.open(io.BytesIO(picture)).convert("RGB").quantize(COLOURS, Image.Quantize.MAXCOVERAGE,
                                                                  dither=Image.Dither.NONE)
    few.save(file, optimize=True)


def _long_recording(folder: Path, seconds: int) -> Path:
    """Repeat an example."""
    signal, rate_hz = soundfile.read(FOLDER / "mixture.wav")
    soundfile.write(folder / "meeting.wav", np.resize(signal, seconds * rate_hz), rate_hz)
    return folder / "meeting.wav"


def _upload(page: Page, file: Path) -> None:
    """Choose a file of one's own."""
    page.get_by_label("A file of your own").check()
    page.locator("#file input[type=file]").set_input_files(str(file))


if __name__ == "__main__":
    main(Path(sys.argv[1]))

"""The served page over HTTP: uploads, voices, and whose requests it answers."""

import contextlib
import io
import json
import re
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import requests
import soundfile

pytest.importorskip("gradio", reason="the page needs Gradio; make test-browser installs it")
import uvicorn
from reliability.page_client import PageClient

from lab41_sce.audio.call_channels import CallChannels
from lab41_sce.demo import __main__ as command
from lab41_sce.demo.layout import OWN, SOFT
from lab41_sce.demo.page import Page
from lab41_sce.demo.serving import listen, make_app, serve
from lab41_sce.demo.sessions import Visitors
from lab41_sce.demo.sounds import Limits
from lab41_sce.demo.systems import FACTORISATION, Systems
from lab41_sce.errors import UserError


@contextlib.contextmanager
def running(visitors):
    """Serve a page on 127.0.0.1 with small limits; yield a client."""
    with pytest.MonkeyPatch.context() as patch, listen("127.0.0.1", 0) as listener:
        patch.setenv("GRADIO_TEMP_DIR", str(visitors.uploads))
        app = make_app(Page(Systems(), Limits(megabytes=1, seconds=10), visitors), "127.0.0.1")
        server = uvicorn.Server(uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=1))
        thread = threading.Thread(target=server.run, args=([listener],))
        thread.start()
        yield PageClient(f"http://127.0.0.1:{listener.getsockname()[1]}")
        server.should_exit = True
        thread.join()
    visitors.close()


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """Serve a page; return its visitors and a client."""
    visitors = Visitors(tmp_path_factory.mktemp("page") / "root")
    with running(visitors) as client:
        yield visitors, client


def sound(seconds=1.0):
    """Return the bytes of a recording of noise, 8 kHz."""
    file = io.BytesIO()
    soundfile.write(file, np.random.default_rng(0).uniform(-0.1, 0.1, round(8000 * seconds)), 8000, format="WAV")
    return file.getvalue()


def stored(visitors):
    """Name the files of all visitors."""
    return {file.name for file in visitors.root.rglob("*") if file.is_file()}


def test_every_answer_protects_its_visitor(served):
    _, client = served
    for path in ("/", "/config", "/no_such_page", "/assets/none.js", "/voices/none/voice_1.wav"):
        headers = client.request("GET", path).headers
        assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
        assert "Access-Control-Allow-Origin" not in headers


def test_other_hosts_and_other_sites_get_no_answer(served):
    visitors, client = served
    assert client.request("GET", "/", headers={"Host": "localhost"}).ok
    refused = client.request("GET", "/", headers={"Host": "evil.example"})
    assert refused.status_code == 421 and "host evil.example; open" in refused.text
    before = stored(visitors)
    refused = client.upload("talk.wav", sound(), headers={"Origin": "http://evil.example"})
    assert refused.status_code == 403 and "other site http://evil.example" in refused.text
    assert client.upload("talk.wav", sound(), headers={"Origin": client.url}).ok
    assert stored(visitors) - before == {"talk.wav"}


def test_no_answer_contains_a_path_of_the_server(served):
    visitors, client = served
    for path in ("/", "/config", "/gradio_api/info", "/voices/none"):
        assert str(visitors.root.parent) not in client.request("GET", path).text


@pytest.mark.parametrize("name", ["page.html", "page.wav", "picture.png", "talk.mp3", "talk"])
def test_uploads_that_are_no_sound_are_refused(served, name):
    visitors, client = served
    before = stored(visitors)
    refused = client.upload(name, b"<html><script>alert(1)</script></html>")
    assert refused.status_code == 415 and f"{name} is not audio that can be decoded" in refused.text
    assert stored(visitors) == before and refused.headers["Content-Type"].startswith("text/plain")


def test_an_upload_is_never_shown_as_a_page(served):
    """Whatever its name is, a browser plays or stores it."""
    visitors, client = served
    for name, kind in (("talk.wav", "audio/"), ("talk.html", "application/octet-stream"),
                       ("talk.svg", "application/octet-stream")):
        [path] = client.upload(name, sound()).json()
        answer = client.request("GET", f"/gradio_api/file={path}")
        assert answer.content == sound() and answer.headers["Content-Type"].startswith(kind)
        assert answer.headers["Content-Disposition"].startswith("attachment;")


@pytest.mark.parametrize("name", ["../../talk.wav", "..", "", "a/b/talk.wav", "\\talk.wav", 300 * "ü" + ".wav",
                                  "<b>.wav", ".lock", "talk\n.wav"])
def test_the_name_of_an_upload_stays_in_its_folder(served, name):
    visitors, client = served
    [path] = client.upload(name or "x", sound(0.1)).json()
    assert re.fullmatch(rf"{re.escape(str(visitors.uploads))}/[0-9a-f]{{32}}/[^/<]+", path)


def test_addresses_that_are_no_upload_are_refused(served):
    visitors, client = served
    [path] = client.upload("talk.wav", sound()).json()
    folder = path.rpartition("/")[0]
    for address in (folder, f"{folder}/", f"{folder}/..", f"{folder}/../../voices", str(visitors.root), "/etc/passwd",
                    f"{folder}/../{path.split('/')[-2]}/talk.wav", "http://127.0.0.1/talk.wav", f"/{path}%00"):
        assert client.request("GET", f"/gradio_api/file={address}").status_code in (400, 404)


def silence(seconds, rate_hz, n_channels):
    """Return the bytes of silence, which FLAC compresses to a few kilobytes."""
    file = io.BytesIO()
    soundfile.write(file, np.zeros((round(seconds * rate_hz), n_channels)), rate_hz, format="FLAC")
    return file.getvalue()


def test_an_upload_that_cannot_be_stored_is_reported(served, monkeypatch):
    visitors, client = served
    before = stored(visitors)

    def full(*arguments):
        raise OSError(28, "No space left on device", "/a/private/path")

    with monkeypatch.context() as patch:
        patch.setattr("shutil.copyfileobj", full)
        answer = client.upload("talk.wav", sound())
    assert answer.status_code == 507 and stored(visitors) == before
    assert answer.text == "talk.wav could not be stored (No space left on device); try again later."
    with monkeypatch.context() as patch:
        patch.setattr("lab41_sce.demo.sessions.MAX_FOLDERS", 0)
        assert client.upload("talk.wav", sound()).status_code == 507
    assert client.upload("talk.wav", sound()).ok


def test_a_recording_is_an_upload_and_no_other_file(served, tmp_path):
    """Gradio would copy the file into its own folder, or download it."""
    visitors, client = served
    secret = tmp_path / "secret.wav"
    secret.write_bytes(sound())
    [upload] = client.upload("talk.wav", sound()).json()
    before = stored(visitors)
    for path in (str(secret), "/etc/passwd", "/dev/zero", f"{visitors.root}/../secret.wav", "http://evil.example/a.wav",
                 f"{upload}/../../x", "relative.wav", "", 7):
        assert "Press Separate" not in client.check(path)
        recording = {"path": path, "meta": {"_type": "gradio.FileData"}}
        for own, person in ((recording, None), (None, recording)):
            outputs = client.call("separate", OWN, None, None, None, 0, 1, own, None, "2", FACTORISATION, SOFT, person,
                                  "Anna")
            sentence = json.loads(outputs[0])["error"]  # the form that Gradio shows
            assert "upload it again" in sentence or "no request of the page" in sentence
        assert stored(visitors) == before
    assert "Press Separate" in client.check(upload)
    client.call("leave")
    assert secret.exists() and not Path(upload).exists()


@pytest.mark.parametrize(("content", "status", "words"), [
    (silence(6, 48_000, 8), 415, "8 channels of 288,000 samples, and this page accepts at most 2,000,000"),
    (silence(0.1, 192_010, 1), 415, "a sample rate of 192,010 Hz"),
    (silence(1, 999, 1), 415, "a sample rate of 999 Hz"), (silence(11, 1000, 1), 415, "lasts 11 s"),
    (silence(1, 1000, 1) + bytes(1_020_000), 413, "1.0 MB")])
def test_recordings_beyond_a_limit_are_refused_before_they_are_decoded(served, monkeypatch, content, status, words):
    """A file of some kilobytes can hold many small samples."""
    visitors, client = served
    before = stored(visitors)
    monkeypatch.delattr(soundfile.SoundFile, "read")
    answer = client.upload("sound.flac", content)
    assert answer.status_code == status and words in answer.text and stored(visitors) == before


def test_recordings_at_the_limits_are_accepted(served):
    _, client = served
    for content in (silence(5, 48_000, 8), silence(10, 192_000, 1), silence(10, 1000, 8)):
        assert client.upload("sound.flac", content).ok


def test_the_page_has_help(served):
    answer = served[1].request("GET", "/help")
    assert answer.headers["Content-Type"].startswith("text/html") and "<h1>Separate voices" in answer.text
    assert "lab41-sce separate FILE" in answer.text and "frame-ancestors" in answer.headers["Content-Security-Policy"]


def test_two_visitors_have_voices_of_their_own(served):
    visitors, _ = served
    clients = [PageClient(served[1].url) for _ in range(2)]
    voices = []
    for number, client in enumerate(clients):
        [path] = client.upload("talk.wav", sound(0.5 + 0.5 * number)).json()
        recording = {"path": path, "meta": {"_type": "gradio.FileData"}}
        assert f"{0.5 + 0.5 * number:.1f} s. Press Separate" in client.check(path)
        outputs = client.call("separate", OWN, None, None, None, 0, 1, recording, None, "2", FACTORISATION, SOFT, None,
                              "")
        assert "Done in" in outputs[0]
        voices.append(re.findall(r'data-source="([^"]+)"', outputs[4]))
    assert len({*voices[0], *voices[1]}) == 6
    for number, (client, addresses) in enumerate(zip(clients, voices, strict=True)):
        for address in addresses:
            answer = client.request("GET", f"/{address}")
            assert answer.headers["Content-Type"] in ("audio/wav", "audio/x-wav")
            assert soundfile.info(io.BytesIO(answer.content)).duration == 0.5 + 0.5 * number
    clients[0].call("leave")
    assert clients[0].request("GET", f"/{voices[0][1]}").status_code == 404
    assert clients[1].request("GET", f"/{voices[1][1]}").ok


def test_a_recording_that_was_cut_is_reported(served):
    _, client = served
    [path] = client.upload("talk.wav", sound(1.0)[:12000]).json()
    assert "Note: the header and the size of the file disagree" in client.check(path)


def test_a_note_about_an_option_names_the_command(served, monkeypatch):
    """The page has no option to write channels as voices."""
    monkeypatch.setattr(CallChannels, "hold_one_person_each", lambda self: True)
    file = io.BytesIO()
    soundfile.write(file, np.random.default_rng(0).uniform(-0.5, 0.5, (8000, 2)), 8000, format="WAV")
    _, client = served
    [path] = client.upload("call.wav", file.getvalue()).json()
    assert ("as the voice of a person (this is an option of the command lab41-sce separate). Press Separate"
            in client.check(path))


def test_uploads_expire_while_the_page_runs(tmp_path):
    visitors = Visitors(tmp_path / "root", max_age_seconds=0.2)
    with running(visitors) as client:
        [path] = client.upload("talk.wav", sound()).json()
        end = time.monotonic() + 20
        while Path(path).exists() and time.monotonic() < end:
            time.sleep(0.02)
        assert not stored(visitors)
        assert client.request("GET", f"/gradio_api/file={path}").status_code == 404


def test_the_separation_needs_its_place_in_the_queue(served):
    _, client = served
    number = next(each["id"] for each in client.request("GET", "/config").json()["dependencies"]
                  if each["api_name"] == "separate")
    answer = requests.post(f"{client.url}/gradio_api/run/predict", timeout=10,
                           json={"fn_index": number, "data": 10 * [None], "session_hash": "me"})
    assert answer.status_code == 404


def test_the_server_reports_its_address_and_warns_of_the_network(served, monkeypatch, capsys, tmp_path):
    def interrupted(server, sockets):
        raise KeyboardInterrupt

    def output(host, port=0):
        visitors = Visitors(tmp_path / "root")
        with pytest.raises(KeyboardInterrupt):
            serve(Page(Systems(), Limits(), visitors), host, port)
        assert not visitors.root.exists()
        return capsys.readouterr()

    monkeypatch.setattr(uvicorn.Server, "run", interrupted)
    out, err = output("127.0.0.1")
    assert re.match(r"The page is at http://127.0.0.1:\d+/", out) and not err
    out, err = output("0.0.0.0")
    assert "http://localhost:" in out and err.count("\n") == 1
    assert "warning: with --host 0.0.0.0, everybody who reaches this computer" in err
    with listen("127.0.0.1", 0) as other, pytest.raises(UserError, match="cannot listen at 127.0.0.1, port .*in use"):
        serve(Page(Systems(), Limits(), Visitors(tmp_path / "root")), "127.0.0.1", other.getsockname()[1])


def test_the_command_line(capsys):
    assert command.parse(["--allow-host", "a.example", "--allow-host", "b.example"]).allow_host == ["a.example",
                                                                                                   "b.example"]
    with pytest.raises(SystemExit):
        command.parse(["--port", "65536"])
    assert "give 1 to 65535" in capsys.readouterr().err

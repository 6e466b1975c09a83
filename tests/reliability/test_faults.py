"""Kill commands, cut downloads, take speech away, start twice; then go on, and compare with an undisturbed run."""

import shutil
import tempfile
import threading
import time
from collections import Counter
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pandas as pd
from commands import Running, Tally, appeared, files, half_written, run, temporary
from subjects import (
    SUBSET,
    Subject,
    article,
    download,
    experiment,
    make_archive,
    make_corpus,
    make_recordings,
    separation,
    store,
)
from torture import part_main


def kills(campaigns, subject: Subject, n: int, n_aimed: int, scratch: Path) -> None:
    """Kill a command n times at random moments, then as often as told when a certain file appears."""
    tally, hop_reduction = Tally(), Counter()
    for moment in (np.arange(n) + np.random.default_rng(0).random(n)) / n * subject.seconds:
        folder = scratch / "killed"
        while not (process := Running(subject.start(folder))).kill(moment):
            process.end()
            shutil.rmtree(folder)
            moment *= 0.9  # it was quicker this time
        hop_reduction[subject.phase(folder)] += 1
        go_on(tally, subject, process, folder, f"killed after {moment:.2f} s")
    hit = ", ".join(f"{phase} {count}" for phase, count in sorted(hop_reduction.items()))
    campaigns.add(f"kill -9 of {subject.name}, at random moments", **vars(tally), note=f"hit: {hit}; {subject.about()}")
    tally, half = Tally(), 0
    for name in subject.kill_at[:n_aimed]:
        folder = scratch / "killed"
        process = Running(subject.start(folder))
        if process.wait_until(lambda folder=folder, name=name: appeared(folder, name)) and process.kill():
            half += bool(temporary(folder))
            go_on(tally, subject, process, folder, f"killed when {name} appeared")
        else:
            process.end()
            shutil.rmtree(folder)
    if n_aimed:
        campaigns.add(f"kill -9 of {subject.name}, while it writes", **vars(tally),
                      note=f"{half} left a file under a temporary name: {', '.join(subject.kill_at)}")


def go_on(tally: Tally, subject: Subject, stopped: Running, folder: Path, what: str) -> None:
    """Look at what a killed command has left, go on, and compare; then throw the folder away."""
    lost = half_written(folder)
    again = run(subject.again(folder))
    tally.case(f"{subject.name}, {what}", stopped.end(), again, lost=lost, wrong=subject.unlike(again, folder))
    shutil.rmtree(folder)


def two_at_once(campaigns, subject: Subject, scratch: Path, n: int) -> None:
    """Start a second run in the folder of one that is at work."""
    tally = Tally()
    for how in ((), ("resume=true",), ("overwrite=true",))[-n:]:
        folder = scratch / "twice"
        running = Running(subject.start(folder))
        running.wait_until((folder / "config.yaml").exists)
        second, first = run([*subject.start(folder), *how]), running.end()
        wrong = subject.unlike(first, folder) + ([] if second.told() else ["the second is not refused in a sentence"])
        tally.case(f"a second run with {how}", first, second, wrong=wrong)
        shutil.rmtree(folder)
    campaigns.add("a second run in the same folder", **vars(tally),
                  note="plain, with resume, with overwrite: refused, and the first finishes as if it were alone")


def two_separations(campaigns, subject: Subject, scratch: Path) -> None:
    """Separate the same recordings twice at once into one folder."""
    tally, folder = Tally(), scratch / "twice"
    both = [Running(subject.start(folder)) for _ in range(2)]
    ended = [running.end() for running in both]
    wrong = [] if all(end.code == 0 or end.told() for end in ended) else ["no sentence"]
    again = run(subject.again(folder))
    tally.case("two separations at once", *ended, again, wrong=wrong + subject.unlike(again, folder))
    shutil.rmtree(folder)
    campaigns.add("two separations into the same folder at once", **vars(tally), note="in the end, the same voices")


def vanishing_speech(campaigns, subject: Subject, corpus: Path, scratch: Path, n: int) -> None:
    """Take files of the corpus away while a run reads them from disk, and give them back."""
    tally = Tally()
    splits = pd.read_csv(subject.reference / "splits.csv", dtype=str)
    for split, when in (("train", "systems/sce/history.csv"), ("validation", "systems/sce/history.csv"),
                        ("unseen", "history.csv"))[:n]:
        folder, gone = scratch / "vanishing", scratch / "gone"
        running = Running(subject.start(folder))
        running.wait_until((folder / when).exists)
        before = files(folder)
        speakers = splits.loc[splits["split"] == split, "speaker"].unique()
        gone.mkdir()
        for speaker in speakers:
            (corpus / SUBSET / speaker).rename(gone / speaker)
        stopped = running.end()
        lost = sorted(before - files(folder)) + half_written(folder)
        for speaker in speakers:
            (gone / speaker).rename(corpus / SUBSET / speaker)
        gone.rmdir()
        again = run(subject.again(folder))
        wrong = subject.unlike(again, folder) + ([] if stopped.told() else ["it does not stop with a sentence"])
        tally.case(f"speech of {split} vanished", stopped, again, lost=lost, wrong=wrong)
        shutil.rmtree(folder)
    campaigns.add("speech that vanishes while a run reads it", **vars(tally),
                  note="of speakers to train on, to validate with, to score; mixtures.in_memory=false")


class Handler(BaseHTTPRequestHandler):
    """Send `server.content`, from where it is asked for, until `server.most` bytes have gone; then nothing any more."""

    def do_GET(self):
        """Answer, or close the connection without a word, as where the network is gone."""
        server, asked = self.server, self.headers.get("Range", "bytes=0-")
        start, room = int(asked.removeprefix("bytes=").removesuffix("-")), server.most - server.sent
        if not room:
            self.close_connection = True
            return
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(server.content) - start))
        self.end_headers()
        sent = server.content[start : start + min(room, len(server.content))]
        with suppress(ConnectionError):  # a full disk ends the other side
            self.wfile.write(sent)
        server.sent += len(sent)
        if server.sent == server.most and server.stalls:  # the connection stays, but nothing comes
            server.stalled.set()
            server.released.wait()

    def log_message(self, *args):
        """Say nothing."""


@contextmanager
def serving(content: bytes):
    """Serve an archive on this machine."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.content, server.most, server.sent, server.stalls = content, len(content) * 10**6, 0, False
    server.stalled, server.released = threading.Event(), threading.Event()
    server.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


def downloads(campaigns, archive: bytes, corpus: Path, scratch: Path, quick: bool) -> None:
    """Cut a download, kill it, spoil it; then start it again."""
    places = [0.5] if quick else [1e-6, 0.001, 0.01, 0.1, 0.3, 0.5, 0.7, 0.9, 0.99, 1 - 1e-6]
    folder = scratch / "downloaded"
    with serving(archive) as server:
        unlimited, subject = server.most, download(server.url, archive, corpus)

        def finish(tally, what, running, told):
            """Check that nothing looks finished that is not, go on, and compare with what was packed."""
            stopped = running.end()
            lost = ["a part looks finished"] if (folder / SUBSET).exists() else []
            server.most, server.stalls = unlimited, False
            again = run(subject.again(folder))
            wrong = subject.unlike(again, folder) + ([] if stopped.told() or not told else ["no sentence"])
            tally.case(what, stopped, again, lost=lost, wrong=wrong)
            shutil.rmtree(folder)

        for stalls, name in ((False, "a download whose connection is cut"), (True, "kill -9 of a download")):
            tally, twice = Tally(), 0
            for place in places:
                server.most, server.sent, server.stalls = max(1, int(place * len(archive))), 0, stalls
                server.stalled.clear()
                server.released.clear()
                running = Running(subject.start(folder))
                if stalls:
                    running.wait_until(server.stalled.is_set)
                    time.sleep(0.2)  # what was sent last has to arrive
                    running.kill()
                    server.released.set()
                finish(tally, f"{name} at {place}", running, told=not stalls)
                twice += server.sent - len(archive)
            if stalls:
                running = Running(subject.start(folder))
                if running.wait_until(lambda: appeared(folder, "*.unpacking/*/*/*")) and running.kill():
                    finish(tally, f"{name} while it unpacks", running, told=False)
                else:  # it was too quick
                    running.end()
                    shutil.rmtree(folder)
            campaigns.add(name, **vars(tally), note=f"{'at 1' if quick else 'at 10'} of {len(archive):,} bytes"
                          f"{', and while it unpacks' if stalls else ''}; {twice:,} bytes were sent twice")
        tally = Tally()
        finish(tally, "a wrong checksum", Running([*subject.start(folder)[:-1], f"sha256:{'0' * 64}"]), told=True)
        campaigns.add("a download with a wrong checksum", **vars(tally), note="refused; then with the right one")


def campaign(campaigns, quick: bool) -> None:
    """Run every campaign in a folder that is thrown away."""
    with tempfile.TemporaryDirectory() as name:
        scratch, times = Path(name), 1 if quick else 2
        n, n_aimed = (1, 0) if quick else (20, 100)
        corpus = make_corpus(scratch / "corpus")
        downloads(campaigns, make_archive(corpus), corpus, scratch, quick)
        trained = experiment(corpus, scratch, times)
        kills(campaigns, trained, n, n_aimed, scratch)
        recordings = make_recordings(scratch / "recordings", 2 if quick else 6)
        separated = separation(recordings, scratch, times)
        kills(campaigns, separated, n, n_aimed, scratch)
        kills(campaigns, article(trained.reference, scratch, times), (n + 1) // 2, n_aimed, scratch)
        kills(campaigns, store(corpus, scratch, times), n, n_aimed, scratch)
        two_at_once(campaigns, trained, scratch, 1 if quick else 3)
        if not quick:
            two_separations(campaigns, separated, scratch)
        streamed = experiment(corpus, scratch, times, "mixtures.in_memory=false")
        vanishing_speech(campaigns, streamed, corpus, scratch, 1 if quick else 3)


if __name__ == "__main__":
    part_main(campaign)

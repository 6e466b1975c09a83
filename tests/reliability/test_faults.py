"""Kill commands, cut downloads, remove speech, start twice; then continue, and compare with an undisturbed run."""

import shutil
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from reliability import subjects
from reliability.campaign import Campaign
from reliability.processes import Running, appeared, files, run, temporary
from reliability.subjects import SUBSET, Subject

pytestmark = pytest.mark.torture(part="faults")
PLACES = [1e-6, 0.001, 0.01, 0.1, 0.3, 0.5, 0.7, 0.9, 0.99, 1 - 1e-6]  # shares of a download


@pytest.fixture(params=["trained", "separated", "reported", "stored"])
def subject(request):
    return request.getfixturevalue(request.param)


def kill_at_random(campaign: Campaign, subject: Subject, n: int, scratch: Path) -> None:
    """Kill a command n times at random moments, and continue."""
    phases, folder = Counter(), scratch / "killed"
    for moment in (np.arange(n) + np.random.default_rng(0).random(n)) / n * subject.seconds:
        while not (process := Running(subject.start(folder))).kill(moment):
            process.end()
            shutil.rmtree(folder)
            moment *= 0.9  # it was faster this time
        phases[subject.phase(folder)] += 1
        campaign.resume(f"killed after {moment:.2f} s", subject, process, folder)
    hit = ", ".join(f"{phase} {count}" for phase, count in sorted(phases.items()))
    campaign.record(f"kill -9 of {subject.name}, at random moments",
                    f"hit: {hit}; undisturbed {subject.seconds:.0f} s, two of them {subject.tolerance:.2g} apart")


def kill_while_writing(campaign: Campaign, subject: Subject, scratch: Path) -> None:
    """Kill a command when certain files appear, and continue."""
    n_temporary, folder = 0, scratch / "killed"
    for name in subject.kill_at:
        process = Running(subject.start(folder))
        if process.wait_until(lambda name=name: appeared(folder, name)) and process.kill():
            n_temporary += bool(temporary(folder))
            campaign.resume(f"killed when {name} appeared", subject, process, folder)
        else:
            process.end()
            shutil.rmtree(folder)
    campaign.record(f"kill -9 of {subject.name}, while it writes",
                    f"{n_temporary} left a file under a temporary name: {', '.join(subject.kill_at)}")


def test_kills_at_random_moments(campaign, subject, quick, tmp_path):
    n = 1 if quick else 10 if subject.name == "the article's report" else 20
    kill_at_random(campaign, subject, n, tmp_path)


def test_kills_while_writing(campaign, subject, quick, tmp_path):
    if quick:
        pytest.skip("--quick")
    kill_while_writing(campaign, subject, tmp_path)


def test_a_second_run_in_the_same_folder_is_refused(campaign, trained, quick, tmp_path):
    for how in ((), ("resume=true",), ("overwrite=true",))[: 1 if quick else None]:
        folder = tmp_path / "twice"
        running = Running(trained.start(folder))
        running.wait_until((folder / "config.yaml").exists)
        second, first = run([*trained.start(folder), *how]), running.end()
        wrong = [] if second.refused() else ["the second is not refused with an error message"]
        campaign.case(f"a second run with {how}", first, second, wrong=wrong + trained.differences(first, folder))
        shutil.rmtree(folder)
    campaign.record("a second run in the same folder",
                    "plain, with resume, with overwrite: refused, and the first finishes as if it were alone")


def test_two_separations_into_the_same_folder(campaign, separated, tmp_path):
    folder = tmp_path / "twice"
    both = [Running(separated.start(folder)) for _ in range(2)]
    ended = [running.end() for running in both]
    wrong = [] if all(end.code == 0 or end.refused() for end in ended) else ["no error message"]
    again = run(separated.again(folder))
    campaign.case("two separations at once", *ended, again, wrong=wrong + separated.differences(again, folder))
    campaign.record("two separations into the same folder at once", "in the end, the same voices")


def test_speech_that_vanishes(campaign, corpus, scratch, repeats, quick, tmp_path):
    """Remove files of the corpus while a run reads them from disk; put them back, and resume."""
    subject = subjects.experiment(corpus, scratch / "streamed", "mixtures.in_memory=false").measure(repeats)
    splits = pd.read_csv(subject.reference / "splits.csv", dtype=str)
    for split, when in (("train", "systems/sce/history.csv"), ("validation", "systems/sce/history.csv"),
                        ("unseen", "history.csv"))[: 1 if quick else None]:
        folder, removed = tmp_path / "vanishing", tmp_path / "removed"
        running = Running(subject.start(folder))
        running.wait_until((folder / when).exists)
        before = files(folder)
        speakers = splits.loc[splits["split"] == split, "speaker"].unique()
        removed.mkdir()
        for speaker in speakers:
            (corpus / SUBSET / speaker).rename(removed / speaker)
        stopped = running.end()
        for speaker in speakers:
            (removed / speaker).rename(corpus / SUBSET / speaker)
        removed.rmdir()
        campaign.resume(f"speech of {split} vanished", subject, running, folder, before - files(folder),
                        [] if stopped.refused() else ["it stops without error message"])
    campaign.record("speech that vanishes while a run reads it",
                    "of speakers to train on, to validate with, to score; mixtures.in_memory=false")


def finish_download(campaign, subject, server, folder, case, running, refused):
    """Check that no part looks finished, download again, and compare with the corpus."""
    stopped = running.end()
    lost = ["a part looks finished"] if (folder / SUBSET).exists() else []
    server.max_bytes, server.stalls = server.unlimited, False
    again = run(subject.again(folder))
    wrong = ["no error message"] if refused and not stopped.refused() else []
    campaign.case(case, stopped, again, lost=lost, wrong=wrong + subject.differences(again, folder))
    shutil.rmtree(folder)


@pytest.mark.parametrize("killed", [False, True], ids=["connection cut", "killed"])
def test_interrupted_downloads(campaign, fetched, server, killed, quick, tmp_path):
    folder, places, sent_twice = tmp_path / "downloaded", [0.5] if quick else PLACES, 0
    name = "kill -9 of a download" if killed else "a download whose connection is cut"
    for place in places:
        server.max_bytes, server.sent, server.stalls = max(1, int(place * len(server.content))), 0, killed
        server.stalled.clear()
        server.released.clear()
        running = Running(fetched.start(folder))
        if killed:
            running.wait_until(server.stalled.is_set)
            time.sleep(0.2)  # the last bytes have to arrive
            running.kill()
            server.released.set()
        finish_download(campaign, fetched, server, folder, f"{name} at {place}", running, refused=not killed)
        sent_twice += server.sent - len(server.content)
    if killed:
        running = Running(fetched.start(folder))
        if running.wait_until(lambda: appeared(folder, "*.unpacking/*/*/*")) and running.kill():
            finish_download(campaign, fetched, server, folder, f"{name} while it unpacks", running, refused=False)
        else:
            running.end()
    campaign.record(name, f"at {len(places)} of {len(server.content):,} bytes"
                    f"{', and while it unpacks' if killed else ''}; {sent_twice:,} bytes were sent twice")


def test_a_wrong_checksum(campaign, fetched, server, tmp_path):
    folder = tmp_path / "downloaded"
    running = Running([*fetched.start(folder)[:-1], f"sha256:{'0' * 64}"])
    finish_download(campaign, fetched, server, folder, "a wrong checksum", running, refused=True)
    campaign.record("a download with a wrong checksum", "refused; then with the right one")

"""Fill the disk, and take the right to write away; then give both back, go on, and compare with an undisturbed run.

Needs Linux, and root, who may mount a small disk; what root may do beyond all permissions is put away meanwhile.
"""

import itertools
import os
import shutil
import subprocess
import tempfile
from contextlib import contextmanager, suppress
from pathlib import Path

from commands import Running, Tally, files, half_written, run
from subjects import (
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
from torture_faults import serving

SMALL_DISK = "size=64m,nr_inodes=400"
SOME_BYTES = 3 * 4096
NO_FILE = None  # room for bytes, but for no other file
MORTAL = ("setpriv", "--bounding-set=-dac_override,-dac_read_search")
START, FINISHED = "the start", "the start, of a finished one"
MOMENTS = {  # when the disk becomes full: as soon as this file is there
    "an experiment": (START, "config.yaml", "systems/sce/history.csv", "history.csv", "summary.csv", FINISHED),
    "a separation of a folder": (START, ".talk0.wav.part", "talk0_1.wav", FINISHED),
    "the article's report": (START, "figures", "figures/figure_3_masking.png", FINISHED),
    "a download": (START, FINISHED),
    "making a store": (START, "shard_00002.wav", FINISHED),
}


@contextmanager
def small_disk(folder: Path):
    """Mount a disk of few megabytes and few files."""
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", SMALL_DISK, "none", folder], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)
        folder.rmdir()


def fill(disk: Path, room: int | None) -> Path:
    """Leave so many bytes of room on a disk, or `NO_FILE`; return the folder whose removal gives it back."""
    filler = disk / "filler"
    filler.mkdir()
    with suppress(OSError), open(filler / "bytes", "wb") as file:
        for _ in range(0 if room is NO_FILE else 100):
            free = os.statvfs(disk)
            with suppress(OSError):  # when somebody else wrote meanwhile
                os.posix_fallocate(file.fileno(), 0, max(1, free.f_bavail * free.f_frsize - room))
                break
        for number in range(10**6 if room is NO_FILE else 0):
            (filler / str(number)).touch()
    return filler


def full_disk(campaigns, subject: Subject, rooms, disk: Path, n_moments: int | None) -> None:
    """Fill the disk at several moments and up to several rooms, then make room and go on."""
    tally, folder, moments = Tally(), disk / "folder", MOMENTS[subject.name][:n_moments]
    for moment, room in itertools.product(moments, rooms):
        if moment == FINISHED:
            shutil.copytree(subject.reference, folder)
        if moment in (START, FINISHED):
            filler = fill(disk, room)
            running = Running((subject.again if moment == FINISHED else subject.start)(folder))
        else:
            running = Running(subject.start(folder))
            running.wait_until((folder / moment).exists)
            filler = fill(disk, room)
        before = files(folder)
        stopped = running.end()
        lost = sorted(before - files(folder)) + half_written(folder)
        shutil.rmtree(filler)
        again = run(subject.again(folder))
        told = stopped.told() or moment == FINISHED and stopped.code == 0  # it may need nothing written
        tally.case(f"{subject.name}, full from {moment} on, room for {room}", stopped, again, lost=lost,
                   wrong=subject.unlike(again, folder) + ([] if told else ["it does not stop with a sentence"]))
        shutil.rmtree(folder)
    room = ", ".join("no new file" if room is NO_FILE else f"{room:,} bytes" for room in rooms)
    campaigns.add(f"a disk that fills during {subject.name}", **vars(tally),
                  note=f"from {'; '.join(moments)} on; room left for {room}")


def read_only(campaigns, subject: Subject, scratch: Path, quick: bool) -> None:
    """Start a command into a folder that cannot be written: one that is not there, an empty one, a finished one."""
    tally, above = Tally(), scratch / "locked"
    folder = above / "folder"
    for state in ("not there", "empty", "finished")[: 1 if quick else None]:
        above.mkdir()
        if state == "empty":
            folder.mkdir()
        elif state == "finished":
            shutil.copytree(subject.reference, folder)
        contents = {name: (folder / name).read_bytes() for name in files(folder)}
        for path in (above, *above.rglob("*")):
            path.chmod(0o555 if path.is_dir() else 0o444)
        command = (subject.again if state == "finished" else subject.start)(folder)
        refused = run(command, MORTAL)
        lost = [name for name in contents if not (folder / name).exists() or
                (folder / name).read_bytes() != contents[name]]
        for path in (above, *above.rglob("*")):
            path.chmod(0o755 if path.is_dir() else 0o644)
        again = run(command, MORTAL)
        # A finished one may need nothing written.
        told = refused.told() or state == "finished" and refused.code == 0
        tally.case(f"{subject.name} into a read-only folder that is {state}", refused, again, lost=lost,
                   wrong=subject.unlike(again, folder) + ([] if told else ["no sentence"]))
        shutil.rmtree(above)
    campaigns.add(f"a read-only folder for {subject.name}", **vars(tally),
                  note="not there, empty, or with a finished result; then with permission")


def read_only_corpus(campaigns, subject: Subject, corpus: Path, scratch: Path) -> None:
    """Let a run read a corpus that cannot be written to, which needs no permission."""
    for path in (corpus, *corpus.rglob("*")):
        path.chmod(0o555 if path.is_dir() else 0o444)
    tally, folder = Tally(), scratch / "of read-only speech"
    ended = run(subject.start(folder), MORTAL)
    tally.case("a read-only corpus", ended, wrong=subject.unlike(ended, folder))
    for path in (corpus, *corpus.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)
    campaigns.add("a read-only corpus", **vars(tally), note="the run ends as if it were not")


def campaign(campaigns, quick: bool) -> None:
    """Run every campaign in a folder that is thrown away."""
    times, n_moments = (1, 1) if quick else (2, None)
    rooms = (0,) if quick else (0, SOME_BYTES, NO_FILE)
    with tempfile.TemporaryDirectory() as name, small_disk(Path(name) / "disk") as disk:
        scratch = Path(name)
        corpus = make_corpus(scratch / "corpus")
        archive = make_archive(corpus)
        with serving(archive) as server:
            fetched = download(server.url, archive, corpus)
            full_disk(campaigns, fetched, rooms + (() if quick else (len(archive) // 2, len(archive) * 3 // 2)), disk,
                      n_moments)
            read_only(campaigns, fetched, scratch, quick)
        trained = experiment(corpus, scratch, times)
        recordings = make_recordings(scratch / "recordings", 2 if quick else 4)
        separated = separation(recordings, scratch, times)
        reported, stored = article(trained.reference, scratch, times), store(corpus, scratch, times)
        for subject in (trained, separated, reported, stored):
            full_disk(campaigns, subject, rooms, disk, n_moments)
            read_only(campaigns, subject, scratch, quick)
        if not quick:
            read_only_corpus(campaigns, trained, corpus, scratch)


if __name__ == "__main__":
    part_main(campaign)

"""Fill the disk, and remove the permission to write; then undo both, continue, and compare with an undisturbed run.

Needs Linux and root, because it mounts a small disk. The commands run without root's right to ignore permissions.
"""

import functools
import itertools
import os
import shutil
import subprocess
from contextlib import suppress
from pathlib import Path

import pytest

from reliability.processes import Running, appeared, files, run

pytestmark = [pytest.mark.torture(part="disk"),
              pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small disk needs root")]
SMALL_DISK = "size=64m,nr_inodes=400"
SOME_BYTES = 3 * 4096
NO_FILE = None  # room for bytes, but for no other file
WITHOUT_OVERRIDE = ("setpriv", "--bounding-set=-dac_override,-dac_read_search")
START, FINISHED = "the start", "the start, of a finished one"


@pytest.fixture(params=["fetched", "trained", "separated", "reported", "stored"])
def subject(request):
    return request.getfixturevalue(request.param)


@pytest.fixture
def disk(tmp_path):
    """Mount a disk of few megabytes and few files."""
    folder = tmp_path / "disk"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", SMALL_DISK, "none", folder], check=True)
    yield folder
    subprocess.run(["umount", "--lazy", folder], check=True)


def fill(disk: Path, room: int | None) -> Path:
    """Leave so many bytes free on a disk, or `NO_FILE`; return the folder whose deletion frees it again."""
    filler = disk / "filler"
    filler.mkdir()
    with suppress(OSError), open(filler / "bytes", "wb") as file:
        for _ in range(0 if room is NO_FILE else 100):
            free = os.statvfs(disk)
            with suppress(OSError):  # another process wrote meanwhile
                os.posix_fallocate(file.fileno(), 0, max(1, free.f_bavail * free.f_frsize - room))
                break
        for number in range(10**6 if room is NO_FILE else 0):
            (filler / str(number)).touch()
    return filler


def allow_writing(folder: Path, allowed: bool) -> None:
    """Set or remove the permission to write to a folder and its contents."""
    for path in (folder, *folder.rglob("*")):
        path.chmod((0o755 if path.is_dir() else 0o644) if allowed else (0o555 if path.is_dir() else 0o444))


def test_a_full_disk(campaign, subject, disk, quick, request):
    folder = disk / "folder"
    moments = (START, *subject.fill_at, FINISHED)[: 1 if quick else None]
    rooms = (0,) if quick else (0, SOME_BYTES, NO_FILE)
    if subject.name == "a download" and not quick:
        size = len(request.getfixturevalue("server").content)
        rooms += size // 2, size * 3 // 2
    for moment, room in itertools.product(moments, rooms):
        if moment == FINISHED:
            shutil.copytree(subject.reference, folder)
        if moment in (START, FINISHED):
            filler = fill(disk, room)
            running = Running((subject.again if moment == FINISHED else subject.start)(folder))
        else:
            running = Running(subject.start(folder))
            running.wait_until(functools.partial(appeared, folder, moment))
            filler = fill(disk, room)
        before = files(folder)
        stopped = running.end()
        lost = before - files(folder)
        # A finished result may need no write.
        stops_well = stopped.refused() or moment == FINISHED and stopped.code == 0
        shutil.rmtree(filler)
        campaign.resume(f"full from {moment} on, room for {room}", subject, running, folder, lost,
                        [] if stops_well else ["it stops without error message"])
    room = ", ".join("no new file" if room is NO_FILE else f"{room:,} bytes" for room in rooms)
    campaign.record(f"a disk that fills during {subject.name}", f"from {'; '.join(moments)} on; room left for {room}")


def test_a_read_only_folder(campaign, subject, quick, tmp_path):
    above = tmp_path / "locked"
    folder = above / "folder"
    for state in ("not there", "empty", "finished")[: 1 if quick else None]:
        above.mkdir()
        if state == "empty":
            folder.mkdir()
        elif state == "finished":
            shutil.copytree(subject.reference, folder)
        contents = {name: (folder / name).read_bytes() for name in files(folder)}
        allow_writing(above, False)
        stopped = run((subject.again if state == "finished" else subject.start)(folder), WITHOUT_OVERRIDE)
        lost = [name for name in contents if not (folder / name).exists() or
                (folder / name).read_bytes() != contents[name]]
        allow_writing(above, True)
        again = run(subject.again(folder) if state == "finished" else subject.start(folder), WITHOUT_OVERRIDE)
        # A finished result may need no write.
        stops_well = stopped.refused() or state == "finished" and stopped.code == 0
        wrong = subject.differences(again, folder) + ([] if stops_well else ["no error message"])
        campaign.case(f"{subject.name} into a read-only folder that is {state}", stopped, again, lost=lost, wrong=wrong)
        shutil.rmtree(above)
    campaign.record(f"a read-only folder for {subject.name}",
                    "not there, empty, or with a finished result; then with permission")


def test_a_read_only_corpus(campaign, trained, corpus, tmp_path):
    allow_writing(corpus, False)
    ended = run(trained.start(tmp_path / "run"), WITHOUT_OVERRIDE)
    campaign.case("a read-only corpus", ended, wrong=trained.differences(ended, tmp_path / "run"))
    allow_writing(corpus, True)
    campaign.record("a read-only corpus", "the run ends as if it could be written to")

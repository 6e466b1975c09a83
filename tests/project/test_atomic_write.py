"""Files are written whole or not at all, by one process at a time, and are on the disk before they are renamed."""

import os
import subprocess
import sys
import threading

import pytest

from lab41_sce import atomic_write
from lab41_sce.atomic_write import lock, put_in_place, write_text, write_whole
from lab41_sce.errors import UserError


def test_a_full_disk_leaves_the_earlier_file(tmp_path):
    target = tmp_path / "file.txt"
    target.write_text("earlier")

    def fail(path):
        path.write_text("half")
        raise OSError(28, "No space left on device")

    with pytest.raises(UserError, match="No space left"):
        write_whole(target, fail)
    assert target.read_text() == "earlier" and list(tmp_path.iterdir()) == [target]


def test_a_second_writer_waits_for_the_first(tmp_path):
    begun, went_on = threading.Event(), threading.Event()

    def slowly(path):
        path.write_text("the first ")
        begun.set()
        went_on.wait(0.3)  # the second writer would write to the same temporary file meanwhile
        with path.open("a") as file:
            file.write("writer")

    def second(path):
        went_on.set()
        path.write_text("the second writer")

    first = threading.Thread(target=write_whole, args=(tmp_path / "file.txt", slowly))
    first.start()
    begun.wait()
    other = threading.Thread(target=write_whole, args=(tmp_path / "file.txt", second))
    other.start()
    assert not went_on.wait(0.2)
    first.join()
    other.join()
    assert (tmp_path / "file.txt").read_text() == "the second writer"
    assert [path.name for path in tmp_path.iterdir()] == ["file.txt"]


def test_a_lock_is_refused_in_one_sentence_and_freed_by_a_killed_process(tmp_path):
    path = tmp_path / ".table.lock"
    hold = (f"from filelock import FileLock; held = FileLock({str(path)!r}); held.acquire(); "
            "print('held', flush=True); input()")
    with subprocess.Popen([sys.executable, "-c", hold], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(UserError, match=r"^the table is busy\.$"), lock(path, "the table is busy."):
            pass
        holder.kill()
    with lock(path, "the table is busy."), pytest.raises(UserError), lock(path, "the table is busy."):
        pass
    assert not list(tmp_path.iterdir())
    with pytest.raises(UserError, match="cannot be written to"), lock(tmp_path / "absent" / ".lock"):
        pass


def test_files_are_on_the_disk_before_and_after_the_rename(tmp_path, monkeypatch):
    steps = []
    fsync, replace = os.fsync, atomic_write.Path.replace

    def note_sync(descriptor):
        steps.append(("sync", os.path.basename(os.readlink(f"/proc/self/fd/{descriptor}"))))
        fsync(descriptor)

    def note_rename(source, target):
        steps.append(("rename", target.name))
        return replace(source, target)

    if not os.path.exists("/proc/self/fd"):
        pytest.skip("names of open files need Linux")
    monkeypatch.setattr(os, "fsync", note_sync)
    monkeypatch.setattr(atomic_write.Path, "replace", note_rename)
    write_text(tmp_path / "a.txt", "a")
    assert steps == [("sync", ".a.part.txt"), ("rename", "a.txt"), ("sync", tmp_path.name)]
    steps.clear()
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree" / "leaf").write_text("leaf")
    put_in_place(tmp_path / "tree", tmp_path / "moved")
    assert steps == [("sync", "leaf"), ("sync", "tree"), ("rename", "moved"), ("sync", tmp_path.name)]

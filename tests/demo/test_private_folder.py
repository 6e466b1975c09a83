"""The temporary folder of the page: its own, and those that killed pages have left."""

import subprocess
import sys
import tempfile

import pytest

from lab41_sce.demo.private_folder import LOCK, PREFIX, delete_leftovers, private_folder

HOLD = "import sys; from lab41_sce.demo.private_folder import private_folder\n" \
       "with private_folder() as folder: (folder / 'voice_1.wav').touch(); print(folder, flush=True); sys.stdin.read()"


@pytest.fixture(autouse=True)
def temporary(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def test_the_folder_is_private_and_does_not_outlive_the_page(temporary):
    with private_folder() as folder:
        (folder / "voice_1.wav").touch()
        assert folder.name.startswith(PREFIX) and folder.stat().st_mode & 0o077 == 0
    assert not [*temporary.iterdir()]


def test_the_next_page_deletes_the_folder_of_a_killed_page(temporary):
    """The folder of a page that runs stays."""
    environment = {"TMPDIR": str(temporary), "PYTHONPATH": ":".join(sys.path)}
    with subprocess.Popen([sys.executable, "-c", HOLD], env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                          text=True) as other:
        theirs = temporary / other.stdout.readline().strip()
        with private_folder() as folder:
            assert theirs.is_dir() and folder != theirs
        other.kill()
    assert (theirs / "voice_1.wav").exists()
    with private_folder() as folder:
        assert [*temporary.iterdir()] == [folder]


def test_only_own_folders_are_deleted(temporary):
    precious, file, other = temporary / "precious", temporary / f"{PREFIX}file", temporary / "lab41_sce_demo"
    (temporary / f"{PREFIX}link").symlink_to(precious)
    leftover = temporary / f"{PREFIX}leftover"
    for folder in (precious, other, leftover):
        folder.mkdir()
        (folder / LOCK).touch()
    file.touch()
    delete_leftovers()
    assert not leftover.exists()
    assert all((folder / LOCK).exists() for folder in (precious, other)) and file.exists()


def test_folders_of_other_users_stay(temporary, monkeypatch):
    theirs = temporary / f"{PREFIX}theirs"
    theirs.mkdir()
    monkeypatch.setattr("os.getuid", lambda: theirs.stat().st_uid + 1)
    delete_leftovers()
    assert theirs.exists()

"""`lab41-sce download`: arguments, exit statuses and messages (test_download.py tests the transfer)."""

import subprocess
import sys

import pytest

from lab41_sce.commands import download as command
from lab41_sce.data.download import ARCHIVES, LIBRIMIX_METADATA


def test_list_prints_everything_with_its_size(capsys):
    assert command.main(["--list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == [*ARCHIVES, *LIBRIMIX_METADATA]
    assert all(archive.size and archive.size in line for line, archive in zip(lines, ARCHIVES.values()))


@pytest.mark.parametrize("arguments", [[], ["train-clean-5"], ["--root", "x"]])
def test_incomplete_arguments_are_an_error(arguments, capsys):
    with pytest.raises(SystemExit) as caught:
        command.main(arguments)
    assert caught.value.code == 2
    assert "give the subsets to download and --root DIR, or --list" in capsys.readouterr().err


def test_a_complete_subset_needs_no_connection(tmp_path, capsys):
    (tmp_path / "dev-clean").mkdir()
    assert command.main(["dev-clean", "--root", str(tmp_path), "--mirror", "https://127.0.0.1:1"]) == 0
    assert f"{tmp_path} holds dev-clean" in capsys.readouterr().out


@pytest.mark.parametrize(("arguments", "sentence"), [
    (["dev-clean", "dev-clena"], "error: there is no dev-clena to download; did you mean dev-clean?"),
    (["libri2mix_test"], "error: there is no libri2mix_test to download; did you mean libri2mix_test-clean?"),
    (["xyz"], f"error: there is no xyz to download; choose from {', '.join([*ARCHIVES, *LIBRIMIX_METADATA])}."),
    (["dev-clean", "--mirror", "example.org"], "error: --mirror example.org is not a URL"),
])
def test_mistakes_are_reported_in_one_sentence(tmp_path, arguments, sentence, capsys):
    assert command.main([*arguments, "--root", str(tmp_path / "corpus")]) == 1
    error = capsys.readouterr().err
    assert error.startswith(sentence) and error.count("\n") == 1 and not (tmp_path / "corpus").exists()


def test_the_mirror_and_the_root_reach_the_download_and_an_interruption_has_its_status(tmp_path, monkeypatch, capsys):
    requests = []

    def interrupt(*arguments):
        requests.append(arguments)
        raise KeyboardInterrupt

    monkeypatch.setattr("lab41_sce.data.download.download_subsets", interrupt)
    arguments = ["dev-clean", "libri2mix_test-clean", "test-clean", "--root", str(tmp_path / "new"), "--mirror", "https://example.org/slr"]
    assert command.main(arguments) == 130
    assert requests == [(["dev-clean", "test-clean"], tmp_path / "new", "https://example.org/slr")]
    assert capsys.readouterr().err == "interrupted: the downloaded part is kept; repeat the command to continue\n"


@pytest.mark.parametrize("name", ["store", "download"])
def test_help_works_as_a_module(name):
    printed = subprocess.run([sys.executable, "-m", f"lab41_sce.commands.{name}", "--help"], capture_output=True,
                             text=True, check=True).stdout
    assert f"usage: lab41-sce {name}" in printed and "130 interrupted" in " ".join(printed.split())


def test_metadata_goes_to_the_root(tmp_path, monkeypatch, capsys):
    requests = []
    monkeypatch.setattr(command, "download_metadata", lambda *arguments: requests.append(arguments))
    assert command.main(["libri3mix_dev-clean", "--root", str(tmp_path)]) == 0
    assert requests == [(["libri3mix_dev-clean"], tmp_path, None)]
    assert f"{tmp_path} holds libri3mix_dev-clean" in capsys.readouterr().out

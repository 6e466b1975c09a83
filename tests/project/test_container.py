"""The recipe of the container names files that exist, and leaves out what the installation does not need."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.skipif(not (ROOT / "Dockerfile").exists(), reason="an installed package has no Dockerfile")


def test_the_container_has_no_privileges_and_uses_the_fixed_versions():
    text = (ROOT / "Dockerfile").read_text("utf-8")
    [user] = re.findall(r"^USER (\d+)", text, re.MULTILINE)
    [constraints, extra] = re.findall(r'-c (\S+) "\.\[(\w+)\]"', text)[0]
    assert int(user) > 0
    assert (ROOT / constraints).exists() and f"\n{extra} =" in (ROOT / "setup.cfg").read_text("utf-8")


def test_the_documents_show_the_commands_of_the_recipe():
    commands = re.findall(r"^#\s+(docker .*)$", (ROOT / "Dockerfile").read_text("utf-8"), re.MULTILINE)
    page = (ROOT / "docs" / "install.md").read_text("utf-8").splitlines()
    assert len(commands) == 3 and set(commands) <= set(page)


def test_what_the_installation_needs_is_sent_to_the_builder():
    ignored = (ROOT / ".dockerignore").read_text("utf-8").split()
    needed = {"lab41_sce", "experiments", "setup.cfg", "pyproject.toml", "README.md", "constraints.txt"}
    assert not needed & set(ignored)

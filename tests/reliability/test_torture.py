"""`tools/torture.py`: a part's rows replace its earlier ones, and what is half written, other or unsaid is noticed."""

import importlib
import json
import sys
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
from PIL import Image

TOOLS = Path(__file__).parents[2] / "tools"
pytestmark = pytest.mark.skipif(not TOOLS.exists(), reason="an installed package has no tools")


@pytest.fixture
def tool(monkeypatch):
    """Import a tool by its name."""
    monkeypatch.syspath_prepend(TOOLS)
    return importlib.import_module


def test_a_part_replaces_its_own_rows_only(tool, tmp_path, monkeypatch):
    torture, tried = tool("torture"), iter((1, 2, 3))

    def run_part(part, results, quick):
        return pd.DataFrame([[part, f"all of {part}", next(tried), 1, 0, 0, 0, "none"]], columns=torture.COLUMNS)

    monkeypatch.setattr(torture, "run_part", run_part)
    for parts in (["inputs", "faults"], ["inputs"]):
        monkeypatch.setattr(sys, "argv", ["torture", str(tmp_path / "results"), "--parts", *parts])
        torture.main()
    table = pd.read_csv(tmp_path / "results" / "summary.csv")
    assert table["part"].to_list() == ["faults", "inputs"] and table["tried"].to_list() == [2, 3]
    assert "| all of inputs | 3 |" in (tmp_path / "RELIABILITY.md").read_text()


def write_files(folder):
    """Write a file of every kind that is looked at."""
    signal = np.random.default_rng(0).uniform(-1, 1, 3000)
    soundfile.write(folder / "a.wav", signal, 8000)
    soundfile.write(folder / "a.flac", signal, 8000)
    pd.DataFrame({"name": ["one, two", "three"], "value": [1.0, 2.5]}).to_csv(folder / "a.csv", index=False)
    (folder / "a.json").write_text(json.dumps({"value": [1, 2, 3]}))
    (folder / "a.yaml").write_text("value: [1, 2, 3]\nother: 2\n")
    (folder / "a.html").write_text("<html><body>text</body></html>\n")
    (folder / "a.svg").write_text("<svg><g></g></svg>")
    (folder / "a.md").write_text("# Title\n\ntext\n")
    Image.fromarray(np.uint8(signal.reshape(50, 60) * 100 + 100)).save(folder / "a.png")
    np.savez(folder / "a.npz", state="{}", variable_0=signal)
    with zipfile.ZipFile(folder / "a.keras", "w") as archive:
        archive.writestr("weights", signal.tobytes())


def test_what_is_half_written_is_found(tool, tmp_path):
    commands = tool("commands")
    write_files(tmp_path)
    assert not commands.half_written(tmp_path)
    for path in tmp_path.iterdir():
        content = path.read_bytes()
        for part in (0, len(content) // 2, len(content) - 2):
            path.write_bytes(content[:part])
            assert commands.half_written(tmp_path) == [path.name], part
        path.rename(tmp_path / f".a.part{path.suffix}")  # nobody takes it for a result
        assert not commands.half_written(tmp_path)
        path.write_bytes(content)


def test_other_results_are_found(tool, tmp_path):
    commands = tool("commands")
    folders = tmp_path / "a", tmp_path / "b"
    for folder in folders:
        folder.mkdir()
        write_files(folder)
    assert commands.distance(*folders) == 0
    pd.DataFrame({"name": ["one, two", "three"], "value": [1.0, 2.75]}).to_csv(folders[1] / "a.csv", index=False)
    assert commands.distance(*folders) == 0.25
    (folders[1] / "a.json").write_text("{}")
    assert commands.distance(*folders) == np.inf
    (folders[1] / "a.json").unlink()
    assert commands.distance(*folders) == np.inf


SLOW = """
import pathlib, sys, time
path = pathlib.Path(sys.argv[1]) / "a.csv"
path.parent.mkdir(exist_ok=True)
with open(path.with_name(sys.argv[2]), "w") as file:
    for _ in range(20):
        print(1, end=",", file=file, flush=True)
        time.sleep(0.01)
    print(1, file=file)
path.with_name(sys.argv[2]).replace(path)
"""


@pytest.mark.parametrize(("written_as", "lost"), [(".a.part.csv", 0), ("a.csv", 1)])
def test_a_kill_shows_what_is_written_under_its_final_name(tool, tmp_path, written_as, lost):
    torture, faults, subjects = tool("torture"), tool("torture_faults"), tool("subjects")

    def start(folder):
        return ["-c", SLOW, folder, written_as]

    subject = subjects.Subject("a slow program", start, start, lambda folder: "writing", (written_as,), tmp_path / "a")
    campaigns = torture.Campaigns(tmp_path)
    faults.kills(campaigns, subject.measure(2), 1, 1, tmp_path)
    assert [row[1:6] for row in campaigns.rows][1] == (1, 1 - lost, lost, 0, 0)
    assert campaigns.rows[0][1] == 1 and campaigns.rows[0][2] + campaigns.rows[0][3] == 1
    assert subject.apart == 0 and 0.2 < subject.seconds < 20


def test_a_sentence_a_traceback_and_silence_are_told_apart(tool):
    commands = tool("commands")
    sentence = commands.run(["-c", "import sys; sys.exit('error: no room; make some.')"])
    traceback = commands.run(["-c", "1 / 0"])
    silence = commands.run(["-c", "import sys; sys.exit(1)"])
    killed = commands.Running(["-c", "import time; print('begun', flush=True); time.sleep(60)"])
    assert killed.kill(0.2) and killed.end().code == -9
    assert [ended.told() for ended in (sentence, traceback, silence)] == [True, False, False]
    tally = commands.Tally()
    for ended in (sentence, traceback, commands.Ended(None, "")):
        tally.case("a case", ended)
    tally.case("another", sentence, lost=["a.csv"])
    tally.case("a third", sentence, wrong=["it is not refused"])
    assert vars(tally) == {"tried": 5, "survived": 1, "lost": 1, "tracebacks": 1, "hangs": 1}

"""The campaigns' machinery notices half-written files, other results, tracebacks, hangs and missing error messages."""

import json
import signal
import zipfile

import numpy as np
import pandas as pd
import pytest
import soundfile
from PIL import Image

from reliability.campaign import Campaign, Hang, Lost
from reliability.processes import Ended, Running, distance, half_written, run
from reliability.subjects import Subject
from reliability.test_faults import kill_at_random, kill_while_writing


def counts(campaign):
    return campaign.tried, campaign.survived, campaign.lost, campaign.tracebacks, campaign.hangs


def test_a_campaign_replaces_its_own_row_only(tmp_path):
    results = tmp_path / "results"
    for part, tried in (("inputs", 1), ("faults", 2), ("inputs", 3)):
        Campaign(part, results, tried, tried).record(f"all of {part}", "a note")
    table = pd.read_csv(results / "summary.csv")
    assert table.columns.to_list() == ["part", "campaign", "tried", "survived", "lost", "tracebacks", "hangs", "note"]
    assert table["part"].to_list() == ["faults", "inputs"] and table["tried"].to_list() == [2, 3]
    assert "| all of inputs | 3 | 3 | 0 | 0 | 0 | a note |" in (results / "RELIABILITY.md").read_text()


def test_a_campaign_fails_when_a_case_does_not_survive(tmp_path):
    with pytest.raises(AssertionError, match="1 of 2 survived"):
        Campaign("disk", tmp_path / "results", 2, 1).record("full disks")
    assert pd.read_csv(tmp_path / "results" / "summary.csv")["survived"].to_list() == [1]


def test_the_end_of_a_case_in_this_process_is_counted(tmp_path):
    campaign = Campaign("inputs", tmp_path)
    for error in (None, Lost("a file"), AssertionError("wrong"), ValueError("odd"), Hang(), SystemExit(2)):
        def case(error=error):
            if error:
                raise error
        campaign.run(case)
    assert counts(campaign) == (6, 1, 1, 2, 1)
    assert signal.alarm(0) == 0  # no alarm is left


def write_files(folder):
    """Write a file of every kind that is inspected."""
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


def test_half_written_files_are_found(tmp_path):
    write_files(tmp_path)
    assert not half_written(tmp_path)
    for path in tmp_path.iterdir():
        content = path.read_bytes()
        for part in (0, len(content) // 2, len(content) - 2):
            path.write_bytes(content[:part])
            assert half_written(tmp_path) == [path.name], part
        path.rename(tmp_path / f".a.part{path.suffix}")  # a temporary name is no result
        assert not half_written(tmp_path)
        path.write_bytes(content)


def test_other_results_are_found(tmp_path):
    folders = tmp_path / "a", tmp_path / "b"
    for folder in folders:
        folder.mkdir()
        write_files(folder)
    assert distance(*folders) == 0
    pd.DataFrame({"name": ["one, two", "three"], "value": [1.0, 2.75]}).to_csv(folders[1] / "a.csv", index=False)
    assert distance(*folders) == 0.25
    (folders[1] / "a.json").write_text("{}")
    assert distance(*folders) == np.inf
    (folders[1] / "a.json").unlink()
    assert distance(*folders) == np.inf


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


@pytest.mark.slow
@pytest.mark.parametrize(("written_as", "lost"), [(".a.part.csv", 0), ("a.csv", 1)])
def test_a_kill_reveals_a_file_written_under_its_final_name(tmp_path, written_as, lost):
    def start(folder):
        return ["-c", SLOW, folder, written_as]

    subject = Subject("a slow program", start, start, lambda folder: "writing", (written_as,), (), tmp_path / "a")
    subject.measure(2)
    assert subject.tolerance == 0 and 0.2 < subject.seconds < 20
    at_random, aimed = (Campaign("faults", tmp_path / "results") for _ in range(2))
    for campaign, kill in ((at_random, lambda: kill_at_random(at_random, subject, 1, tmp_path)),
                           (aimed, lambda: kill_while_writing(aimed, subject, tmp_path))):
        try:
            kill()
        except AssertionError:
            assert campaign.lost
    assert counts(aimed) == (1, 1 - lost, lost, 0, 0)
    assert at_random.tried == 1 == at_random.survived + at_random.lost


def test_error_messages_tracebacks_and_silence_are_distinguished(tmp_path):
    message = run(["-c", "import sys; sys.exit('error: no room; make some.')"])
    traceback = run(["-c", "1 / 0"])
    silence = run(["-c", "import sys; sys.exit(1)"])
    killed = Running(["-c", "import time; print('begun', flush=True); time.sleep(60)"])
    assert killed.kill(0.2) and killed.end().code == -9
    assert [ended.refused() for ended in (message, traceback, silence)] == [True, False, False]
    campaign = Campaign("faults", tmp_path)
    for ended in (message, traceback, Ended(None, "")):
        campaign.case("a case", ended)
    campaign.case("another", message, lost=["a.csv"])
    campaign.case("a third", message, wrong=["it is not refused"])
    assert counts(campaign) == (5, 1, 1, 1, 1)

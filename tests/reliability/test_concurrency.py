"""Commands at once: different recordings of one name, makers of one store, tables of one sweep, writers of one file.

Each command either writes complete files from its own input, or reports an error. The clock jumps in half of the cases.
Another campaign damages the tables of a store and loads the store.
"""

import itertools
import json
import os
import random
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
from commands.test_sweep import write_run

from lab41_sce import audio
from lab41_sce.data.store_reader import load_store
from lab41_sce.errors import UserError
from reliability.campaign import Lost
from reliability.processes import Ended, Running
from reliability.subjects import EXAMPLES, SUBSET

pytestmark = pytest.mark.torture(part="concurrency")
N_WORKERS = 4
MAX_ERROR = 1e-3  # of the sum of the voices; FLAC has 24 bits
DATES = (0, 10**9, 2 * 10**9)  # modification times, in seconds since 1970


class Worker:
    """A process that runs `worker.py`."""

    def __init__(self, model):
        self.arguments = [sys.executable, str(Path(__file__).with_name("worker.py")), str(model)]
        self.start()

    def start(self):
        """Start, or start again after a kill; `ready` waits until it is ready."""
        self.process = subprocess.Popen(self.arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=subprocess.DEVNULL, text=True)
        self.started = False

    def ask(self, command, arguments, seed, jumps):
        """Send a command."""
        if not self.started:
            assert self.process.stdout.readline() == "ready\n"
            self.started = True
        task = {"command": command, "arguments": [*map(str, arguments)], "seed": seed, "jumps": jumps}
        self.process.stdin.write(json.dumps(task) + "\n")
        self.process.stdin.flush()

    def answer(self):
        """Return how the command ended."""
        answer = json.loads(self.process.stdout.readline())
        code, output = answer["code"], "\n".join(line.strip() for line in answer["output"].splitlines())  # without bars
        return Ended(code, output) if isinstance(code, int) else Ended(1, f"{output}\n{code}")

    def kill(self):
        self.process.kill()
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()


@pytest.fixture(scope="module")
def workers(separator, scratch):
    separator.model.save(scratch / "small.keras")
    started = [Worker(scratch / "small.keras") for _ in range(N_WORKERS)]
    yield started
    for worker in started:
        worker.kill()


def make_speech(folder, names, rng):
    """Write different speech under each name; return the samples by name."""
    folder.mkdir(parents=True)
    made = {}
    for name in names:
        signal, rate_hz = audio.read(EXAMPLES[rng.randrange(len(EXAMPLES))])
        length = round(rng.uniform(0.5, 3) * rate_hz)
        start = rng.randrange(signal.shape[-1] - length)
        made[name] = np.ravel(signal[..., start : start + length]) * rng.uniform(0.3, 0.9)
        soundfile.write(folder / name, made[name], rate_hz, "PCM_16" if name.endswith(".wav") else "PCM_24")
    return made


def holds_voices_of(out, name, n_speakers, signal):
    """Return whether the voices of a name are there and add up to a signal."""
    stem, suffix = name.rsplit(".", 1)
    paths = [out / f"{stem}_{number}.{suffix}" for number in range(1, n_speakers + 1)]
    if not all(path.exists() for path in paths):
        return False
    voices = [soundfile.read(path)[0] for path in paths]
    return all(len(voice) == len(signal) for voice in voices) and np.abs(sum(voices) - signal).max() < MAX_ERROR


def wrong_voices(out, calls, n_speakers, force):
    """Describe files that are not of the call that printed them, that are mixed, or that are left over.

    Args:
        calls: how each call ended, with its signals by name.
    """
    wrong = []
    for name in calls[0][1]:
        stem, suffix = name.rsplit(".", 1)
        printed = [str(out / f"{stem}_1.{suffix}") in ended.output.splitlines() for ended, _ in calls]
        owners = [holds_voices_of(out, name, n_speakers, signals[name]) for _, signals in calls]
        if sum(owners) != 1:
            wrong.append(f"the voices of {name} are those of {sum(owners)} calls")
        elif not force and printed != owners:
            wrong.append(f"the voices of {name} are printed by {printed}, and belong to {owners}")
        elif abs(json.loads((out / f"{stem}.json").read_text())["seconds"] * audio.read(EXAMPLES[0])[1]
                 - len(calls[owners.index(True)][1][name])) > 1:
            wrong.append(f"{stem}.json is of another call")
    return wrong + [f"{path.name} is left" for path in out.iterdir() if path.name.startswith(".")]


def test_separations_at_once(campaign, workers, tmp_path, quick):
    n_cases, n_refused = 4 if quick else 60, 0
    for case in range(n_cases):
        rng = random.Random(case)
        force, jumps, n_speakers, n_calls = case % 5 == 4, case % 2 == 1, rng.choice((2, 3)), rng.randint(2, N_WORKERS)
        names = ("talk.wav",) if case % 3 else ("talk.wav", "other.flac", "third.wav")
        folder = tmp_path / str(case)
        signals = [make_speech(folder / str(call), names, rng) for call in range(n_calls)]
        for call, worker in enumerate(workers[:n_calls]):
            recordings = folder / str(call) if len(names) > 1 else folder / str(call) / names[0]
            worker.ask("separate", [recordings, "--speakers", n_speakers, "--out-dir", folder / "out", "--json",
                                    *["--force"] * force], 100 * case + call, jumps)
        ended = [worker.answer() for worker in workers[:n_calls]]
        wrong = wrong_voices(folder / "out", [*zip(ended, signals, strict=True)], n_speakers, force)
        refused = [end for end in ended if end.refused()]
        n_refused += len(refused)
        if not force and len(names) == 1 and len(refused) != n_calls - 1:
            wrong.append(f"{len(refused)} of {n_calls} calls are refused")
        wrong += [f"exit status {end.code}" for end in ended if end.code and not end.refused()]
        campaign.case(f"separations at once, {case}", *ended, wrong=wrong)
        shutil.rmtree(folder)
    campaign.record("Different recordings of one name, separated at once in 2 to 4 processes",
                    f"{n_refused} calls refused in a sentence; clocks jump in every second case")


def test_a_killed_separation_leaves_nothing_for_long(campaign, workers, tmp_path, quick):
    for case in range(1 if quick else 4):
        rng = random.Random(case)
        folder, out = tmp_path / str(case), tmp_path / str(case) / "out"
        first, second = (make_speech(folder / name, ("talk.wav",), rng) for name in "ab")
        killed, living = workers[-1], workers[0]
        killed.ask("separate", [folder / "a" / "talk.wav", "--speakers", 2, "--out-dir", out, "--json"], case, False)
        end = time.monotonic() + 30
        while not [*out.glob(".lab41-sce-*.part/*.wav")] and time.monotonic() < end:
            time.sleep(0.001)
        killed.kill()
        killed.start()
        for path in [*out.glob(".lab41-sce-*.part"), *out.glob(".lab41-sce-*.part/.lock")]:
            os.utime(path, (DATES[case % len(DATES)],) * 2)
        living.ask("separate", [folder / "b" / "talk.wav", "--speakers", 2, "--out-dir", out, "--json"], case, True)
        ended = living.answer()
        whole = ended.refused() and holds_voices_of(out, "talk.wav", 2, first["talk.wav"]) or (
            ended.code == 0 and holds_voices_of(out, "talk.wav", 2, second["talk.wav"]))
        left = [path.name for path in out.iterdir() if path.name.startswith(".")]
        campaign.case(f"a killed separation, {case}", ended, lost=[] if whole else ["voices"], wrong=left)
    campaign.record("kill -9 of a separation, then another into the same folder", "with other dates")


def test_stores_made_at_once(campaign, workers, corpus, tmp_path, quick):
    reference = None
    for case in range(2 if quick else 12):
        folder, n_calls = tmp_path / str(case), 2 + case % 3
        for call, worker in enumerate(workers[:n_calls]):
            worker.ask("store", [corpus, folder, "--subsets", SUBSET, "--jobs", 1], 100 * case + call, case % 2 == 1)
        ended = [worker.answer() for worker in workers[:n_calls]]
        wrong = [f"exit status {end.code}" for end in ended
                 if end.code and "another process makes the store" not in end.output]
        if not any(end.code == 0 for end in ended):
            wrong.append("no store is made")
        else:
            table = load_store(folder, check="samples").drop(columns="path")
            reference = table if reference is None else reference
            wrong += [] if table.equals(reference) else ["another table"]
        wrong += [path.name for path in folder.glob(".*")]
        campaign.case(f"stores at once, {case}", *ended, wrong=wrong)
        shutil.rmtree(folder)
    campaign.record("A store, made at once in 2 to 4 processes", "all samples compared")


def test_sweeps_at_once(campaign, workers, tmp_path, quick):
    for case in range(2 if quick else 12):
        folder, n_calls = tmp_path / str(case), 2 + case % 3
        write_run(folder / "0", ["seed=0"], (1.0, 2.0))
        for call, worker in enumerate(workers[:n_calls]):
            worker.ask("sweep", [folder], 100 * case + call, case % 2 == 1)
        write_run(folder / "1", ["seed=1"], (3.0, 4.0))  # a run that ends meanwhile
        ended = [worker.answer() for worker in workers[:n_calls]]
        wrong = [f"exit status {end.code}" for end in ended
                 if end.code and "another process writes the table" not in end.output]
        n_runs = pd.read_csv(folder / "sweep.csv")["run"].nunique()
        if len((folder / "sweep.md").read_text("utf-8").splitlines()) != 2 + n_runs:
            wrong.append("sweep.csv and sweep.md differ")
        if not any(end.code == 0 for end in ended):
            wrong.append("no table is written")
        wrong += [path.name for path in folder.glob(".*")]
        campaign.case(f"sweeps at once, {case}", *ended, wrong=wrong)
    campaign.record("The table of a sweep, written at once in 2 to 4 processes", "a run ends meanwhile")


WRITE = """
import sys, time
from lab41_sce.atomic_write import write_whole

def in_two_parts(path):
    with path.open("w") as file:
        for _ in range(2):
            file.write(sys.argv[2] * 100_000)
            file.flush()
            time.sleep(0.005)

time.sleep(max(0, float(sys.argv[3]) - time.time()))  # all begin at once
for _ in range(20):
    write_whole(sys.argv[1], in_two_parts)
"""


def test_writers_of_one_file(campaign, tmp_path, quick):
    for case in range(2 if quick else 12):
        path = tmp_path / f"{case}.txt"
        running = [Running(["-c", WRITE, path, letter, time.time() + 2]) for letter in "abcd"[: 2 + case % 3]]
        mixed = []
        end = time.monotonic() + 30
        while time.monotonic() < end and any(process._process.poll() is None for process in running):
            if path.exists() and (len(text := path.read_text()) != 200_000 or len({*text}) != 1):
                mixed.append(f"{len(text)} letters, of {sorted({*text})}")
        ended = [process.end() for process in running]
        wrong = [f"exit status {end.code}" for end in ended if end.code]
        wrong += [name.name for name in tmp_path.glob(".*")]
        campaign.case(f"writers of one file, {case}", *ended, lost=mixed, wrong=wrong)
    campaign.record("One file, written 20 times each by 2 to 4 processes", "read all the while")


def test_the_real_command_twice(campaign, tmp_path, quick):
    for case in range(1 if quick else 3):
        rng, folder = random.Random(case), tmp_path / str(case)
        signals = [make_speech(folder / name, ("talk.wav",), rng) for name in "ab"]
        running = [Running(["-m", "lab41_sce.separate", folder / name / "talk.wav", "--speakers", "2", "--json",
                            "--out-dir", folder / "out"]) for name in "ab"]
        ended = [process.end() for process in running]
        wrong = wrong_voices(folder / "out", [*zip(ended, signals, strict=True)], 2, force=False)
        wrong += [] if sorted(end.code for end in ended) == [0, 1] else ["not one refused"]
        campaign.case(f"the real command twice, {case}", *ended, wrong=wrong)
    campaign.record("Two recordings of one name, separated at once by the command with the shipped model")


def replace_cell(rng, path, column, value):
    """Write a value into a random row of a column."""
    table = pd.read_csv(path, dtype=str, keep_default_na=False)
    row = rng.randrange(len(table))
    table.loc[row, column] = str(value(int(table[column][row])) if callable(value) else value)
    table.to_csv(path, index=False)


def damage(rng, store):
    """Damage the tables of a store, or its shards, in one of many ways; describe how."""
    index, shards, description = (store / name for name in ("index.csv", "shards.csv", "store.json"))
    way = rng.randrange(12)
    offset, words = rng.choice((-10**12, -10, -1, 1, 7, 10**12)), ("", "x", "nan", "1.5", "0x10", "1e400", "=1", "٣٫١")
    column = rng.choice(("start", "stop", "shard"))
    if way == 0:
        replace_cell(rng, shards, "shard", rng.choice((
            "../elsewhere.wav", str(store.parent / "elsewhere.wav"), "shard_00000.wav/../../elsewhere.wav", "",
            "shard_00000.WAV", "./shard_00000.wav", "index.csv", "sub/shard_00000.wav", "~", "a\nb")))
    elif way in (1, 2):
        replace_cell(rng, index, column, lambda value: value + offset)
    elif way == 3:
        replace_cell(rng, index, column, rng.choice(words))
    elif way == 4:
        replace_cell(rng, shards, rng.choice(("samples", "crc32")), rng.choice(words))
    elif way == 5:
        replace_cell(rng, shards, "samples", lambda value: value + offset)
    elif way == 6:
        rate = rng.choice((8000, 10001, 0, -1, 1e4 + 0.5, "10000", None, [], {}, True, 10**30))
        description.write_text(json.dumps(json.loads(description.read_text()) | {"sample_rate_hz": rate}))
    elif way == 7:
        path = rng.choice((index, shards, description))
        content = path.read_bytes()
        path.write_bytes(content[: rng.randrange(len(content) - 2)])
    elif way == 8:
        path = rng.choice((index, shards))
        table = pd.read_csv(path, dtype=str, keep_default_na=False)
        table.drop(columns=rng.choice([*table.columns])).to_csv(path, index=False)
    elif way == 9:
        path = rng.choice((index, shards))
        lines = path.read_text().splitlines(keepends=True)
        row = rng.randrange(1, len(lines))
        twice = lines[: row + 1] + lines[row:]
        path.write_text("".join(twice if rng.random() < 0.5 else lines[:row] + lines[row + 1 :]))
    elif way == 10:
        path = rng.choice((index, shards, description, *sorted(store.glob("*.wav"))))
        path.rename(store.parent / f"outside_{path.name}")
        path.symlink_to(store.parent / f"outside_{path.name}")
    else:
        path = rng.choice(sorted(store.glob("*.wav")))
        content = path.read_bytes()
        path.write_bytes(rng.choice((content[:44] + bytes(len(content) - 44), content[:-2], content + bytes(2000),
                                     content[:100], b"", content[:24] + b"\x40\x1f\0\0" + content[28:])))
    return way


def test_damaged_stores(campaign, stored, tmp_path, quick):
    ways = set()
    soundfile.write(tmp_path / "elsewhere.wav", np.full(10**6, 0.1), 10000)
    for case in range(12 if quick else 120):
        store = shutil.copytree(stored.reference, tmp_path / "store")

        def refuse(case=case, store=store):
            ways.add(damage(random.Random(case), store))
            try:
                load_store(store, check="headers")
            except UserError as error:
                assert "\n" not in str(error), error
            else:
                raise Lost(f"case {case} is taken")

        campaign.run(refuse)
        shutil.rmtree(store)
        for path in tmp_path.glob("outside_*"):
            path.unlink()
    campaign.record("A store with damaged tables or shards, loaded with the default check",
                    f"{len(ways)} kinds of damage")


def test_a_store_of_any_date(campaign, stored, tmp_path, quick):
    store = shutil.copytree(stored.reference, tmp_path / "store")
    reference = load_store(store)
    for case, date in enumerate(itertools.islice(itertools.cycle(DATES), 3 if quick else 12)):
        rng = random.Random(case)
        for path in store.iterdir():
            os.utime(path, (date + rng.randrange(10**6),) * 2)
        campaign.count(load_store(store, check=("headers", "samples")[case % 2]).equals(reference))
    campaign.record("A store whose files are dated at random")

"""Damage the folder of a run, its speech or its dates, resume, and compare with the undisturbed run.

Runs are resumed in this process, without figures, report and speaker tables, which every call makes again.
"""

import copy
import functools
import os
import shutil
import time
from collections import Counter

import numpy as np
import pandas as pd
import pytest
import soundfile

from lab41_sce.article import draw
from lab41_sce.commands import experiment
from lab41_sce.errors import UserError
from lab41_sce.reporting import report
from lab41_sce.runs.config_schema import compose_config
from lab41_sce.training import callbacks
from reliability.processes import distance, files, half_written
from reliability.subjects import SUBSET, TINY

pytestmark = pytest.mark.torture(part="resume")
SETTINGS = (*TINY, "training.tensorboard=false", "evaluation.jobs=1", "validation.batches=1",
            "evaluation.splits=[unseen]", "validation.per_kind=1")
# Files that the run cannot make again without a doubt; a message about each of them is right, too.
ORIGINALS = ("config.yaml", "splits.csv", "speech.csv")
KILLED_AT = 9  # updates, one after the second checkpoint
TOLERANCE = 1e-3  # of scores in dB and of weights, after the updates since the older checkpoint are made again
DAY_SECONDS = 86_400


class Killed(BaseException):
    """Stands in for a kill."""


@functools.cache
def composed():
    return compose_config([*SETTINGS, "resume=true"])


def resume(corpus, folder, updates=12):
    config = copy.deepcopy(composed())
    config.corpus.root, config.run_dir, config.training.updates = str(corpus), str(folder), updates
    experiment.run(config, folder)


@pytest.fixture(scope="module")
def patch():
    with pytest.MonkeyPatch.context() as patch:
        yield patch


@pytest.fixture(scope="module")
def finished(patch, corpus, scratch):
    patch.setattr(draw, "write_figures", lambda folder: None)
    patch.setattr(report, "write_report", lambda folder, captions: None)
    patch.setattr(experiment, "_write_speaker_tables", lambda systems, prepared, folder: None)
    resume(corpus, scratch / "finished")
    return scratch / "finished"


@pytest.fixture(scope="module")
def half_trained(patch, finished, corpus, scratch):
    count = callbacks.UpdateCounter.on_train_batch_end

    def count_or_die(counter, batch, logs=None):
        if counter.state.update == KILLED_AT - 1:
            raise Killed
        count(counter, batch, logs)

    with pytest.MonkeyPatch.context() as killing, pytest.raises(Killed):
        killing.setattr(callbacks.UpdateCounter, "on_train_batch_end", count_or_die)
        resume(corpus, scratch / "half_trained")
    return scratch / "half_trained"


def emptied(data, rng):
    return b""


def zeroed(data, rng):
    return bytes(len(data))


def cut(data, rng):
    return data[: rng.integers(1, max(2, len(data)))]


def bit_flipped(data, rng):
    position = rng.integers(len(data))
    return data[:position] + bytes([data[position] ^ 1 << rng.integers(8)]) + data[position + 1 :]


DAMAGE = (emptied, zeroed, cut, bit_flipped)


class Case:
    """Copy a run, disturb it, resume it: it ends as the reference, or with one sentence where that is allowed.

    Args:
        run: folder of the run to copy.
        disturb: changes the copy.
        resume: continues in it.
        reference: folder of the undisturbed run, or None where the case must be refused.
        named: text that a message must contain, or None where the run must recover.
    """

    def __init__(self, run, disturb, resume, reference, named=None):
        self.run, self.disturb, self.resume, self.reference, self.named = run, disturb, resume, reference, named
        self.end = "failed"

    def __call__(self):
        folder = self.run.with_name("disturbed")
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(self.run, folder)
        self.disturb(folder)
        before = {name: (folder / name).read_bytes() for name in files(folder)}
        try:
            self.resume(folder)
        except UserError as error:
            assert self.named is not None and self.named in str(error) and "\n" not in str(error), error
            assert {name: (folder / name).read_bytes() for name in files(folder)} == before
            self.end = "refused"
            return
        assert self.reference is not None, "it is not noticed"
        compared = folder.with_name("compared"), folder.with_name("reference")
        for copied, original in zip(compared, (folder, self.reference)):
            shutil.rmtree(copied, ignore_errors=True)
            shutil.copytree(original, copied)
            # The previous checkpoint is replaced at the next validation; a model's file holds the time of its writing.
            for other in [*copied.rglob("checkpoint_previous.npz"), *copied.glob("checksums.csv")]:
                other.unlink()
        assert not half_written(compared[0])
        assert distance(*compared) <= TOLERANCE
        self.end = "recovered"


def count(campaign, cases, name, about, quick):
    for number, (label, case) in enumerate(cases.items()):
        if quick and number % (len(cases) // 3 + 1):
            continue
        survived = campaign.survived
        campaign.run(case)
        if campaign.survived == survived:
            print(f"NOT SURVIVED: {label}")
    ends = Counter(case.end for case in cases.values() if not quick or case.end != "failed")
    campaign.record(name, f"{about}; " + ", ".join(f"{n} {end}" for end, n in sorted(ends.items())))


@pytest.mark.parametrize("state", ["finished", "half_trained"])
def test_damaged_files(campaign, finished, half_trained, corpus, quick, state):
    run, rng, cases = {"finished": finished, "half_trained": half_trained}[state], np.random.default_rng(0), {}
    names = sorted(name for name in files(run) if not name.startswith("examples/") or "-FF-1/" in name)
    for name in names:
        for damage in DAMAGE:
            def disturb(folder, name=name, damage=damage):
                (folder / name).write_bytes(damage((folder / name).read_bytes(), rng))

            named = "" if name == "config.yaml" else name  # a changed setting is named instead
            cases[f"{name} {damage.__name__}"] = Case(run, disturb, functools.partial(resume, corpus), finished,
                                          named if name in ORIGINALS else None)
    count(campaign, cases, f"a file of a run is damaged ({state.replace('_', '-')})",
          f"{len(names)} files emptied, zeroed, cut, one bit flipped", quick)


@pytest.mark.parametrize("state", ["finished", "half_trained"])
def test_dates_that_jump(campaign, finished, half_trained, corpus, scratch, quick, state):
    """Files are dated ahead or behind, all or some; then the run goes on, as it is or with more updates."""
    run = {"finished": finished, "half_trained": half_trained}[state]
    longer, cases = scratch / "longer", {}
    if state == "finished":
        shutil.copytree(finished, longer)
        resume(corpus, longer, 20)
    for pattern in ("*", "mixtures.csv", "model.keras") if state == "finished" else ("*", "*.npz"):
        for days in (3, -3, -20_000):
            # A half-trained run with more updates has another schedule from its beginning.
            for updates, reference in {12: finished, 20: longer}.items() if state == "finished" else [(12, finished)]:
                def disturb(folder, pattern=pattern, days=days):
                    moment = time.time() + days * DAY_SECONDS
                    for path in folder.rglob(pattern):
                        os.utime(path, (max(moment, 0), max(moment, 0)))

                cases[f"{pattern} dated {days} days, {updates} updates"] = Case(
                    run, disturb, functools.partial(resume, corpus, updates=updates), reference)
    count(campaign, cases, f"files of a run with dates that jump ({state.replace('_', '-')})",
          "dated ahead or behind, then resumed, also with more updates", quick)


def test_replaced_utterances(campaign, finished, half_trained, corpus, scratch, quick):
    """One utterance of each split is replaced by noise, by itself at half the level, or loses one sample."""
    splits, rng, cases = pd.read_csv(finished / "splits.csv", dtype=str), np.random.default_rng(1), {}
    changes = {"noise": lambda signal: 0.1 * rng.standard_normal(len(signal)),
               "half the level": lambda signal: signal / 2, "one sample less": lambda signal: signal[:-1]}
    for split, rows in splits.groupby("split"):
        for change, function in changes.items():
            utterance, run = rng.choice(rows["utterance"]), (finished, half_trained)[len(cases) % 2]

            def resume_with_changed(folder, utterance=utterance, function=function):
                changed = scratch / "changed"
                shutil.rmtree(changed, ignore_errors=True)
                shutil.copytree(corpus, changed)
                path = next((changed / SUBSET).rglob(f"{utterance}.*"))
                signal, rate_hz = soundfile.read(path)
                soundfile.write(path, np.clip(function(signal), -1, 1), rate_hz)
                resume(changed, folder)

            cases[f"{utterance} of {split}: {change}, {run.name}"] = Case(run, lambda folder: None,
                                                                        resume_with_changed, None, utterance)
    count(campaign, cases, "a run goes on with replaced utterances",
          "noise, half the level, one sample less, in each split", quick)


def test_edited_scores(campaign, finished, corpus, quick):
    """Scores, names and rows of mixtures.csv are edited; the recorded checksums are left or removed."""
    rng, cases = np.random.default_rng(2), {}

    def value(table):
        table.loc[rng.integers(len(table)), "value"] = "25.0"
        return table

    def system(table):
        return table.assign(system=table["system"].replace({"sce": "unprocessed", "unprocessed": "sce"}))

    def fewer(table):
        return table.drop(rng.integers(len(table)))

    def twice(table):
        return pd.concat([table, table.sample(5, random_state=1)])

    def words(table):
        table.loc[rng.integers(len(table)), "value"] = "good"
        return table

    for edit in (value, system, fewer, twice, words):
        for number in range(2):
            for without_checksums in (False, True):
                def disturb(folder, edit=edit, without_checksums=without_checksums):
                    table = pd.read_csv(folder / "mixtures.csv", dtype=str)
                    edit(table).to_csv(folder / "mixtures.csv", index=False)
                    if without_checksums:
                        (folder / "checksums.csv").unlink(missing_ok=True)

                cases[f"{edit.__name__} {number}, {without_checksums}"] = Case(
                    finished, disturb, functools.partial(resume, corpus), finished)
    count(campaign, cases, "edited scores in a run", "values, systems, rows; also without checksums.csv", quick)

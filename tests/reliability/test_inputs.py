"""Inputs that break programs: each must end in a right answer or one clear error message.

The tests of tests/commands/test_fuzz.py run here with hundreds of cases, and the ends are counted: no traceback, no
case of a minute, no allocation of 2 GB, no file lost or half written. Then the commands run as processes of their own
on the worst inputs. Intended attacks are in `test_hostile_files.py` and `test_hostile_models.py`.
"""

import inspect
import os
import subprocess
import sys
import tempfile

import numpy as np
import pytest
import soundfile

from reliability.bad_files import files_with_false_headers

pytestmark = pytest.mark.torture(part="inputs")
FUZZ_TESTS = {"test_any_signal": "Signals, to Separator.separate",
              "test_any_argument": "Rates, shapes and numbers of speakers",
              "test_any_file": "Files and options, to lab41_sce.separate",
              "test_any_setting": "Settings, to lab41_sce.experiment",
              "test_any_scores": "References and estimates, to score_mixture",
              "test_any_vectors": "Vectors, to clustering"}
WRONG_SETTINGS = ("seed=-1", "training.minutes=never", "mixtures=5", "others=null", "method=magic", "nothing=1",
                  "network.units=-3", "front_end.frame_length=0", "corpus.root=/dev/zero", "corpus.subsets=[../..]",
                  "method.build._target_=os.system", "corpus.utterances=/dev/null", "noise.folder=/dev/null",
                  "embedding_size=1.5", "training.updates=1e99")


@pytest.mark.parametrize("name", FUZZ_TESTS)
def test_fuzz_tests(campaign, fuzz, limited_memory, name, separator, tmp_path_factory):
    """Hypothesis sees no failure, so that it draws all cases of a test."""
    test = getattr(fuzz, name)
    given = {"separator": separator, "tmp_path_factory": tmp_path_factory}
    inner = test.hypothesis.inner_test
    test.hypothesis.inner_test = lambda *args, **kwargs: campaign.run(lambda: inner(*args, **kwargs), fuzz.Lost)
    test(**{fixture: given[fixture] for fixture in inspect.signature(test).parameters})
    campaign.record(FUZZ_TESTS[name], campaign.time_and_memory())


def run_command(command):
    """Run a command; return its exit status, its errors, and its peak memory in bytes."""
    with tempfile.TemporaryFile() as errors:
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=errors, stdin=subprocess.DEVNULL)
        try:
            _, status, usage = os.wait4(process.pid, 0)
        except BaseException:  # it hangs
            process.kill()
            raise
        errors.seek(0)
        return os.waitstatus_to_exitcode(status), errors.read().decode(errors="replace"), 1024 * usage.ru_maxrss


def bad_commands(folder, no_files):
    """List arguments of commands, and the exit statuses that are right."""
    listed, noise = [], np.random.default_rng(0).standard_normal(8000) / 10

    def separate(name, *options, right=(1,)):
        listed.append((["lab41_sce.separate", str(folder / name), "--out-dir", str(folder / "out"), *options], right))

    for kind, make in no_files.items():
        make(folder / f"{kind}.wav")
        separate(f"{kind}.wav")
    for name in ("plain.wav", "with space.flac", "it's \"so\".ogg", "two\nlines.wav"):
        soundfile.write(folder / name, noise, 8000, format=name[-4:].strip(".").upper())
        separate(name, "--json", "--rttm", right=(0,))
    not_utf8 = os.fsdecode(b"\xff\xfe.wav")
    (folder / not_utf8).write_bytes((folder / "plain.wav").read_bytes())
    separate(not_utf8)
    for name, content in files_with_false_headers().items():
        (folder / name).write_bytes(content)
        separate(name, right=(0, 1))  # libsndfile corrects some headers
    for option in ("--speakers=0", "--speakers=1e9", "--channels=9", f"--enroll={folder / 'pipe.wav'}",
                   f"--model={folder / 'plain.wav'}", f"--model={folder}", f"--out-dir={folder / 'plain.wav'}"):
        separate("plain.wav", option)
    soundfile.write(folder / "many channels.wav", np.tile(noise[:1000, None], 64), 768000)
    separate("many channels.wav", "--channels", "each", right=(0,))
    for setting in (*WRONG_SETTINGS, f"run_dir={folder / 'plain.wav'}"):
        listed.append((["lab41_sce.experiment", "+exp=smoke", f"run_dir={folder / 'run'}", setting], (1,)))
    return listed


def test_commands(campaign, fuzz, limited_memory, quick, tmp_path):
    peaks = []
    for arguments, right in bad_commands(tmp_path, fuzz.NO_FILES)[:: 12 if quick else 1]:

        def case(arguments=arguments, right=right):
            code, errors, used_bytes = run_command([sys.executable, "-m", *arguments])
            peaks.append(used_bytes)
            if "Traceback" in errors:
                raise RuntimeError(f"{arguments}: {errors}")
            assert code in right and used_bytes < limited_memory, f"{arguments}: {used_bytes} bytes, {code}: {errors}"
            if code:
                fuzz.is_clear(errors)

        campaign.run(case)
    campaign.record("Commands as processes of their own", campaign.time_and_memory(max(peaks)))

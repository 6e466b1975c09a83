"""A function outside the package is a system: it works at its own sample rate, and its mistakes are one sentence."""

import sys

import numpy as np
import pytest

from lab41_sce.data.mixture import Mixture
from lab41_sce.errors import UserError
from lab41_sce.evaluation.scoring import score_systems
from lab41_sce.methods.base import Setup
from lab41_sce.methods.waveform import WaveformSystem, load_function
from lab41_sce.runs.config_schema import check, compose_config
from lab41_sce.runs.systems import build_systems

MODULE = """
import numpy as np

def halves(signal, n_speakers):
    return np.stack([signal / 2] * n_speakers)

def rateless(signal, n_speakers):
    raise SystemExit("must not be called")

class Separator:
    sample_rate_hz = 16000

    def __call__(self, signal, n_speakers):
        return halves(signal, n_speakers)

halves.sample_rate_hz = 8000
separator = Separator()
no_number = Separator()
no_number.sample_rate_hz = "8 kHz"
"""


@pytest.fixture
def module(tmp_path, monkeypatch):
    """Put a module into the current folder, and return its name."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.delitem(sys.modules, "functions_of_a_user", raising=False)
    (tmp_path / "functions_of_a_user.py").write_text(MODULE)
    return "functions_of_a_user"


def system(function, sample_rate_hz=8000):
    function.sample_rate_hz = sample_rate_hz
    return WaveformSystem(function, "my:function")


def mixture(n_samples=10000, rate_hz=10000):
    time = np.arange(n_samples) / rate_hz
    return Mixture(np.stack([np.sin(2 * np.pi * f * time) for f in (300, 1000)]).astype(np.float32))


def test_the_function_works_at_its_own_rate():
    received = []

    def separate(signal, n_speakers):
        received.append((len(signal), signal.dtype, n_speakers))
        return [signal, -signal]

    mixed = mixture()
    voices = system(separate).voices(mixed, 10000)
    assert received == [(8000, np.float32, 2)]
    assert voices.shape == (2, 10000) and voices.dtype == np.float32
    np.testing.assert_allclose(voices[0, 500:-500], mixed.signal[500:-500], atol=2e-3)
    np.testing.assert_array_equal(voices[1], -voices[0])


@pytest.mark.parametrize("n_samples", [7990, 8010])
def test_the_length_becomes_that_of_the_mixture(n_samples):
    voices = system(lambda signal, n_speakers: np.ones((2, n_samples)), 8000).voices(mixture(8000, 8000), 8000)
    assert voices.shape == (2, 8000) and voices[0, :7990].all()
    assert voices[0, 7990:].any() == (n_samples > 8000)


@pytest.mark.parametrize(("function", "message"), [
    (lambda signal, n_speakers: signal, r"shape \(8000,\); it must return finite voices of the shape \(2, samples\)"),
    (lambda signal, n_speakers: signal[None], r"shape \(1, 8000\)"),
    (lambda signal, n_speakers: np.full((2, 8000), np.nan), r"shape \(2, 8000\) with NaN or infinity"),
    (lambda signal, n_speakers: np.ones((2, 4000)), r"voices of 0.50 s for a mixture of 1.00 s"),
    (lambda signal, n_speakers: {}["x"], r"failed \(KeyError: 'x', in test_waveform.py, line \d+\)"),
    (lambda signal, n_speakers: ["a", "b"], r"failed \(ValueError: .*\)"),
    (lambda signal, n_speakers: None, r"returned None; it must return real voices of the shape \(2, samples\)"),
    (lambda signal, n_speakers: 1j * np.ones((2, 8000)), r"returned complex numbers; it must return real voices"),
])
def test_mistakes_of_the_function_are_one_sentence(function, message):
    with pytest.raises(UserError, match=f"my:function.*{message}"):
        system(function).voices(mixture(8000, 8000), 8000)


def test_functions_and_objects_are_found_in_the_current_folder(module):
    assert load_function(f"{module}:halves").sample_rate_hz == 8000
    assert load_function(f"{module}:separator").sample_rate_hz == 16000


@pytest.mark.parametrize(("name", "message"), [
    ("absent", "absent cannot be imported"), ("rateless", "rateless is no function with a sample rate"),
    ("no_number", "no_number is no function with a sample rate"),
])
def test_other_objects_are_refused(module, name, message):
    with pytest.raises(UserError, match=message):
        load_function(f"{module}:{name}")


@pytest.mark.parametrize("place", ["no_such_module:name", ".relative:name", "name", ":name", ""])
def test_other_places_are_refused(place):
    with pytest.raises(UserError, match="cannot be imported"):
        load_function(place)


def test_the_mistakes_of_a_module_are_one_sentence(module, tmp_path):
    (tmp_path / "broken_of_a_user.py").write_text("import numpy\n1 / 0\n")
    with pytest.raises(UserError, match=r"ZeroDivisionError: division by zero, in broken_of_a_user.py, line 2"):
        load_function("broken_of_a_user:name")


def test_a_function_is_scored_like_a_system_with_masks(module, evaluation_set, front_end):
    speech, mixtures = evaluation_set
    config = compose_config(["method=waveform", f"method.build.function={module}:halves", "training.updates=1"])
    check(config)
    systems = build_systems(config, Setup(front_end, None, 2))
    scores = score_systems(front_end, {name: systems[name] for name in ("waveform", "unprocessed")}, speech,
                           mixtures[1:2], n_jobs=1)
    found = scores[scores["metric"] == "SI-SDR"].set_index("system")["value"]
    assert found["waveform"] == pytest.approx(found["unprocessed"], abs=0.1)


def test_a_configuration_needs_a_function():
    with pytest.raises(UserError, match="method.build.function must be given"):
        check(compose_config(["method=waveform", "training.updates=1"]))


def test_the_function_is_text():
    with pytest.raises(UserError, match="method.build.function=3 is not possible; give a text"):
        check(compose_config(["method=waveform", "method.build.function=3", "training.updates=1"]))

"""STOI, ESTOI and PESQ: values of the packages, and what is refused."""

import numpy as np
import pytest

from lab41_sce import audio
from lab41_sce.errors import UserError
from lab41_sce.evaluation import definitions, perceptual
from lab41_sce.evaluation.metrics import score_mixture
from lab41_sce.evaluation.perceptual import check_metrics, perceptual_scores
from lab41_sce.examples import EXAMPLES

RATE_HZ = 16000
NOISY = {"STOI": 0.91907, "ESTOI": 0.77652, "PESQ-NB": 1.77538, "PESQ-WB": 1.10641}  # pystoi 0.4.1, pesq 0.0.4


@pytest.fixture(scope="module")
def speech():
    """Return two seconds of an example, [1, N]."""
    return audio.read_mono(EXAMPLES[0], RATE_HZ)[None, RATE_HZ : 3 * RATE_HZ]


@pytest.fixture
def packages():
    """Skip a test where pystoi or pesq is missing."""
    for name in ("pystoi", "pesq"):
        pytest.importorskip(name)


def with_noise(speech):
    return speech + 0.3 * speech.std() * np.random.default_rng(0).standard_normal(speech.shape)


def test_scores_equal_stored_ones_at_any_level(packages, speech):
    for level in (1.0, 1e-3):
        scores = perceptual_scores(speech, level * with_noise(speech), RATE_HZ, ["SDR", *NOISY])
        assert [*scores] == [*NOISY]
        assert {name: value for name, [value] in scores.items()} == pytest.approx(NOISY, abs=1e-3)


def test_scores_repeat_and_leave_the_generator_of_numpy_alone(packages, speech):
    """pystoi 0.4.1 adds noise to a muted part, drawn from NumPy's global generator."""
    estimate, state = speech.copy(), np.random.get_state()[1].copy()
    estimate[:, 8000:24000] = 0
    first, second = (perceptual_scores(speech, estimate, RATE_HZ, ["ESTOI"]) for _ in range(2))
    np.testing.assert_array_equal(first["ESTOI"], second["ESTOI"])
    np.testing.assert_array_equal(np.random.get_state()[1], state)


def test_a_mixture_has_improvements_of_every_metric(packages, speech):
    sources = np.concatenate([speech, speech[:, ::-1]])
    estimates = (sources + 0.1 * sources[::-1])[::-1]  # not in the order of the sources
    rows = score_mixture(sources, sources.sum(axis=0), {"a": estimates}, ["SI-SDR", "STOI"], RATE_HZ)
    scores = {metric: value for _, metric, value in rows}
    assert [*scores] == ["SI-SDR", "SI-SDRi", "STOI", "STOIi"]
    assert 0.9 < scores["STOI"] < 1 and scores["STOIi"] > 0.1


def test_too_little_speech_has_no_score(packages, speech):
    silent = np.zeros_like(speech)
    for reference in (silent, speech[:, : RATE_HZ // 10]):
        scores = perceptual_scores(reference, reference + 0.1, RATE_HZ, [*NOISY])
        assert np.isnan([*scores.values()]).all()
    [poor] = perceptual_scores(speech, silent, RATE_HZ, ["PESQ-WB"])["PESQ-WB"]  # scored as white noise
    assert 1 <= poor < 1.5


def test_long_signals_are_scored_in_windows(packages, speech, monkeypatch):
    """pesq keeps a limited number of utterances, so it never receives more than 19 seconds."""
    import pesq

    lengths, score = [], pesq.pesq
    monkeypatch.setattr(pesq, "pesq", lambda rate_hz, *pair, mode: lengths.append(len(pair[0]) / rate_hz)
                        or score(rate_hz, *(signal[: 2 * rate_hz] for signal in pair), mode=mode))
    long = np.tile(speech, 10)  # 20 seconds
    perceptual_scores(long, with_noise(long), RATE_HZ, ["PESQ-NB"])
    assert lengths == [10.0, 10.0]


def test_a_missing_package_is_reported_in_one_sentence(monkeypatch):
    monkeypatch.setattr(perceptual, "find_spec", lambda name: None)
    check_metrics(["SDR", "SI-SDR"])
    with pytest.raises(UserError, match="STOI needs the package pystoi; pip install pystoi, or leave out STOI"):
        check_metrics(["SDR", "STOI"])


def test_a_sample_rate_that_is_too_low_is_reported_in_one_sentence(monkeypatch):
    monkeypatch.setattr(perceptual, "find_spec", lambda name: True)
    check_metrics(["PESQ-NB", "STOI"], 8000)
    with pytest.raises(UserError, match="PESQ-WB needs mixtures of 16000 Hz or more, these have 10000 Hz"):
        check_metrics(["PESQ-WB"], 10000)


def test_a_caption_defines_every_metric_with_its_rate():
    caption = definitions.caption(["SDRi", "SAR", "STOI", "PESQ-WBi"])
    assert caption.startswith("SDR, SAR: BSS Eval") and "mir_eval 0.8" in caption
    assert "STOI: short-time" in caption and "at 10 kHz; pystoi" in caption
    assert "at 16 kHz, mean over windows" in caption
    assert "SI-SDR" not in caption and "PESQ-NB" not in caption
    assert (definitions.unit("STOIi"), definitions.unit("SDRi"), definitions.digits("ESTOI")) == ("", "dB", 3)

"""Verdicts on identities and similar voices, with numbers on every side of each rule."""

import numpy as np
import pandas as pd
import pytest

from lab41_sce.article import model_claims
from lab41_sce.article.claim import BY_CONSTRUCTION, FAILS, HOLDS, UNDECIDED


def test_a_model_with_and_without_speaker_vectors(tiny_model):
    speakers = [str(number) for number in range(1001, 1024)]
    assert model_claims.judge_identities(tiny_model, speakers).verdict == BY_CONSTRUCTION
    assert len(model_claims.judge_identities(tiny_model, speakers).table.rows) == len(tiny_model.weights)
    eight = model_claims.judge_identities(tiny_model, speakers[: 4 * 2])  # equal to a dimension of its BLSTM
    assert eight.verdict == BY_CONSTRUCTION and "1 of 8 weights have a dimension of 8" in eight.reason
    tiny_model.speaker_vectors = tiny_model.add_weight(shape=(23, 3))
    assert model_claims.judge_identities(tiny_model, speakers).verdict == FAILS


def test_a_model_with_speakers_in_its_settings(tiny_model):
    config = tiny_model.get_config
    tiny_model.get_config = lambda: config() | {"speakers": ["1001", "1002"]}
    claim = model_claims.judge_identities(tiny_model, [str(number) for number in range(1001, 1024)])
    assert claim.verdict == FAILS and "name 2 of these speakers" in claim.reason


def population(n=40, by_sex=0.0, by_pitch=0.0, seed=0):
    """Make speakers with vectors that depend on sex and pitch by the given amounts."""
    rng = np.random.default_rng(seed)
    sexes = np.array(["F", "M"])[np.arange(n) % 2]
    semitones = rng.standard_normal(n)
    spectra = np.stack([semitones, rng.standard_normal(n) * 0.1], axis=1) + 3 * (sexes == "F")[:, None]
    vectors = 0.3 * rng.standard_normal((n, 5))
    vectors[:, 0] += by_sex * np.where(sexes == "F", 1, -1)
    angles = semitones * by_pitch
    vectors[:, 1:3] += np.stack([np.cos(angles), np.sin(angles)], axis=1) * (by_pitch > 0)
    table = pd.DataFrame({"speaker": np.arange(n).astype(str), "sex": sexes,
                          "pitch_hz": np.where(sexes == "F", 200, 110) * 2 ** (semitones / 12)})
    return table.join(pd.DataFrame(vectors).add_prefix("vector_")).join(pd.DataFrame(spectra).add_prefix("spectrum_"))


@pytest.mark.slow
def test_similar_voices():
    both = model_claims.judge_similar_voices(population(by_sex=1.0, by_pitch=1.0))
    assert both.verdict == HOLDS and len(both.table.rows) == 4
    only_sex = model_claims.judge_similar_voices(population(by_sex=2.0, seed=3))
    assert only_sex.verdict == UNDECIDED and "same order in 100.0 % of the pairs" in only_sex.reason
    assert model_claims.judge_similar_voices(population(seed=5)).verdict == UNDECIDED
    few = model_claims.judge_similar_voices(population(4, by_sex=1.0))
    assert few.verdict == UNDECIDED and few.table.rows[1][2] == "+nan"  # two pairs of one sex


@pytest.mark.parametrize(("found", "verdict"), [
    ([(0.5, 0.001)] * 4, HOLDS), ([(0.5, 0.001)] * 3 + [(0.1, 0.2)], UNDECIDED),
    ([(-0.2, 0.99)] * 3 + [(0.1, 0.3)], UNDECIDED), ([(-0.2, 0.99)] * 4, FAILS),
    ([(-0.05, 0.8)] * 4, UNDECIDED)])  # such as vectors without training
def test_the_rule_for_similar_voices(found, verdict, monkeypatch):
    answers = iter(found)
    monkeypatch.setattr(model_claims.voices, "mantel_test", lambda *_: next(answers))
    assert model_claims.judge_similar_voices(population()).verdict == verdict

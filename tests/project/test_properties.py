"""Properties that hold for any corpus, signals and masks."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from lab41_sce.data import evaluation_set, splits
from lab41_sce.data.mixture import Mixture
from lab41_sce.errors import UserError
from lab41_sce.evaluation import metrics
from lab41_sce.evaluation.scoring import apply_masks
from lab41_sce.methods import oracles
from lab41_sce.methods.base import Setup
from lab41_sce.models.front_end import FrontEnd

some = settings(max_examples=30, deadline=None, derandomize=True, database=None,
                suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much])


@st.composite
def corpora(draw):
    """Draw a table of utterances: speakers of both sexes in any numbers, of one to a dozen utterances."""
    rows = []
    for sex, n_speakers in (("F", draw(st.integers(0, 12))), ("M", draw(st.integers(0, 12)))):
        for number in range(n_speakers):
            speaker, subset = f"{sex}{number}", draw(st.sampled_from(["train", "train", "test"]))
            rows += [(f"{speaker}-{i}", speaker, sex, subset, draw(st.sampled_from([0.5, 1.0, 3.0])))
                     for i in range(draw(st.integers(1, 12)))]
    table = pd.DataFrame(rows, columns=["utterance", "speaker", "sex", "subset", "seconds"])
    return table.sample(frac=1, random_state=draw(st.integers(0, 99))).reset_index(drop=True)


class Noises:
    """Replaces `Speech`: every utterance is different noise."""

    sample_rate_hz = 100

    def __init__(self, table):
        self.seconds = dict(zip(table["utterance"], table["seconds"], strict=True))

    def length(self, name):
        return round(100 * self.seconds[name])

    def excerpt(self, name, start, length):
        signal = np.random.default_rng(sum(map(ord, name))).standard_normal(self.length(name)).astype(np.float32)
        return signal[start : start + length]


@pytest.mark.slow
@some
@given(table=corpora(), n_speakers=st.integers(2, 3), seed=st.integers(0, 9),
       unseen=st.sampled_from([(), ("test",)]), fractions=st.sampled_from([(0.25, 0.1), (0.0, 0.3), (0.5, 0.5)]))
def test_no_voice_is_on_both_sides_of_a_split(table, n_speakers, seed, unseen, fractions):
    try:
        split = splits.split(table, n_speakers, unseen, *fractions, seed=seed)
    except UserError:
        assume(False)
    speakers = {name: set(split.loc[split["split"] == name, "speaker"]) for name in (
        "train", "train-validation", "in-set", "validation", "unseen")}
    for unknown in ("validation", "unseen"):
        for known in ("train", "train-validation", "in-set"):
            assert not speakers[unknown] & speakers[known]
    assert not speakers["validation"] & speakers["unseen"]
    assert speakers["train-validation"] | speakers["in-set"] <= speakers["train"]
    assert sorted(split["utterance"]) == sorted(table["utterance"])  # each utterance once
    if unseen:
        assert speakers["unseen"] == set(table.loc[table["subset"] == "test", "speaker"])
    again = splits.split(table.sample(frac=1, random_state=1).reset_index(drop=True), n_speakers, unseen, *fractions,
                         seed=seed)
    assert again.groupby("split")["speaker"].unique().map(sorted).equals(
        split.groupby("split")["speaker"].unique().map(sorted))  # for any order of the files

    for name in ("in-set", "validation", "unseen"):
        try:
            listed = evaluation_set.draw_evaluation_set(Noises(table), split, name, n_speakers, 2, 0.5, 0.95, seed=seed)
        except UserError:
            continue
        own = set(split.loc[split["split"] == name, "utterance"])
        sexes = dict(zip(table["speaker"], table["sex"], strict=True))
        owner = dict(zip(table["utterance"], table["speaker"], strict=True))
        for _, row in listed.iterrows():
            talking = [row[f"speaker_{i}"] for i in range(1, n_speakers + 1)]
            utterances = [row[f"utterance_{i}"] for i in range(1, n_speakers + 1)]
            assert len(set(talking)) == n_speakers and "".join(map(sexes.get, talking)) == row["kind"]
            assert set(utterances) <= own and list(map(owner.get, utterances)) == talking
        assert listed["mixture"].is_unique


@pytest.mark.slow
@settings(some, max_examples=3)  # each takes seconds
@given(seed=st.integers(0, 10**6), n_sources=st.integers(2, 3), scale=st.sampled_from([-1.0, 1e-3, 7.0, 1e4]))
def test_scores_do_not_depend_on_order_or_level(seed, n_sources, scale):
    rng = np.random.default_rng(seed)
    sources = rng.standard_normal((n_sources, 2000))
    estimates = sources + 10 ** rng.uniform(-2, 0.3) * rng.standard_normal(sources.shape)
    order, back = rng.permutation(n_sources), rng.permutation(n_sources)
    for score in (metrics.best_bss_eval, metrics.best_si_sdr):
        plain = np.array(score(sources, estimates))
        np.testing.assert_allclose(score(sources, scale * estimates[order]), plain, atol=1e-5)
        np.testing.assert_allclose(np.array(score(sources[back], estimates)), plain[..., back], atol=1e-5)
        np.testing.assert_array_equal(score(sources, sources), 100)
        worse = np.array(score(sources, estimates + 3 * rng.standard_normal(sources.shape)))
        assert np.mean(worse[0]) < np.mean(plain[0])


@pytest.mark.parametrize("n_speakers", [2, 3])
@some
@given(seed=st.integers(0, 10**6), share=st.floats(0.05, 1.0))
def test_no_random_mask_beats_the_ideal_one(n_speakers, seed, share):
    """Masks that differ from the ideal binary one in some bins, or in all, separate worse."""
    rng, front_end = np.random.default_rng(seed), FrontEnd()
    decay = np.exp(-np.arange(60) / rng.uniform(2, 20, (n_speakers, 1)))
    sources = np.stack([np.convolve(rng.standard_normal(6000) * (rng.random(6000) < 0.02), each, "same")
                        for each in decay]).astype(np.float32)
    mixture = Mixture(sources, tuple("abc"[:n_speakers]))
    ideal = oracles.ideal_binary_mask(Setup(front_end, None, n_speakers, ()))(mixture)
    owners = ideal.argmax(axis=0)
    changed = np.where(rng.random(owners.shape) < share, rng.integers(n_speakers, size=owners.shape), owners)
    other = (np.arange(n_speakers)[:, None, None] == changed).astype(np.float32)
    best, found = (metrics.si_sdr_improvement(sources, mixture.signal, apply_masks(front_end, mixture.signal, masks))
                   for masks in (ideal, other))
    assert found <= best

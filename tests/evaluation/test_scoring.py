"""Systems and their scores: references in their order, masks that conserve the mixture, listening examples."""

import numpy as np
import pandas as pd
import pytest
import soundfile

from lab41_sce.data import librispeech, splits
from lab41_sce.data.evaluation_set import draw_evaluation_set, load_mixture
from lab41_sce.data.mixture import Mixture
from lab41_sce.data.speech import Speech
from lab41_sce.evaluation import scoring
from lab41_sce.methods import oracles
from lab41_sce.methods.base import Setup


@pytest.fixture(scope="module")
def listed(corpus_root):
    utterances = splits.split(librispeech.load(corpus_root, ["train"]), 2)
    speech = Speech(utterances, 10000)
    return speech, draw_evaluation_set(speech, utterances, "unseen", 2, 1, 1.5, 0.95)


def test_trained_systems_do_not_see_the_sources(tiny_model, listed):
    speech, mixtures = listed
    mixture = load_mixture(speech, mixtures.iloc[0])
    system = scoring.trained_system(tiny_model)
    swapped = Mixture(mixture.sources[::-1])
    np.testing.assert_allclose(system(mixture), system(swapped), atol=1e-5)


def test_true_centres_follow_the_sources(tiny_model, listed):
    speech, mixtures = listed
    mixture = load_mixture(speech, mixtures.iloc[0])
    system = scoring.oracle_centroid_system(tiny_model)
    np.testing.assert_array_equal(system(mixture)[::-1], system(Mixture(mixture.sources[::-1])))


def test_scores_and_examples(tiny_model, listed, tmp_path):
    speech, mixtures = listed
    setup = Setup(tiny_model.front_end, None, 2)
    systems = {"sce": scoring.trained_system(tiny_model), "unprocessed": oracles.unprocessed(setup),
               "ideal_binary_mask": oracles.ideal_binary_mask(setup)}
    examples = scoring.Examples(tmp_path, "sce", 1, 10000)
    scores = scoring.score_systems(tiny_model.front_end, systems, speech, mixtures, 1, examples.keep)
    assert len(scores) == 4 * 3 * 8
    ideal = scores[(scores["system"] == "ideal_binary_mask") & (scores["metric"] == "SDR")]["value"]
    floor = scores[(scores["system"] == "unprocessed") & (scores["metric"] == "SDR")]["value"]
    assert (ideal.to_numpy() > floor.to_numpy() + 5).all()
    table = examples.table()
    assert table["kind"].to_list() == ["FF", "FM", "MM"]  # MF counts as FM
    for name in table["example"]:
        files = {path.stem: soundfile.read(path)[0] for path in (tmp_path / "examples" / name).iterdir()}
        assert set(files) == {"mixture", "reference_1", "reference_2", "estimate_1", "estimate_2"}
        np.testing.assert_allclose(files["reference_1"] + files["reference_2"], files["mixture"], atol=1e-3)
        np.testing.assert_allclose(files["estimate_1"] + files["estimate_2"], files["mixture"], atol=1e-3)


def test_estimates_of_examples_are_in_the_order_of_the_references(listed, tmp_path):
    speech, mixtures = listed
    row = mixtures.iloc[0]
    mixture = load_mixture(speech, row)
    evaluation_examples = scoring.Examples(tmp_path, "sce", 1, 10000)
    evaluation_examples.keep(row, mixture, {"sce": mixture.sources[::-1]})
    folder = next((tmp_path / "examples").iterdir())
    for number in (1, 2):
        reference, _ = soundfile.read(folder / f"reference_{number}.wav")
        estimate, _ = soundfile.read(folder / f"estimate_{number}.wav")
        np.testing.assert_array_equal(reference, estimate)


def test_validation_reports_each_kind(tiny_model, listed):
    speech, mixtures = listed
    row = scoring.validate(tiny_model, speech, mixtures)
    assert list(row) == ["validation_si_sdri_db", *(f"validation_si_sdri_db_{kind}" for kind in ("FF", "FM", "MM"))]
    kinds = pd.Series(row)[1:]
    assert row["validation_si_sdri_db"] == pytest.approx((kinds.iloc[0] + 2 * kinds.iloc[1] + kinds.iloc[2]) / 4)

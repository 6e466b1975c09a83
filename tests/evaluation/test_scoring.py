"""Systems and their scores: oracles follow the references, trained systems do not see them."""

import keras
import numpy as np
import pytest
import soundfile

from lab41_sce.data.evaluation_set import load_mixture
from lab41_sce.data.mixture import Mixture
from lab41_sce.errors import UserError
from lab41_sce.evaluation import scoring
from lab41_sce.evaluation.examples import Examples
from lab41_sce.methods import oracles
from lab41_sce.methods.base import Setup


def test_trained_systems_do_not_use_the_sources(tiny_model, evaluation_set):
    speech, mixtures = evaluation_set
    mixture = load_mixture(speech, mixtures.iloc[0])
    system = scoring.trained_system(tiny_model)
    swapped = Mixture(mixture.sources[::-1])
    np.testing.assert_allclose(system(mixture), system(swapped), atol=1e-5)


def test_oracle_centroids_follow_the_sources(tiny_model, evaluation_set):
    speech, mixtures = evaluation_set
    mixture = load_mixture(speech, mixtures.iloc[0])
    system = scoring.oracle_centroid_system(tiny_model)
    np.testing.assert_array_equal(system(mixture)[::-1], system(Mixture(mixture.sources[::-1])))


def test_oracle_centroids_have_the_second_network_too(tiny_model, evaluation_set, monkeypatch):
    speech, mixtures = evaluation_set
    mixture = load_mixture(speech, mixtures.iloc[0])
    soft = scoring.oracle_centroid_system(tiny_model)(mixture)
    monkeypatch.setattr(type(tiny_model), "final_masks", lambda self, spectrogram, masks: masks * 1j * spectrogram)
    found = scoring.oracle_centroid_system(tiny_model)(mixture)
    np.testing.assert_allclose(found, soft * 1j * tiny_model.front_end.spectrogram(mixture.signal), rtol=1e-5)


def test_masks_may_be_tensors_or_whole_numbers(tiny_model, evaluation_set):
    speech, mixtures = evaluation_set
    ideal = oracles.ideal_binary_mask(Setup(tiny_model.front_end, None, 2))
    systems = {"array": ideal, "tensor": lambda mixture: keras.ops.convert_to_tensor(ideal(mixture)),
               "bool": lambda mixture: ideal(mixture).astype(bool), "list": lambda mixture: ideal(mixture).tolist()}
    scores = scoring.score_systems(tiny_model.front_end, systems, speech, mixtures[:1], 1)
    values = scores.pivot(index="metric", columns="system", values="value")
    for name in systems:
        np.testing.assert_allclose(values[name], values["array"], atol=1e-3)


@pytest.mark.parametrize(("masks", "message"), [
    (lambda masks: masks[:, :-1], r"returned an array of the shape \(2, \d+, 257\); it must return finite masks"),
    (lambda masks: masks[0], r"returned an array of the shape \(\d+, 257\)"),
    (lambda masks: np.concatenate([masks, masks]), r"an array of the shape \(4, .*of the shape \(2, \d+, 257\)"),
    (lambda masks: masks * np.nan, "returned masks with NaN or infinity"),
    (lambda masks: masks.astype(object), "returned an array of the kind object"),
    (lambda masks: None, r"returned an array of the shape \(\)"),
    (lambda masks: masks["voice"], r"failed \(IndexError: .*, in test_scoring.py, line \d+\); correct it"),
])
def test_mistakes_of_a_system_are_one_sentence(tiny_model, evaluation_set, masks, message):
    speech, mixtures = evaluation_set
    ideal = oracles.ideal_binary_mask(Setup(tiny_model.front_end, None, 2))
    with pytest.raises(UserError, match=f"the system mine .*{message}"):
        scoring.score_systems(tiny_model.front_end, {"mine": lambda mixture: masks(ideal(mixture))}, speech,
                              mixtures[:1], 1)


def test_scores_and_examples(tiny_model, evaluation_set, tmp_path):
    speech, mixtures = evaluation_set
    setup = Setup(tiny_model.front_end, None, 2)
    systems = {"sce": scoring.trained_system(tiny_model), "unprocessed": oracles.unprocessed(setup),
               "ideal_binary_mask": oracles.ideal_binary_mask(setup)}
    examples = Examples(tmp_path, "sce", 1, 10000)
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

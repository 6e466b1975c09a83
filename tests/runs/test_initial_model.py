"""`training.initial_model`: training starts from the weights of a trained model."""

from functools import partial

import numpy as np
import pytest
from conftest import blstm

from lab41_sce.errors import UserError
from lab41_sce.methods.base import Setup
from lab41_sce.models.embedding_model import EmbeddingModel
from lab41_sce.models.front_end import FrontEnd
from lab41_sce.models.mask_network import mask_network
from lab41_sce.runs.config_schema import compose_config
from lab41_sce.runs.systems import build_method, build_systems


def setup(units=4):
    return Setup(FrontEnd(), partial(blstm, n_layers=1, units=units), 2, ("1", "2", "3"))


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    model = build_method(compose_config(["+exp=smoke", "seed=7"]), setup()).model
    path = tmp_path_factory.mktemp("run") / "model.keras"
    model.save(path)
    return model, path


@pytest.mark.parametrize("build", [build_method, lambda *parts: build_systems(*parts)["sce"]])
def test_weights_are_those_of_the_initial_model(trained, build):
    model, path = trained
    before, config = build(compose_config(["+exp=smoke"]), setup()).model, compose_config(
        ["+exp=smoke", f"training.initial_model={path}"])
    after = build(config, setup()).model
    for ours, theirs, random in zip(after.get_weights(), model.get_weights(), before.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)
        assert ours.ndim == 1 or not np.array_equal(ours, random)  # biases are zeros and ones


def test_embeddings_are_those_of_the_embedder(tmp_path):
    """The initial model of `complex_masks` gives the second network only."""
    front_end = FrontEnd(hop_length=128, compression="log", scaling="standard")
    embedders = [EmbeddingModel(front_end, blstm(front_end.n_bins, 2, n_layers=1, units=3), soft_scale=4.0)
                 for _ in range(2)]
    embedders[0].save(tmp_path / "embedder.keras")
    small = {"filters": [3, 4], "width": 4, "hidden_width": 4, "dilations": [1]}
    initial = EmbeddingModel(**embedders[1].arguments() | {"mask_network": mask_network(front_end.n_bins, **small)})
    for weights in initial.weights:
        weights.assign(weights + 0.1)
    initial.save(tmp_path / "initial.keras")
    settings = [f"method.build.network.{name}={value}" for name, value in small.items()]
    config = compose_config(["+exp=complex_masks", f"method.build.embedder={tmp_path / 'embedder.keras'}",
                             f"training.initial_model={tmp_path / 'initial.keras'}", *settings])
    model = build_method(config, Setup(front_end, None, 2)).model
    for part, expected in (("network", embedders[0]), ("mask_network", initial)):
        for ours, theirs in zip(getattr(model, part).get_weights(), getattr(expected, part).get_weights(), strict=True):
            np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("build", [build_method, lambda *parts: build_systems(*parts)["pit_blstm"]])
def test_a_model_with_too_few_outputs_for_its_mixtures_is_refused(build):
    config = compose_config(["+exp=smoke", "method=pit_blstm", "mixtures.speaker_shares={2:0.5,3:0.5}"])
    with pytest.raises(UserError, match="pit_blstm learns from mixtures of up to 2 speakers, not 3"):
        build(config, setup())


@pytest.mark.parametrize(("settings", "units", "message"), [
    ([], 5, "model.keras is another network than that of method=sce; set method, network"),
    (["method=recurrent_mask"], 4, "is another network than that of method=recurrent_mask"),
    (["method=ideal_binary_mask"], 4, "method=ideal_binary_mask does not learn; leave it out")])
def test_an_initial_model_that_does_not_fit_is_refused(trained, settings, units, message):
    config = compose_config(["+exp=smoke", f"training.initial_model={trained[1]}", *settings])
    with pytest.raises(UserError, match=message):
        build_systems(config, setup(units))

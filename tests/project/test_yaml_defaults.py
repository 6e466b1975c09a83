"""The defaults of systems and networks stand in their YAML files only; Python fills them in on request."""

import pytest
import yaml
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from overfit import tiny_setup

from lab41_sce.errors import UserError
from lab41_sce.methods.base import Method
from lab41_sce.runs import config_schema  # noqa: F401, registers the defaults that the YAML files refer to
from lab41_sce.yaml_defaults import CONFIG_PATH, with_yaml_defaults

FILES = sorted(f"{file.parent.name}/{file.stem}" for group in ("method", "network")
               for file in (CONFIG_PATH / group).glob("*.yaml"))


@pytest.mark.parametrize("path", [path for path in FILES if not path.startswith(("method/saved", "method/pretrained"))])
def test_python_fills_in_what_an_experiment_would(path):
    group, name = path.split("/")
    with initialize_config_dir(str(CONFIG_PATH.resolve()), version_base="1.3"):
        config = compose("config", overrides=[f"{group}={name}", "embedding_size=6", "seed=3"])
    configured = config.method.build if group == "method" else config.network
    expected = instantiate(configured, _partial_=True)
    given = {name: value for name, value in (("embedding_size", 6), ("seed", 3)) if name in configured}
    found = with_yaml_defaults(path, **given)
    assert found.func is expected.func
    assert {key: str(value) for key, value in found.keywords.items()} == {
        key: str(value) for key, value in expected.keywords.items()}


def test_changes_replace_defaults():
    method = with_yaml_defaults("method/sce_article", embedding_size=3, scale=2.0, seed=0)(tiny_setup(units=4))
    assert isinstance(method, Method) and method.scale == 2.0 and method.loss_range_db is None
    assert method.model.network.output_shape[-1] == 3
    assert with_yaml_defaults("network/blstm", n_layers=1, units=4)(n_bins=9, n_outputs=2).output_shape[-2:] == (9, 2)


@pytest.mark.parametrize(("path", "changes", "message"), [
    ("method/sce", {"seed": 0}, "takes a setting from the experiment .*embedding_size.*; give its value"),
    ("method/scee", {}, "is no method or network; choose from attractor, .*sce"),
    ("networks/blstm", {}, "choose from method/NAME or network/NAME"),
])
def test_a_wrong_name_and_a_missing_setting_are_explained(path, changes, message):
    with pytest.raises(UserError, match=message):
        with_yaml_defaults(path, **changes)


@pytest.mark.parametrize("path", FILES)
def test_every_setting_has_a_comment_with_its_unit_or_range(path):
    """Overlays, which change settings of another file, have their comments there."""
    text = (CONFIG_PATH / f"{path}.yaml").read_text("utf-8")
    described = yaml.safe_load(text)
    if "defaults" in described:
        return
    settings = described.get("build", described)
    for name in settings.keys() - {"_target_", "_partial_"}:
        assert [line for line in text.splitlines() if line.strip().startswith(f"{name}:") and " # " in line], name

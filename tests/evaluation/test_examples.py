"""Examples to listen to: estimates in the order of the references."""

import numpy as np
import soundfile

from lab41_sce.data.evaluation_set import load_mixture
from lab41_sce.evaluation.examples import Examples


def test_estimates_of_examples_are_in_the_order_of_the_references(evaluation_set, tmp_path):
    speech, mixtures = evaluation_set
    row = mixtures.iloc[0]
    mixture = load_mixture(speech, row)
    examples = Examples(tmp_path, "sce", 1, 10000)
    examples.keep(row, mixture, {"sce": mixture.sources[::-1]})
    folder = next((tmp_path / "examples").iterdir())
    for number in (1, 2):
        reference, _ = soundfile.read(folder / f"reference_{number}.wav")
        estimate, _ = soundfile.read(folder / f"estimate_{number}.wav")
        np.testing.assert_array_equal(reference, estimate)


def test_a_mixture_that_is_scored_again_is_one_example(evaluation_set, tmp_path):
    """As when a metric is added, and more examples are wanted than before."""
    speech, mixtures = evaluation_set
    mixture, examples = load_mixture(speech, mixtures.iloc[0]), Examples(tmp_path, "sce", 1, 10000)
    examples.keep(mixtures.iloc[0], mixture, {"sce": mixture.sources})
    examples.per_kind = 2
    examples.keep(mixtures.iloc[0], mixture, {"sce": mixture.sources})
    assert len(examples.table()) == 1

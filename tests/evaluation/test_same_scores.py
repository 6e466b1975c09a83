"""Scores stay the same with other versions of NumPy, TensorFlow and Keras.

`python tests/evaluation/test_same_scores.py` wrote `same_scores.csv` with the versions of `constraints.txt`.
"""

from pathlib import Path

import pandas as pd
import pytest

from lab41_sce.data import splits
from lab41_sce.data.corpus import load_corpus
from lab41_sce.data.evaluation_set import draw_evaluation_set
from lab41_sce.data.speech import Speech
from lab41_sce.evaluation import saved_model
from lab41_sce.evaluation.scoring import score_systems
from lab41_sce.methods import oracles
from lab41_sce.methods.base import Setup
from lab41_sce.models.front_end import FrontEnd
from lab41_sce.yaml_defaults import with_yaml_defaults

TABLE = Path(__file__).with_name("same_scores.csv")
TOLERANCE_DB = 0.01
KEYS = ["mixture", "system", "metric"]


def scores():
    """Score the shipped model, NMF and an oracle on a fixed evaluation set of the embedded corpus."""
    front_end, table = FrontEnd(), splits.split(load_corpus(None, ["synthetic"], check="headers"), 2)
    speech = Speech(table[table["split"] == "unseen"], front_end.sample_rate_hz)
    mixtures = draw_evaluation_set(speech, table, "unseen", n_speakers=2, n_per_kind=2, seconds=2.56, pre_emphasis=0.95)
    setup = Setup(front_end, None, 2, tuple(splits.trained_speakers(table)), speech, table[table["split"] == "train"])
    systems = {"pretrained": saved_model.build(setup, "pretrained"),
               "nmf_blind": with_yaml_defaults("method/nmf_blind", seed=0)(setup),
               "ideal_binary_mask": oracles.ideal_binary_mask(setup), "unprocessed": oracles.unprocessed(setup)}
    table = score_systems(front_end, systems, speech, mixtures, n_jobs=1)[[*KEYS, "value"]]
    return table[~table["metric"].str.endswith("i")]  # improvements are differences of these


@pytest.mark.slow
def test_scores_equal_the_stored_ones():
    both = scores().merge(pd.read_csv(TABLE), "outer", KEYS, suffixes=("", "_expected"))
    different = both[~((both["value"] - both["value_expected"]).abs() <= TOLERANCE_DB)]
    assert not len(different), different


if __name__ == "__main__":
    scores().to_csv(TABLE, index=False, float_format="%.4f")

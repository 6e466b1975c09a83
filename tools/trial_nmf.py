"""Try settings of the factorisations: SI-SDR improvement on mixtures that no table is made of.

    python tools/trial_nmf.py LIBRISPEECH > results/trials/nmf.csv

Supervised on held-out utterances of the trained speakers (split train-validation), blind on validation speakers.
"""

import argparse
import itertools
import sys

import numpy as np
import pandas as pd
from tqdm import tqdm

from lab41_sce.data import librispeech, splits
from lab41_sce.data.evaluation_set import draw_evaluation_set, load_mixture
from lab41_sce.data.speech import Speech
from lab41_sce.evaluation.metrics import si_sdr_improvement
from lab41_sce.evaluation.scoring import apply_masks
from lab41_sce.methods import nmf
from lab41_sce.methods.base import Setup
from lab41_sce.models.front_end import FrontEnd

SUPERVISED = [{"n_components": n_components, "max_iter": max_iter}
              for n_components, max_iter in itertools.product((10, 20, 40), (5, 10, 15, 20, 50, 100))]
BLIND = [{"n_components": n_components, "max_iter": max_iter, "power": power}
         for n_components, max_iter, power in itertools.product((20, 40), (50, 200), (0.2, 0.33, 0.5, 1.0))]


def improvement(front_end, mixture, masks):
    """Return the mean SI-SDR improvement in dB."""
    return si_sdr_improvement(mixture.sources, mixture.signal, apply_masks(front_end, mixture.signal, masks))


def main():
    """Print a row for each setting."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("root")
    parser.add_argument("--subsets", nargs="+", default=["train-clean-5", "train-clean-100"])
    parser.add_argument("--per-kind", type=int, default=8, help="mixtures of each ordered kind")
    options = parser.parse_args()
    front_end = FrontEnd()
    table = splits.split(librispeech.load(options.root, options.subsets, check="headers"), 2, ["none"])
    table = table[table["split"] != "in-set"]
    speech = Speech(table, front_end.sample_rate_hz)
    setup = Setup(front_end, None, 2, (), speech, table[table["split"] == "train"])
    rows = []
    for build, split, tried in ((nmf.supervised, "train-validation", SUPERVISED), (nmf.blind, "validation", BLIND)):
        listed = draw_evaluation_set(speech, table, split, 2, options.per_kind, 3.84, front_end.pre_emphasis, seed=3)
        mixtures = [load_mixture(speech, row) for _, row in listed.iterrows()]
        for settings in tqdm(tried, build.__name__):
            system = build(setup, **settings)
            gains = [improvement(front_end, mixture, system(mixture)) for mixture in mixtures]
            rows.append({"system": build.__name__, "split": split, **settings, "n": len(gains),
                         "si_sdri_db": np.mean(gains), "standard_error": np.std(gains) / len(gains) ** 0.5})
    pd.DataFrame(rows).round(2).to_csv(sys.stdout, index=False)


if __name__ == "__main__":
    main()

"""Try how sharp masks should be: SI-SDR improvement on validation speakers, for every clustering model of a run.

    python tools/trial_soft_masks.py runs/compare_librispeech > results/trials/soft_masks.csv
"""

import argparse
import sys
from pathlib import Path

import keras
import pandas as pd
from omegaconf import OmegaConf
from tqdm import tqdm

import lab41_sce.separation.separator  # noqa: F401 (registers the models)
from lab41_sce.data import librispeech
from lab41_sce.data.evaluation_set import draw_evaluation_set
from lab41_sce.data.speech import Speech
from lab41_sce.evaluation import scoring

SCALES = (None, 1.0, 2.0, 3.0, 5.0, 8.0, 12.0)


def main():
    """Print a row for each system and scale; an empty scale means binary masks."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("--per-kind", type=int, default=20, help="mixtures of each ordered kind")
    options = parser.parse_args()
    config = OmegaConf.load(options.run / "config.yaml")
    corpus = {name: value for name, value in config.corpus.items() if name != "name"}
    splits = pd.read_csv(options.run / "splits.csv", dtype=str)[["utterance", "split"]]
    table = librispeech.load(**corpus).merge(splits, on="utterance").query("split == 'validation'")
    speech = Speech(table, config.front_end.sample_rate_hz)
    mixtures = draw_evaluation_set(speech, table, "validation", config.mixtures.n_speakers, options.per_kind,
                               config.validation.seconds, config.front_end.pre_emphasis, seed=config.seed + 1)
    rows = []
    for file in sorted(options.run.glob("systems/*/model.keras")):
        model = keras.saving.load_model(file)
        if not hasattr(model, "soft_scale") or hasattr(model, "attractors"):
            continue
        for model.soft_scale in tqdm(SCALES, file.parent.name):
            rows.append({"system": file.parent.name, "soft_scale": model.soft_scale,
                         **scoring.validate(model, speech, mixtures)})
    pd.DataFrame(rows).round(3).to_csv(sys.stdout, index=False)


if __name__ == "__main__":
    main()

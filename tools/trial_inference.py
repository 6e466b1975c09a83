"""Try how to separate with a trained model: SI-SDR improvement on validation speakers for every combination.

    python tools/trial_inference.py $LIBRISPEECH results/trials --model runs/pretrained

writes `inference.csv`, the best first; the combination goes into `tools/keep_model.py`. A mixture's vectors are
computed once for each number of phases, and clustered once for each range.
"""

import itertools

import numpy as np
import pandas as pd
import shipped
from tqdm import tqdm

from lab41_sce.data.evaluation_set import draw_evaluation_set, load_mixture
from lab41_sce.evaluation.metrics import si_sdr_improvement
from lab41_sce.evaluation.scoring import apply_masks
from lab41_sce.models.clustering import active_bins
from lab41_sce.runs import run_directory

PHASES, RANGES_DB, SOFT_SCALES, SECONDS = (1, 2), (12.0, 15.0, 20.0, 25.0), (2.0, 3.0, 4.0, 5.0, 7.0), 5.0


def gains(model, mixture):
    """Yield the improvement for every range and scale: tuples of range, scale and dB."""
    signal, sources = mixture.signal, mixture.sources
    levels, vectors = np.abs(model.front_end.spectrogram(signal)), model.embed(signal)
    for range_db in RANGES_DB:
        loud = active_bins(levels, range_db)
        centroids = model.centroids(vectors[loud], levels[loud], len(sources))
        for model.soft_scale in SOFT_SCALES:
            estimates = apply_masks(model.front_end, signal, model.masks_from(vectors, centroids))
            yield range_db, model.soft_scale, si_sdr_improvement(sources, signal, estimates)


def main():
    """Try all, and write a row for each."""
    options = shipped.parser(__doc__, 20, tunes=True).parse_args()
    separator, speech, table = shipped.load(options)
    model, rows = separator.model, []
    mixtures = draw_evaluation_set(speech, table, options.split, 2, options.per_kind, SECONDS, model.front_end.pre_emphasis)
    hop = model.front_end.hop_length * model.hop_reduction
    tried = itertools.product(PHASES, mixtures.to_dict("records"))
    for model.hop_reduction, row in tqdm(tried, total=len(PHASES) * len(mixtures)):
        if model.front_end.hop_length != hop // model.hop_reduction:
            model.front_end.hop_length = hop // model.hop_reduction
            model.make_predict_function(force=True)  # the compiled one has the phases of before
        kind = "".join(sorted(row["kind"]))
        rows += [(model.hop_reduction, *gain, kind) for gain in gains(model, load_mixture(speech, row))]
    columns = ["hop_reduction", "range_db", "soft_scale", "si_sdri_db", "kind"]
    found = pd.DataFrame(rows, columns=columns).pivot_table(index=columns[:3], columns="kind", values="si_sdri_db",
                                                            margins=True, margins_name="All")
    found = found.drop("All").sort_values("All", ascending=False).reset_index()
    run_directory.write_csv(found.round(3), options.results / "inference.csv")
    print(found.head(10).round(2).to_string(index=False))


if __name__ == "__main__":
    main()

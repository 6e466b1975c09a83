"""Try how to separate with a trained model: SI-SDR improvement on validation speakers for every combination.

    python tools/trial_inference.py $LIBRISPEECH results/trials --split validation --model runs/pretrained

writes `inference.csv`, the best first; the combination goes into `tools/keep_model.py`.
"""

import itertools

import pandas as pd
import shipped
from tqdm import tqdm

from lab41_sce import evaluation, runs
from lab41_sce.lists import evaluation_list

PHASES, RANGES_DB, SOFT_SCALES, SECONDS = (1, 2, 4), (12.0, 15.0, 20.0, 25.0), (2.0, 3.0, 4.0, 5.0), 5.0


def main():
    """Try all, and write a row for each."""
    options = shipped.parser(__doc__, 20).parse_args()
    separator, speech, table = shipped.load(options)
    model, rows = separator.model, []
    mixtures = evaluation_list(speech, table, options.split, 2, options.per_kind, SECONDS, model.front_end.pre_emphasis)
    hop = model.front_end.hop_length * model.phases
    tried = list(itertools.product(PHASES, RANGES_DB, SOFT_SCALES))
    for model.phases, model.range_db, model.soft_scale in tqdm(tried):
        model.front_end.hop_length = hop // model.phases
        model.make_predict_function(force=True)  # the compiled one has the phases of before
        rows.append({"phases": model.phases, "range_db": model.range_db, "soft_scale": model.soft_scale,
                     **evaluation.validate(model, speech, mixtures)})
    found = pd.DataFrame(rows).sort_values("validation_si_sdri_db", ascending=False)
    runs.write_csv(found.round(3), options.results / "inference.csv")
    print(found.head(10).round(2).to_string(index=False))


if __name__ == "__main__":
    main()

"""Choose the threshold by which a model without a classifier counts one, two and three speakers.

    python tools/model/choose_cluster_variance.py $LIBRISPEECH RESULTS --split validation --level-range-db 0 10 20

A kind is a number of speakers here. With validation speakers, `thresholds.csv` holds the share of right counts with
each value of the model's `cluster_variance`, to choose it by.
"""

import itertools

import numpy as np
import pandas as pd
import shipped
from tqdm import tqdm

from lab41_sce.audio.recording import Recording
from lab41_sce.data.evaluation_set import draw_evaluation_set, load_mixture
from lab41_sce.runs.run_directory import write_csv
from lab41_sce.separation.speaker_count import smallest_fit

NUMBERS, SECONDS = (1, 2, 3), 5.0
THRESHOLDS = np.round(np.arange(0.4, 1.01, 0.01), 2)
UNTUNED_THRESHOLD = 0.77  # of a model without one


def main() -> None:
    """Count, and write a row for each mixture and each number."""
    parser = shipped.parser(__doc__, 50)
    parser.add_argument("--level-range-db", type=float, nargs="+", default=[0.0],
                        help="largest difference of the speakers' levels; one set of mixtures for each value")
    options = parser.parse_args()
    separator, speech, table = shipped.load(options)
    separator.counting = None
    separator.model.cluster_variance = separator.model.cluster_variance or UNTUNED_THRESHOLD
    front_end, rows = separator.model.front_end, []
    for n_speakers, level_range_db in itertools.product(NUMBERS, options.level_range_db):
        per_kind = -(-options.per_kind // 2**n_speakers)  # of ordered kinds
        mixtures = draw_evaluation_set(speech, table, options.split, n_speakers, per_kind, SECONDS,
                                       front_end.pre_emphasis, level_range_db, seed=round(level_range_db))
        drawn = mixtures.sample(min(options.per_kind, len(mixtures)), random_state=0).to_dict("records")
        for row in tqdm(drawn, f"{n_speakers} speakers"):
            signal = load_mixture(speech, row).signal
            count = separator.open(Recording.of(signal, front_end.sample_rate_hz)).speakers.count
            rows.append({"mixture": row["mixture"], "kind": row["kind"], "speakers": n_speakers,
                         "level_range_db": level_range_db, "counted": count.n_speakers,
                         **{f"spread_{n}": variance for n, variance in enumerate(count.cluster_variances, start=1)}})
    counted = pd.DataFrame(rows)
    right = counted.assign(correct=counted["counted"] == counted["speakers"]).groupby("speakers")["correct"]
    summary = right.agg(n="size", correct="sum").reset_index()
    write_csv(counted.round(4), options.results / "mixtures.csv")
    shipped.write_summary(summary, options.results)
    print(f"right: {summary['correct'].sum() / summary['n'].sum():.1%}")
    if options.split == "validation":
        variances = counted[[f"spread_{n}" for n in NUMBERS[:-1]]].to_numpy()
        shares = {threshold: np.mean([smallest_fit(row, threshold) == number for row, number
                                      in zip(variances, counted["speakers"], strict=True)]) for threshold in THRESHOLDS}
        shipped.write_thresholds("cluster_variance", shares, options.results)


if __name__ == "__main__":
    main()

"""Count the speakers of mixtures of one, two and three with the shipped model, and tell how often that is right.

    python tools/score_counting.py $LIBRISPEECH results/pretrained_counting
    python tools/score_counting.py $LIBRISPEECH results/pretrained_counting_levels --level-range-db 10
    python tools/score_counting.py $LIBRISPEECH runs/counting_validation --split validation --level-range-db 0 10 20

Kinds are the numbers here. The last is what the model's `cluster_variance` is chosen with: `thresholds.csv` says how often each
would be right there.
"""

import itertools

import numpy as np
import pandas as pd
import shipped
from tqdm import tqdm

from lab41_sce.audio.recording import Recording
from lab41_sce.data.evaluation_set import draw_evaluation_set, load_mixture
from lab41_sce.runs import run_directory
from lab41_sce.separation.speaker_count import decide

NUMBERS, SECONDS = (1, 2, 3), 5.0
THRESHOLDS = np.round(np.arange(0.4, 1.01, 0.01), 2)


def main():
    """Count, and write one row for each mixture and one for each number."""
    parser = shipped.parser(__doc__, 50)
    parser.add_argument("--level-range-db", type=float, nargs="+", default=[0.0],
                        help="the levels of the speakers differ by at most so much; of several, so many mixtures each")
    options = parser.parse_args()
    separator, speech, table = shipped.load(options)
    separator.model.cluster_variance = separator.model.cluster_variance or 0.77
    front_end, rows = separator.model.front_end, []
    for n_speakers, level_range_db in itertools.product(NUMBERS, options.level_range_db):
        per_kind = -(-options.per_kind // 2**n_speakers)  # of ordered kinds
        mixtures = draw_evaluation_set(speech, table, options.split, n_speakers, per_kind, SECONDS, front_end.pre_emphasis,
                                   level_range_db, seed=round(level_range_db))
        drawn = mixtures.sample(min(options.per_kind, len(mixtures)), random_state=0).to_dict("records")
        for row in tqdm(drawn, f"{n_speakers} speakers"):
            signal = load_mixture(speech, row).signal
            count = separator.open(Recording.of(signal, front_end.sample_rate_hz), "auto").count
            rows.append({"mixture": row["mixture"], "kind": row["kind"], "speakers": n_speakers,
                         "level_range_db": level_range_db, "counted": count.n_speakers,
                         **{f"spread_{n}": cluster_variance for n, cluster_variance in enumerate(count.cluster_variances, start=1)}})
    counted = pd.DataFrame(rows)
    right = counted.assign(correct=counted["counted"] == counted["speakers"]).groupby("speakers")["correct"]
    summary = right.agg(n="size", correct="sum").reset_index()
    run_directory.write_csv(counted.round(4), options.results / "mixtures.csv")
    shipped.write_summary(summary, options.results)
    print(f"right: {summary['correct'].sum() / summary['n'].sum():.1%}")
    if options.split == "validation":
        cluster_variances = counted[[f"spread_{n}" for n in NUMBERS[:-1]]].to_numpy()
        right = [np.mean([decide(row, threshold) == number
                          for row, number in zip(cluster_variances, counted["speakers"], strict=True)])
                 for threshold in THRESHOLDS]
        thresholds = pd.DataFrame({"cluster_variance": THRESHOLDS, "right": right}).round(4)
        run_directory.write_csv(thresholds, options.results / "thresholds.csv")
        print(f"with the best threshold, {THRESHOLDS[np.argmax(right)]}, it would be {max(right):.1%}")


if __name__ == "__main__":
    main()

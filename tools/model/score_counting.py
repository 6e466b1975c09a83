"""Score how often the shipped model estimates the number of speakers correctly, on mixtures of unseen speakers.

    python tools/model/score_counting.py $LIBRISPEECH results/model/counting

`evaluation.csv` in the folder of the results defines the mixtures; it is drawn if it is missing. The results:

- `mixtures.csv`: for each mixture the number that was counted, the probability of each number, and the checksum of the
  model;
- `summary.csv`: for each condition and number of speakers, `n` mixtures, those counted correctly and those within one,
  and the 95 % bootstrap interval of the share of the correct ones, over other speakers (`draw_mixture_counts`).

An interrupted call with the same model continues.
"""

import argparse

import numpy as np
import pandas as pd
import shipped
from joblib import Parallel, delayed
from tqdm import tqdm

from lab41_sce.audio.recording import Recording
from lab41_sce.data.evaluation_set import add_noise_at, draw_evaluation_set, load_mixture
from lab41_sce.data.noise import Noise
from lab41_sce.data.speech import Speech
from lab41_sce.evaluation.bootstrap import draw_mixture_counts, weighted_means
from lab41_sce.runs.benchmark_systems import model_checksum
from lab41_sce.runs.run_directory import write_csv

SECONDS, LONG_SECONDS, LEVEL_RANGE_DB, SNR_DB = 5.0, 15.0, 10.0, 15.0
CONDITIONS = {"5 s": (1, 2, 3, 4, 5), "levels within 10 dB": (1, 2, 3), "15 s": (1, 2, 3), "noise at 15 dB": (1, 2, 3)}
NOISE_KINDS = ("white", "pink", "speech_shaped")
FIRST_SEED = 3200  # other mixtures than those of earlier scores
ROWS_PER_WRITE = 75
RESAMPLING_SEED, N_RESAMPLES = 0, 2000


def draw_list(speech: Speech, table: pd.DataFrame, split: str, n_mixtures: int, noise: Noise,
              pre_emphasis: float) -> pd.DataFrame:
    """Draw the mixtures of every condition and number of speakers, `n_mixtures` of each."""
    parts = []
    for number, (condition, counts) in enumerate(CONDITIONS.items()):
        for n_speakers in counts:
            long = condition == "15 s"
            drawn = draw_evaluation_set(speech, table, split, n_speakers, -(-n_mixtures // 2**n_speakers),
                                        LONG_SECONDS if long else SECONDS, pre_emphasis,
                                        LEVEL_RANGE_DB if condition == "levels within 10 dB" else 0.0,
                                        seed=FIRST_SEED + number, join=long)
            drawn = drawn.sample(min(n_mixtures, len(drawn)), random_state=0)
            if condition == "noise at 15 dB":
                drawn = add_noise_at(drawn, noise, SNR_DB)
            parts.append(drawn.assign(condition=condition, speakers=n_speakers))
    return pd.concat(parts, ignore_index=True)


def summarise(counted: pd.DataFrame, listed: pd.DataFrame) -> pd.DataFrame:
    """Count the correct estimates of each condition and number of speakers; both tables have the same order."""
    errors, rows = (counted["counted"] - counted["speakers"]).abs(), []
    for (condition, n_speakers), some in listed.groupby(["condition", "speakers"], sort=False):
        of_each = errors[some.index].to_numpy()
        resamples = draw_mixture_counts(some.dropna(axis="columns", how="all"), RESAMPLING_SEED, N_RESAMPLES)
        shares = weighted_means(of_each == 0, resamples[some["mixture"]].to_numpy())
        low, high = np.nanpercentile(shares, [2.5, 97.5]).round(3)
        rows.append({"condition": condition, "speakers": n_speakers, "n": len(some), "correct": (of_each == 0).sum(),
                     "within_one": (of_each <= 1).sum(), "low": low, "high": high})
    return pd.DataFrame(rows)


def count(rows: list[dict], options: argparse.Namespace) -> list[dict]:
    """Count the speakers of some mixtures, in any process."""
    separator, speech, table = shipped.load(options)
    noise, counted = Noise(speech, table, NOISE_KINDS), []
    for row in rows:
        signal = load_mixture(speech, row, noise).signal
        result = separator.open(Recording.of(signal, speech.sample_rate_hz)).speakers.count
        counted.append({**{name: row[name] for name in ("condition", "mixture", "kind", "speakers")},
                        "counted": result.n_speakers,
                        **{f"probability_{n}": round(share, 4) for n, share in (result.probabilities or {}).items()}})
    return counted


def main() -> None:
    """Count, and write a row for each mixture and each number."""
    parser = shipped.parser(__doc__, 150)
    parser.add_argument("--jobs", type=int, default=1, help="number of processes")
    options = parser.parse_args()
    list_file, file = options.results / "evaluation.csv", options.results / "mixtures.csv"
    if not list_file.exists():
        separator, speech, table = shipped.load(options)
        write_csv(draw_list(speech, table, options.split, options.per_kind, Noise(speech, table, NOISE_KINDS),
                            separator.model.front_end.pre_emphasis), list_file)
    listed = pd.read_csv(list_file, dtype={f"speaker_{n}": str for n in range(1, 6)})
    mixtures = listed.to_dict("records")
    checksum = model_checksum(options.model)
    rows = shipped.scored_rows(file, checksum)
    parts = [mixtures[start : start + ROWS_PER_WRITE] for start in range(len(rows), len(mixtures), ROWS_PER_WRITE)]
    counted = Parallel(n_jobs=options.jobs, return_as="generator")(delayed(count)(part, options) for part in parts)
    for part in tqdm(counted, f"{ROWS_PER_WRITE} mixtures each", len(parts)):
        rows += [{**row, "model": checksum} for row in part]
        write_csv(pd.DataFrame(rows), file)
    shipped.write_summary(summarise(pd.DataFrame(rows), listed), options.results)


if __name__ == "__main__":
    main()

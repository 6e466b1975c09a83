"""Count the speakers of mixtures of one, two and three with the shipped model, and tell how often that is right.

    python tools/score_counting.py $LIBRISPEECH results/pretrained_counting
    python tools/score_counting.py $LIBRISPEECH runs/counting_validation --split validation --per-number 150

The second is what the model's `apart` is chosen with: `thresholds.csv` says how often each would be right there.
"""

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
from tqdm import tqdm

from lab41_sce import runs
from lab41_sce.corpora import librispeech
from lab41_sce.lists import evaluation_list, load_mixture
from lab41_sce.mixtures import Speech
from lab41_sce.pretrained import MODEL
from lab41_sce.recordings import Recording
from lab41_sce.separation import Separator

NUMBERS = (1, 2, 3)
THRESHOLDS = np.round(np.arange(0.3, 1.5, 0.02), 2)


def speech_of(model: Path, root: str, split: str, sample_rate_hz: int):
    """Return the speech and the table of utterances of a split of a model's training, as the file beside it tells."""
    folders = [folder for folder in (model, *model.parents) if (folder / "splits.csv").is_file()]
    splits = pd.read_csv(folders[0] / "splits.csv", dtype=str).query("split == @split")
    table = librispeech.load(root, sorted(splits["subset"].unique()), check="headers")
    table = table.merge(splits[["utterance", "split"]], on="utterance")
    return Speech(table, sample_rate_hz), table


def main():
    """Count, and write one row for each mixture and one for each number."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("root")
    parser.add_argument("results", type=Path)
    parser.add_argument("--split", default="unseen")
    parser.add_argument("--per-number", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--model", type=Path, default=MODEL)
    options = parser.parse_args()
    separator = Separator.load(options.model)
    front_end = separator.model.front_end
    speech, table = speech_of(options.model, options.root, options.split, front_end.sample_rate_hz)
    rows = []
    for n_speakers in NUMBERS:
        per_kind = -(-options.per_number // 2**n_speakers)
        mixtures = evaluation_list(speech, table, options.split, n_speakers, per_kind, options.seconds,
                                   front_end.pre_emphasis)
        drawn = mixtures.sample(min(options.per_number, len(mixtures)), random_state=0).to_dict("records")
        for row in tqdm(drawn, f"{n_speakers} speakers"):
            signal = load_mixture(speech, row).signal
            count = separator.open(Recording.of(signal, front_end.sample_rate_hz), "auto").count
            rows.append({"mixture": row["mixture"], "kind": row["kind"], "speakers": n_speakers,
                         "counted": count.n_speakers,
                         **{f"distance_{n}": distance for n, distance in enumerate(count.distances, start=2)}})
    counted = pd.DataFrame(rows)
    right = counted.assign(correct=counted["counted"] == counted["speakers"]).groupby("speakers")["correct"]
    summary = right.agg(n="size", correct="sum").reset_index()
    distances = counted[[f"distance_{n}" for n in NUMBERS[1:]]].to_numpy()
    would = [np.where(distances > threshold, NUMBERS[1:], 1).max(axis=1) for threshold in THRESHOLDS]
    share = [(numbers == counted["speakers"]).mean() for numbers in would]
    options.results.mkdir(parents=True, exist_ok=True)
    runs.write_csv(counted.round(4), options.results / "mixtures.csv")
    runs.write_csv(summary, options.results / "summary.csv")
    runs.write_csv(pd.DataFrame({"apart": THRESHOLDS, "right": share}).round(4), options.results / "thresholds.csv")
    print(summary.to_string(index=False))
    print(f"right: {summary['correct'].sum() / summary['n'].sum():.1%}; with the best threshold here, "
          f"{THRESHOLDS[np.argmax(share)]}, it would be {max(share):.1%}")


if __name__ == "__main__":
    main()

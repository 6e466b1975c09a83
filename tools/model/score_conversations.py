"""Separate the listed conversations with the shipped model; score who speaks when, and count swapped seconds.

    python tools/model/score_conversations.py $LIBRISPEECH results/model

`conversations/turns_SPLIT.csv` lists the conversations (`draw_conversations.py` drew it). The number of speakers is
given. Two results are written, each to its own folder:

- `diarisation`: diarisation and Jaccard error rates of every set (`lab41_sce/evaluation/diarisation.py`);
- `conversations`: the seconds in which the two voices of a conversation with 20 % overlap are swapped. A second is
  swapped if the other order of the voices fits it better than the order that fits the whole file best. Silent seconds
  do not count.

`--audio FOLDER` writes the recordings and their numbers of speakers for other systems. `--found FOLDER` scores the
RTTM files of another system, which have the names of the recordings (`diarise_with_resemblyzer.py` is the baseline).
"""

import argparse
import time
from pathlib import Path

import numpy as np
import pandas as pd
import shipped
from tqdm import tqdm

from lab41_sce import audio
from lab41_sce.data.conversation import load_conversation, true_turns
from lab41_sce.data.mixture import Mixture
from lab41_sce.data.noise import Noise
from lab41_sce.data.speech import Speech
from lab41_sce.evaluation.diarisation import Turn, read_turns, score_turns, summarise_turns, voice_turns
from lab41_sce.evaluation.metrics import si_sdr_improvement
from lab41_sce.runs.run_directory import write_csv
from lab41_sce.separation.separator import Separator

FOLDER, RATE_HZ, COLLARS_SECONDS = Path(__file__).parent, 16000, (0.0, 0.25)
SWAPS = "2 people 20 % overlap"  # the set in which swapped seconds are counted
PEAK = 0.9  # of the recordings that are written


def swapped_seconds(sources: np.ndarray, voices: np.ndarray, sample_rate_hz: int) -> tuple[int, int]:
    """Count the seconds with swapped voices, and those with speech; both signals are `[2, N]`."""
    seconds = sources.shape[1] // sample_rate_hz
    cut = [signals[:, : seconds * sample_rate_hz].reshape(2, seconds, sample_rate_hz) for signals in (sources, voices)]
    kept, other = (np.square(cut[0] - cut[1][order]).sum(axis=(0, 2)) for order in ([0, 1], [1, 0]))
    if other.sum() < kept.sum():
        kept, other = other, kept
    level = np.square(cut[0]).sum(axis=(0, 2))
    has_speech = level > 1e-3 * level.mean()
    return int((has_speech & (other < kept)).sum()), int(has_speech.sum())


def separate(separator: Separator, mixture: Mixture, row: dict) -> tuple[list[Turn], dict]:
    """Separate a conversation; return the turns of its voices, and a row about swapped seconds for two people."""
    started = time.perf_counter()
    separation = separator.separate(mixture.signal, RATE_HZ, mixture.n_speakers)
    elapsed = time.perf_counter() - started
    turns = voice_turns(separation.activity.segments())
    if row["set"] != SWAPS:
        return turns, {}
    swapped, with_speech = swapped_seconds(mixture.sources, separation.voices, RATE_HZ)
    return turns, {"kind": row["kind"], "speakers": " ".join(mixture.speakers), "seconds": with_speech,
                   "swapped": swapped, "share": swapped / with_speech,
                   "si_sdri_db": si_sdr_improvement(mixture.sources, mixture.signal, separation.voices),
                   "confidence": separation.confidence, "times_real_time": row["length_seconds"] / elapsed}


def arguments() -> argparse.Namespace:
    """Parse the command line."""
    parser = shipped.parser(__doc__, 100)
    parser.add_argument("--lists", type=Path, default=FOLDER / "conversations", help="folder with the lists")
    parser.add_argument("--sets", nargs="+", help="names of the sets to score; all without it")
    parser.add_argument("--noise", help="folder with recordings of noise, for the meetings; pink noise without it")
    parser.add_argument("--audio", type=Path, help="folder to write the recordings to, and score nothing")
    parser.add_argument("--found", type=Path, help="folder with RTTM files of another system, to be scored")
    return parser.parse_args()


def main() -> None:
    """Score every conversation; write the tables."""
    options = arguments()
    table = shipped.utterances(options)
    speech = Speech(table, RATE_HZ)
    noise_kind = "folder" if options.noise else "pink"
    noise = Noise(speech, table, [noise_kind], options.noise)
    rooms = np.load(FOLDER / "rooms.npz")["rooms"].astype(np.float32)
    stretches = pd.read_csv(options.lists / f"speech_{options.split}.csv")
    turns = pd.read_csv(options.lists / f"turns_{options.split}.csv", dtype={"speaker": str})
    turns = turns[turns["set"].isin(options.sets or turns["set"].unique()) & (turns["conversation"] < options.per_kind)]
    separator = None if options.audio or options.found else Separator.load(options.model)
    scores, swaps = [], []
    for (name, number), rows in tqdm(turns.groupby(["set", "conversation"], sort=False), "conversations"):
        mixture = load_conversation(speech, rows, rooms,
                                    lambda rng, length: noise.draw(noise_kind, rng, length, options.split))
        row, file_name = rows.iloc[0].to_dict(), f"{name.replace(' ', '_').replace('_%', '')}_{number}"
        if options.audio:
            peak = np.abs(mixture.signal).max()
            options.audio.mkdir(parents=True, exist_ok=True)
            audio.write(options.audio / f"{file_name}.wav", PEAK / peak * mixture.signal, RATE_HZ)
            (options.audio / f"{file_name}.txt").write_text(f"{mixture.n_speakers}\n", "utf-8")
            continue
        if separator is None:
            found = read_turns(options.found / f"{file_name}.rttm")[file_name]
        else:
            found, of_swaps = separate(separator, mixture, row)
            swaps += [of_swaps] if of_swaps else []
        true = true_turns(speech, rows, stretches)
        scores += [{"set": name, "conversation": number, "kind": row["kind"], "collar_seconds": collar,
                    **score_turns(true, found, row["length_seconds"], collar)} for collar in COLLARS_SECONDS]
    if scores:
        write(pd.DataFrame(scores), pd.DataFrame(swaps), options.results)


def write(scores: pd.DataFrame, swaps: pd.DataFrame, results: Path) -> None:
    """Write the tables of both results."""
    (results / "diarisation").mkdir(parents=True, exist_ok=True)
    write_csv(scores.round(4), results / "diarisation" / "recordings.csv")
    shipped.write_summary(summarise_turns(scores).round(4), results / "diarisation")
    if len(swaps):
        (results / "conversations").mkdir(parents=True, exist_ok=True)
        totals = swaps.groupby("kind")[["seconds", "swapped"]].sum().reset_index()
        totals = pd.concat([totals, pd.DataFrame([{"kind": "All", **totals[["seconds", "swapped"]].sum()}])])
        totals["share"] = (totals["swapped"] / totals["seconds"]).round(4)
        write_csv(swaps.round(4), results / "conversations" / "conversations.csv")
        shipped.write_summary(totals, results / "conversations")


if __name__ == "__main__":
    main()

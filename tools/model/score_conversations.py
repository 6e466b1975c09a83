"""Separate long conversations with the shipped model, and count the seconds in which the voices are swapped.

    python tools/model/score_conversations.py $LIBRISPEECH RESULTS

Two unseen speakers take turns of 3 to 8 seconds for ten minutes; the next turn begins between 3 seconds before and one
second after the end of the other. A second is swapped if the other order of the voices fits it better than the order
that fits the whole file best. Silent seconds do not count.
"""

import itertools
import time

import numpy as np
import pandas as pd
import shipped
from tqdm import tqdm

from lab41_sce.data.mixture import normalise
from lab41_sce.evaluation.metrics import si_sdr_improvement
from lab41_sce.runs.run_directory import write_csv

TURN_SECONDS, GAP_SECONDS = (3.0, 8.0), (-3.0, 1.0)
MIN_SECONDS = 30.0  # of speech from each speaker; less would be repeated too often


def conversation(rng: np.random.Generator, voices: list[np.ndarray] | np.ndarray, n_samples: int,
                 sample_rate_hz: int) -> np.ndarray:
    """Place turns of two voices in a conversation.

    Args:
        rng: source of the lengths of turns and gaps.
        voices: two signals `[N]`, repeated as often as needed.
        n_samples: length of the conversation.
        sample_rate_hz: of the signals.

    Returns:
        float32 `[2, n_samples]`, a signal for each speaker.
    """
    sources, used, ends, start = np.zeros((2, n_samples), np.float32), [0, 0], [0, 0], 0
    for speaker in itertools.cycle((0, 1)):
        length = min(round(rng.uniform(*TURN_SECONDS) * sample_rate_hz), n_samples - start)
        places = np.arange(used[speaker], used[speaker] + length) % len(voices[speaker])
        sources[speaker, start : start + length] += voices[speaker][places]
        used[speaker] += length
        ends[speaker] = start + length
        if ends[speaker] >= n_samples:
            break
        after = ends[speaker] + round(rng.uniform(*GAP_SECONDS) * sample_rate_hz)
        start = max(after, start + 1, ends[1 - speaker])  # no speaker overlaps his own turn
    return sources


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


def main() -> None:
    """Score some conversations of every kind; write a row for each."""
    parser = shipped.parser(__doc__, 4)
    parser.add_argument("--minutes", type=float, default=10.0)
    options = parser.parse_args()
    separator, speech, table = shipped.load(options)
    rate_hz, rng, rows = speech.sample_rate_hz, np.random.default_rng(0), []
    table = table[table.groupby("speaker")["seconds"].transform("sum") >= MIN_SECONDS]
    by_sex = {sex: sorted(of_sex["speaker"].unique()) for sex, of_sex in table.groupby("sex")}
    for kind in tqdm([kind for kind in ("FF", "FM", "MM") for _ in range(options.per_kind)], "conversations"):
        speakers = rng.choice(by_sex[kind[0]], 2, replace=False) if kind[0] == kind[1] else [
            rng.choice(by_sex[sex]) for sex in kind]
        names = [table.loc[table["speaker"] == speaker, "utterance"].to_list() for speaker in speakers]
        voices = [normalise(np.concatenate([speech.excerpt(name, 0, speech.length(name)) for name in of_speaker]),
                            separator.model.front_end.pre_emphasis) for of_speaker in names]
        sources = conversation(rng, voices, round(60 * options.minutes * rate_hz), rate_hz)
        started = time.perf_counter()
        separation = separator.separate(sources.sum(axis=0), rate_hz, 2)
        elapsed = time.perf_counter() - started
        swapped, with_speech = swapped_seconds(sources, separation.voices, rate_hz)
        gain = si_sdr_improvement(sources, sources.sum(axis=0), separation.voices)
        rows.append({"kind": kind, "speakers": " ".join(speakers), "seconds": with_speech, "swapped": swapped,
                     "share": swapped / with_speech, "si_sdri_db": gain, "confidence": separation.confidence,
                     "times_real_time": 60 * options.minutes / elapsed})
    scores = pd.DataFrame(rows).round(4)
    totals = scores.groupby("kind")[["seconds", "swapped"]].sum().reset_index()
    totals = pd.concat([totals, pd.DataFrame([{"kind": "All", **totals[["seconds", "swapped"]].sum()}])])
    totals["share"] = (totals["swapped"] / totals["seconds"]).round(4)
    write_csv(scores, options.results / "conversations.csv")
    print(scores.to_string(index=False))
    shipped.write_summary(totals, options.results)


if __name__ == "__main__":
    main()

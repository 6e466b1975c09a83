"""Separate long conversations with the shipped model, and tell in how many seconds the voices are swapped.

    python tools/score_conversations.py $LIBRISPEECH results/pretrained_conversations

Two unseen speakers take turns of 3 to 8 seconds for ten minutes; the next one begins up to 3 seconds before the other
has finished, or up to one second after. A second is swapped if the other order of the voices fits it better than the
order that fits the whole file best; seconds in which nobody speaks do not count.
"""

import itertools
import time

import numpy as np
import pandas as pd
import shipped
from tqdm import tqdm

from lab41_sce.audio.recording import Recording
from lab41_sce.data.mixture import normalise
from lab41_sce.evaluation.metrics import si_sdr_improvement
from lab41_sce.runs import run_directory

TURN_SECONDS, GAP_SECONDS = (3.0, 8.0), (-3.0, 1.0)
LEAST_SECONDS = 30.0  # of speech that a speaker must have


def conversation(rng, voices, n_samples: int, sample_rate_hz: int) -> np.ndarray:
    """Let voices take turns.

    Args:
        rng: where the lengths of turns come from.
        voices: two signals `[N]`, played as often as needed.
        n_samples: length of the conversation.
        sample_rate_hz: of the signals.

    Returns:
        What each of them says, float32 `[2, n_samples]`.
    """
    sources, said, ends, start = np.zeros((2, n_samples), np.float32), [0, 0], [0, 0], 0
    for speaker in itertools.cycle((0, 1)):
        length = min(round(rng.uniform(*TURN_SECONDS) * sample_rate_hz), n_samples - start)
        places = np.arange(said[speaker], said[speaker] + length) % len(voices[speaker])
        sources[speaker, start : start + length] += voices[speaker][places]
        said[speaker] += length
        ends[speaker] = start + length
        if ends[speaker] >= n_samples:
            return sources
        after = ends[speaker] + round(rng.uniform(*GAP_SECONDS) * sample_rate_hz)
        start = max(after, start + 1, ends[1 - speaker])  # nobody interrupts himself


def swapped_seconds(sources: np.ndarray, voices: np.ndarray, sample_rate_hz: int) -> tuple[int, int]:
    """Count the seconds in which voices are swapped, and those in which somebody speaks; both signals are `[2, N]`."""
    seconds = sources.shape[1] // sample_rate_hz
    cut = [signals[:, : seconds * sample_rate_hz].reshape(2, seconds, sample_rate_hz) for signals in (sources, voices)]
    kept, other = (np.square(cut[0] - cut[1][order]).sum(axis=(0, 2)) for order in ([0, 1], [1, 0]))
    if other.sum() < kept.sum():
        kept, other = other, kept
    level = np.square(cut[0]).sum(axis=(0, 2))
    spoken = level > 1e-3 * level.mean()
    return int((spoken & (other < kept)).sum()), int(spoken.sum())


def main():
    """Score some conversations of every kind; a row each."""
    parser = shipped.parser(__doc__, 4)
    parser.add_argument("--minutes", type=float, default=10.0)
    options = parser.parse_args()
    separator, speech, table = shipped.load(options)
    rate_hz = speech.sample_rate_hz
    rng, rows = np.random.default_rng(0), []
    # Who says little would say it again and again.
    seconds = table.groupby("speaker")["seconds"].sum()
    table = table[table["speaker"].map(seconds) >= LEAST_SECONDS]
    by_sex = {sex: sorted(of_sex["speaker"].unique()) for sex, of_sex in table.groupby("sex")}
    for kind in tqdm([kind for kind in ("FF", "FM", "MM") for _ in range(options.per_kind)], "conversations"):
        speakers = rng.choice(by_sex[kind[0]], 2, replace=False) if kind[0] == kind[1] else [
            rng.choice(by_sex[sex]) for sex in kind]
        names = [table.loc[table["speaker"] == speaker, "utterance"].to_list() for speaker in speakers]
        said = [normalise(np.concatenate([speech.excerpt(name, 0, speech.length(name)) for name in of_speaker]),
                          separator.model.front_end.pre_emphasis) for of_speaker in names]
        sources = conversation(rng, said, round(60 * options.minutes * rate_hz), rate_hz)
        started = time.perf_counter()
        separation = separator.open(Recording.of(sources.sum(axis=0), rate_hz), 2)
        voices = np.concatenate([*separation], axis=-1)[:, 0]
        elapsed = time.perf_counter() - started
        swapped, spoken = swapped_seconds(sources, voices, rate_hz)
        gain = si_sdr_improvement(sources, sources.sum(axis=0), voices)
        rows.append({"kind": kind, "speakers": " ".join(speakers), "seconds": spoken, "swapped": swapped,
                     "share": swapped / spoken, "si_sdri_db": gain, "confidence": separation.frames.confidence(),
                     "times_real_time": 60 * options.minutes / elapsed})
    scores = pd.DataFrame(rows).round(4)
    totals = scores.groupby("kind")[["seconds", "swapped"]].sum().reset_index()
    totals = pd.concat([totals, pd.DataFrame([{"kind": "All", **totals[["seconds", "swapped"]].sum()}])])
    totals["share"] = (totals["swapped"] / totals["seconds"]).round(4)
    run_directory.write_csv(scores, options.results / "conversations.csv")
    print(scores.to_string(index=False))
    shipped.write_summary(totals, options.results)


if __name__ == "__main__":
    main()

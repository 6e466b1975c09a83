"""Score how often the shipped model counts the people of a minute of conversation correctly, for unseen speakers.

    python tools/model/score_counting_turns.py $LIBRISPEECH results/model/counting_turns

The conversations are those of `conversations/turns_SPLIT.csv`, each cut into minutes. Who talks for at least
`MIN_SECONDS` of a minute counts; a minute in which somebody says less is left out. The set "1 person" has the minutes
of the first person of each conversation without the others. The results:

- `minutes.csv`: for each minute the number that was counted, the probability of each number, and the checksum of the
  model;
- `summary.csv`: for each set and number of people, `n` minutes, those counted correctly and those within one, and the
  95 % bootstrap interval of the share of the correct ones, over other speakers (`draw_mixture_counts`).
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import shipped
from score_counting import summarise
from tqdm import tqdm

from lab41_sce.audio.recording import Recording
from lab41_sce.data.conversation import load_conversation, true_turns
from lab41_sce.data.mixture import Mixture
from lab41_sce.data.noise import Noise
from lab41_sce.data.speech import Speech
from lab41_sce.runs.benchmark_systems import model_checksum
from lab41_sce.runs.run_directory import write_csv
from lab41_sce.separation.separator import Separator

FOLDER, RATE_HZ, MINUTE_SECONDS, MIN_SECONDS, ALONE = Path(__file__).parent, 16000, 60, 3.0, "1 person"


def seconds_of_speech(turns: list[tuple[str, float, float]], start: float) -> dict[str, float]:
    """Return the seconds that each person talks in the minute that begins at `start`."""
    seconds: dict[str, float] = {}
    for speaker, begin, end in turns:
        overlap = min(end, start + MINUTE_SECONDS) - max(begin, start)
        seconds[speaker] = seconds.get(speaker, 0.0) + max(overlap, 0.0)
    return seconds


def minutes(mixture: Mixture, turns: list[tuple[str, float, float]], sexes: dict[str, str], name: str,
            number: int) -> Iterator[tuple[dict, np.ndarray]]:
    """Yield a description and the signal `[N]` of each minute of a conversation, and of its first person alone."""
    length = MINUTE_SECONDS * RATE_HZ
    alone = mixture.signal - mixture.sources[1:].sum(axis=0)
    for minute in range(len(mixture.signal) // length):
        part, spoken = slice(minute * length, (minute + 1) * length), seconds_of_speech(turns, minute * MINUTE_SECONDS)
        talking = [speaker for speaker in mixture.speakers if spoken.get(speaker, 0.0) > 0]
        for of_one, people, signal in ((False, talking, mixture.signal), (True, [mixture.speakers[0]], alone)):
            if people and min(spoken.get(speaker, 0.0) for speaker in people) >= MIN_SECONDS:
                yield {"condition": ALONE if of_one else name,
                       "mixture": f"{name} {number}, minute {minute + 1}{', alone' if of_one else ''}",
                       "kind": "".join(map(sexes.__getitem__, people)), "speakers": len(people),
                       **{f"speaker_{place}": speaker for place, speaker in enumerate(people, start=1)}}, signal[part]


def main() -> None:
    """Count in every minute; write the tables."""
    parser = shipped.parser(__doc__, 100)
    parser.add_argument("--lists", type=Path, default=FOLDER / "conversations", help="folder with the lists")
    options = parser.parse_args()
    table = shipped.utterances(options)
    speech, sexes = Speech(table, RATE_HZ), dict(zip(table["speaker"], table["sex"], strict=True))
    noise = Noise(speech, table, ["pink"])
    rooms = np.load(FOLDER / "rooms.npz")["rooms"].astype(np.float32)
    stretches = pd.read_csv(options.lists / f"speech_{options.split}.csv")
    listed = pd.read_csv(options.lists / f"turns_{options.split}.csv", dtype={"speaker": str})
    listed = listed[listed["conversation"] < options.per_kind]
    separator, checksum, rows = Separator.load(options.model), model_checksum(options.model), []
    for (name, number), of_one in tqdm(listed.groupby(["set", "conversation"], sort=False), "conversations"):
        mixture = load_conversation(speech, of_one, rooms,
                                    lambda rng, length: noise.draw("pink", rng, length, options.split))
        for row, signal in minutes(mixture, true_turns(speech, of_one, stretches), sexes, name, number):
            count = separator.open(Recording.of(signal, RATE_HZ)).speakers.count
            assert count is not None
            rows.append({**row, "counted": count.n_speakers, "model": checksum, **{
                f"probability_{n}": round(share, 4) for n, share in (count.probabilities or {}).items()}})
    counted = pd.DataFrame(rows)
    write_csv(counted, options.results / "minutes.csv")
    shipped.write_summary(summarise(counted, counted), options.results)


if __name__ == "__main__":
    main()

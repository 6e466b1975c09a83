"""Score the warning that the shipped model's voices may hold parts of each other, on unseen speakers.

    python tools/model/score_confidence.py $LIBRISPEECH results/model/confidence

separates mixtures of 2, 3 and 4 people, clean, in noise and in rooms (`rooms.npz`), and writes for each mixture the
confidence and the SI-SDR improvement (`mixtures.csv`). `evaluation.csv` defines the mixtures; it is drawn if it is
missing. `summary.csv` counts:

- `warned`: mixtures with a warning; `right`: warned mixtures that gain less than the limit;
- `below_limit`: mixtures that gain less than the limit; `missed`: those of them without a warning.

An interrupted call with the same model continues.
"""

from pathlib import Path

import numpy as np
import pandas as pd
import shipped
from scipy.signal import fftconvolve
from tqdm import tqdm

from lab41_sce.data.checksums import file_checksum
from lab41_sce.data.evaluation_set import add_noise, draw_evaluation_set, load_mixture
from lab41_sce.data.mixture import Mixture
from lab41_sce.data.noise import Noise
from lab41_sce.data.speech import Speech
from lab41_sce.evaluation.metrics import si_sdr_improvement
from lab41_sce.runs.run_directory import write_csv
from lab41_sce.separation.confidence import ConfidenceThresholds

ROOMS = Path(__file__).with_name("rooms.npz")
NUMBERS_OF_ROOMS = (3, 4, 5)  # in the bank
RATE_HZ, SECONDS, LEVEL_RANGE_DB = 16000, 5.0, 5.0
NUMBERS, CONDITIONS = (2, 3, 4), ("clean", "noise", "rooms")
SNR_DB, NOISE_KINDS = (5.0, 20.0), ("white", "pink", "speech_shaped")
FIRST_SEED = 3500  # other mixtures than those of earlier scores
ROWS_PER_WRITE = 20


def draw_list(speech: Speech, table: pd.DataFrame, split: str, n_mixtures: int, noise: Noise,
              pre_emphasis: float) -> pd.DataFrame:
    """Draw the mixtures of every condition and number of people, `n_mixtures` of each."""
    parts, rng = [], np.random.default_rng(FIRST_SEED)
    for number, condition in enumerate(CONDITIONS):
        for n_speakers in NUMBERS:
            drawn = draw_evaluation_set(speech, table, split, n_speakers, -(-n_mixtures // 2**n_speakers), SECONDS,
                                        pre_emphasis, LEVEL_RANGE_DB, seed=FIRST_SEED + number)
            drawn = drawn.sample(n_mixtures, random_state=0)
            if condition == "noise":
                drawn = add_noise(drawn, noise, SNR_DB)
            if condition == "rooms":
                drawn = drawn.assign(room=rng.choice(NUMBERS_OF_ROOMS, len(drawn)))
            parts.append(drawn.assign(condition=condition, speakers=n_speakers))
    return pd.concat(parts, ignore_index=True).astype({"room": "Int64"})


def load(speech: Speech, row: dict, noise: Noise, rooms: np.ndarray) -> Mixture:
    """Make a mixture; in a room, its sources are as they arrive at the microphone."""
    mixture = load_mixture(speech, row, noise)
    if pd.isna(row["room"]):
        return mixture
    sources = [fftconvolve(source, response)[: len(source)].astype(np.float32)
               for source, response in zip(mixture.sources, rooms[int(row["room"])], strict=False)]
    return Mixture(np.stack(sources), mixture.speakers)


def summarise(measured: pd.DataFrame, thresholds: ConfidenceThresholds) -> pd.DataFrame:
    """Count the warnings of each number of people and condition, and of all conditions together."""
    rows, everywhere = [], measured.assign(condition="all")
    for (n_speakers, condition), some in pd.concat([measured, everywhere]).groupby(["speakers", "condition"],
                                                                                    sort=False):
        below = some["si_sdri_db"] < thresholds.limit_db
        warned = np.array([thresholds.is_low(confidence, n_speakers) for confidence in some["confidence"]])
        rows.append({"speakers": n_speakers, "condition": condition, "n": len(some), "warned": int(warned.sum()),
                     "right": int((warned & below).sum()), "below_limit": int(below.sum()),
                     "missed": int((below & ~warned).sum()),
                     "mean_db_warned": round(some["si_sdri_db"][warned].mean(), 1),
                     "mean_db_others": round(some["si_sdri_db"][~warned].mean(), 1)})
    return pd.DataFrame(rows).sort_values("speakers", kind="stable")


def main() -> None:
    """Measure every mixture, and score the warning."""
    options = shipped.parser(__doc__, 60).parse_args()
    separator, speech, table = shipped.load(options, RATE_HZ)
    # The noise of the split "validation" has the spectrum of speech of the split "train".
    noise = Noise(speech, table.replace({"split": {"validation": "train"}}), NOISE_KINDS)
    rooms = np.load(ROOMS)["rooms"].astype(np.float32)
    assert separator.confidence_thresholds is not None, "calibrate the model first"
    list_file, file = (options.results / f"{name}.csv" for name in ("evaluation", "mixtures"))
    if not list_file.exists():
        write_csv(draw_list(speech, table, options.split, options.per_kind, noise,
                            separator.model.front_end.pre_emphasis), list_file)
    mixtures = pd.read_csv(list_file, dtype={f"speaker_{n}": str for n in NUMBERS}).to_dict("records")
    checksum = file_checksum(options.model)
    rows = shipped.scored_rows(file, checksum)
    for row in tqdm(mixtures[len(rows):], "mixtures"):
        mixture = load(speech, row, noise, rooms)
        result = separator.separate(mixture.signal, RATE_HZ, row["speakers"])
        rows.append({**{name: row[name] for name in ("condition", "mixture", "speakers")},
                     "confidence": round(result.confidence, 4),
                     "si_sdri_db": round(si_sdr_improvement(mixture.sources, mixture.signal, result.voices), 3),
                     "model": checksum})
        if len(rows) % ROWS_PER_WRITE == 0 or len(rows) == len(mixtures):
            write_csv(pd.DataFrame(rows), file)
    shipped.write_summary(summarise(pd.DataFrame(rows), separator.confidence_thresholds), options.results)


if __name__ == "__main__":
    main()

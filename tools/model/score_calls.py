"""Score the rule that notices a person on each channel (`audio/call_channels.py`), on made stereo recordings.

    python tools/model/score_calls.py $LIBRISPEECH results/model/calls

Each recording lasts one minute, with two people of train-clean-100. The people of the half `tuning`, every second one,
served to choose the limits of the rule; the half `reported` did not. In the calls, each person has a channel, with
cross-talk of the other one that is up to 0.15 s late. In the other recordings, both people are on both channels, or
one channel has no person. `low` and `high` are the 95 % interval (Wilson) of the share of recordings that are noticed.
"""

import argparse
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import shipped
from scipy.signal import fftconvolve
from scipy.stats import binomtest
from tqdm import tqdm

from lab41_sce import audio
from lab41_sce.audio.call_channels import CallChannels
from lab41_sce.data.corpus import load_corpus
from lab41_sce.data.speech import Speech
from lab41_sce.runs.run_directory import write_csv

RATE_HZ, SECONDS, TURN_SECONDS = 8000, 60, 3.0
ROOMS, ROOMS_RATE_HZ = Path(__file__).with_name("rooms.npz"), 16000  # responses [rooms, places, N], of `draw_rooms.py`
SILENCES, CROSSTALKS_DB = (0.1, 0.4, 0.7), (-np.inf, -30, -20, -15, -10)
MAX_OVERLAP, SHARES = 0.2, (0.25, 0.75)  # of the speech; of the first person's turns
QUIET_DB, MAX_GAIN_DB = (-60.0, -30.0), 12.0  # of the noise below the speech; between the channels

Made = Callable[[np.random.Generator, np.ndarray], np.ndarray]  # voices [2, N] -> channels [2, N]


def gain(decibels: float) -> float:
    """Return the factor of a level."""
    return 10 ** (decibels / 20)


def draw_turns(rng: np.random.Generator, silence: float) -> np.ndarray:
    """Draw when two people talk, bool `[2, N]`, with a share of silence."""
    talks, start, person = np.zeros((2, SECONDS * RATE_HZ), bool), 0.0, 0
    share, overlap = rng.uniform(*SHARES), rng.uniform(0, MAX_OVERLAP)
    while start < SECONDS:
        length = 2 * rng.exponential(TURN_SECONDS) * (share if person == 0 else 1 - share)
        talks[person, round(start * RATE_HZ) : round((start + length) * RATE_HZ)] = True
        pause = rng.exponential(silence / (1 - silence)) * length
        start += max(length * (1 - overlap), 0.1) + pause
        person = 1 - person
    return talks


def draw_voices(rng: np.random.Generator, speech: Speech, table: pd.DataFrame, silence: float) -> np.ndarray:
    """Draw a conversation of two people with levels of one, `[2, N]`; short utterances are repeated."""
    speakers = rng.choice(table["speaker"].unique(), 2, replace=False)
    voices = []
    for speaker in speakers:
        utterance = rng.choice(table.loc[table["speaker"] == speaker, "utterance"].to_list())
        signal = speech.samples(utterance, 0, speech.length(utterance))
        voices.append(np.resize(np.roll(signal, rng.integers(len(signal))) / signal.std(), SECONDS * RATE_HZ))
    return np.array(voices) * draw_turns(rng, silence)


def call(rng: np.random.Generator, voices: np.ndarray, crosstalk_db: float) -> np.ndarray:
    """Give each person a channel, with late cross-talk of the other one."""
    return voices + gain(crosstalk_db) * np.roll(voices[::-1], rng.integers(round(0.15 * RATE_HZ)), axis=1)


def panned(rng: np.random.Generator, voices: np.ndarray, difference_db: float) -> np.ndarray:
    """Mix both people into both channels; the levels of each differ by a number of decibels between the channels."""
    return np.array([[1, gain(-difference_db)], [gain(-difference_db), 1]]) @ voices


def in_room(rng: np.random.Generator, voices: np.ndarray, difference_db: float) -> np.ndarray:
    """Record both people with two microphones in a room, each of them nearer to one of the people."""
    with np.load(ROOMS) as file:
        rooms = file["rooms"].astype(np.float32)
    places = rng.permutation(rooms[rng.integers(len(rooms))])
    responses = np.stack([audio.resample(place, ROOMS_RATE_HZ, RATE_HZ) for place in places]).reshape(2, 2, -1)
    levels = np.array([[1, gain(-difference_db)], [gain(-difference_db), 1]])
    recorded = fftconvolve(voices[None], levels[..., None] * responses, axes=2)  # [microphone, person, N]
    return recorded.sum(axis=1)[:, : voices.shape[1]]


def one_channel(rng: np.random.Generator, voices: np.ndarray, n_people: int) -> np.ndarray:
    """Put one or both people on one channel, and nobody on the other."""
    return np.stack([voices[:n_people].sum(axis=0), np.zeros(voices.shape[1])])


def moving(rng: np.random.Generator, voices: np.ndarray) -> np.ndarray:
    """Let one person walk from the left to the right and back, up to the whole level."""
    angles = np.pi / 2 * np.abs(np.linspace(-1, 1, voices.shape[1]))
    return np.stack([np.sin(angles), np.cos(angles)]) * voices[0]


def conditions() -> Iterator[tuple[str, bool, float, tuple[float, float], Made]]:
    """Yield description, whether each channel holds a person, share of silence, range of the noise in dB, function."""
    for crosstalk_db in CROSSTALKS_DB:
        words = f"cross-talk {crosstalk_db:g} dB" if np.isfinite(crosstalk_db) else "no cross-talk"
        for silence in SILENCES:
            yield (f"call, {words}, {silence:.0%} silence", True, silence, QUIET_DB,
                   partial(call, crosstalk_db=crosstalk_db))
    for noise_db in (-20.0, -10.0):
        yield (f"call, cross-talk -30 dB, 40% silence, noise {noise_db:g} dB", True, 0.4, (noise_db, noise_db),
               partial(call, crosstalk_db=-30))
    others: dict[str, Made] = {
        "one microphone on both channels": partial(panned, difference_db=0.0),
        "voices panned by 3 dB": partial(panned, difference_db=3.0),
        "voices panned by 6 dB": partial(panned, difference_db=6.0),
        "voices panned by 9 dB": partial(panned, difference_db=9.0),
        "two microphones in a room, 0 dB apart": partial(in_room, difference_db=0.0),
        "two microphones in a room, 6 dB apart": partial(in_room, difference_db=6.0),
        "one person, nobody on the other channel": partial(one_channel, n_people=1),
        "two people on one channel": partial(one_channel, n_people=2),
        "one person who walks from side to side": moving}
    for name, function in others.items():
        for silence in (0.1, 0.7):
            yield f"{name}, {silence:.0%} silence", False, silence, QUIET_DB, function


def with_noise(rng: np.random.Generator, channels: np.ndarray, range_db: tuple[float, float]) -> np.ndarray:
    """Add noise of its own to each channel, and change the level of one channel."""
    noisy = channels + gain(rng.uniform(*range_db)) * rng.standard_normal(channels.shape)
    return (0.05 * noisy * [[1.0], [gain(rng.uniform(-MAX_GAIN_DB, MAX_GAIN_DB))]]).astype(np.float32)


def is_noticed(channels: np.ndarray) -> bool:
    """Return the decision of the rule on channels `[2, N]`."""
    rule = CallChannels(RATE_HZ)
    for _ in rule.measured([channels.T]):
        pass
    return rule.hold_one_person_each()


def main() -> None:
    """Make the recordings of every condition, decide, and write the shares of recordings that are noticed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("root", help="LibriSpeech")
    parser.add_argument("results", type=Path, help="folder to write to")
    parser.add_argument("--half", default="reported", choices=["reported", "tuning"], help="of the people")
    parser.add_argument("--subset", default="train-clean-100")
    parser.add_argument("--per-condition", type=int, default=40)
    options = parser.parse_args()
    options.results.mkdir(parents=True, exist_ok=True)
    table = load_corpus(options.root, [options.subset], check="headers")
    people = sorted(table["speaker"].unique())[("tuning", "reported").index(options.half) :: 2]
    table = table[table["speaker"].isin(people)]
    speech, rng, rows = Speech(table, RATE_HZ), np.random.default_rng(0), []
    for name, is_call, silence, range_db, function in tqdm([*conditions()], "conditions"):
        noticed = [is_noticed(with_noise(rng, function(rng, draw_voices(rng, speech, table, silence)), range_db))
                   for _ in range(options.per_condition)]
        interval = binomtest(sum(noticed), len(noticed)).proportion_ci(method="wilson")
        rows.append({"recordings": name, "a_person_on_each_channel": "yes" if is_call else "no", "n": len(noticed),
                     "noticed": sum(noticed), "low": round(interval.low, 3), "high": round(interval.high, 3)})
    summary = pd.DataFrame(rows)
    shipped.write_summary(summary, options.results)
    write_csv(pd.DataFrame({"speaker": people}), options.results / "speakers.csv")


if __name__ == "__main__":
    main()

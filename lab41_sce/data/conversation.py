"""Utterances become conversations: a table of turns, kept as CSV, and from each conversation its signals `[S, N]`.

Each row of the table places one turn:

| column | content |
| --- | --- |
| `set`, `conversation` | name of the set, and number of the conversation in it |
| `kind` | the sexes of the speakers in their order, such as "FM" |
| `length_seconds` | duration of the conversation |
| `speaker`, `utterance` | who talks, and the utterance; "a+b" are utterances in succession |
| `offset_seconds`, `seconds`, `start_seconds` | start in the utterance, duration, start in the conversation |
| `gain_db` | gain that sets the level of the speaker |
| `room`, `snr_db` | number of the room; ratio of speech to background noise; empty without |

Within a turn the speaker pauses where the utterance does: a second table has the times of speech in each utterance.
A turn begins after the last turn but one has ended, so at most two people talk at a time.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.signal import fftconvolve

from lab41_sce.data.mixture import Mixture, level_gains
from lab41_sce.data.noise import scale_to_snr
from lab41_sce.data.speech import Speech

TURN_SECONDS = (3.0, 8.0)


@dataclass(frozen=True)
class ConversationSet:
    """Describe the conversations of a set.

    Attributes:
        name: of the set.
        kinds: for each conversation, the sexes of its speakers in their order; "?" is either.
        gap_seconds: range of the pause between two turns; negative pauses are overlaps.
        n_rooms: number of rooms, one of which each conversation takes place in; 0 without reverberation.
        snr_db: ratio of speech to background noise; None without noise.
    """

    name: str
    kinds: tuple[str, ...]
    gap_seconds: tuple[float, float]
    n_rooms: int = 0
    snr_db: float | None = None


def draw_conversations(wanted: ConversationSet, speech: Speech, utterances: pd.DataFrame, length_seconds: float,
                       pre_emphasis: float, rng: np.random.Generator) -> pd.DataFrame:
    """Draw the turns of every conversation of a set.

    Args:
        wanted: describes the set.
        speech: the signals.
        utterances: table with the columns `utterance`, `speaker` and `sex`.
        length_seconds: duration of each conversation.
        pre_emphasis: coefficient of the first-order difference after which levels are measured.
        rng: source of speakers, turns, gaps and rooms.

    Returns:
        The table that the module describes.
    """
    rows = []
    by_sex = {sex: sorted(of_sex["speaker"].unique()) for sex, of_sex in utterances.groupby("sex")}
    by_sex["?"] = sorted(utterances["speaker"].unique())
    names_of = utterances.groupby("speaker")["utterance"].apply(list)
    sexes = dict(zip(utterances["speaker"], utterances["sex"], strict=True))
    for number, kind in enumerate(wanted.kinds):
        if len(set(kind)) == 1:
            speakers = rng.choice(by_sex[kind[0]], len(kind), replace=False).tolist()
        else:
            drawn: dict[int, str] = {}
            for place in sorted(range(len(kind)), key=lambda place: kind[place] == "?"):  # anybody after the others
                left = [speaker for speaker in by_sex[kind[place]] if speaker not in drawn.values()]
                drawn[place] = rng.choice(left)
            speakers = [drawn[place] for place in range(len(kind))]
        names = [names_of[speaker] for speaker in speakers]
        whole = [np.concatenate([speech.excerpt(name, 0, speech.length(name)) for name in of_speaker])
                 for of_speaker in names]
        gains_db = [20 * np.log10(level_gains(signal - signal.mean(), pre_emphasis, 0.0)) for signal in whole]
        lengths = [speech.lengths(of_speaker) / speech.sample_rate_hz for of_speaker in names]
        common = {"set": wanted.name, "conversation": number, "kind": "".join(sexes[speaker] for speaker in speakers),
                  "length_seconds": length_seconds}
        room = int(rng.integers(wanted.n_rooms)) if wanted.n_rooms else None
        used = [0.0] * len(speakers)
        for speaker, start, seconds in _turns(rng, len(speakers), length_seconds, wanted.gap_seconds):
            joined, offset = _place(names[speaker], lengths[speaker], used[speaker], seconds)
            used[speaker] += seconds
            rows.append({**common, "speaker": speakers[speaker], "utterance": joined, "offset_seconds": offset,
                         "seconds": seconds, "start_seconds": start, "gain_db": gains_db[speaker], "room": room,
                         "snr_db": wanted.snr_db})
    return pd.DataFrame(rows).astype({"room": "Int64"})


def load_conversation(speech: Speech, turns: pd.DataFrame, rooms: np.ndarray | None = None,
                      draw_noise: Callable[[np.random.Generator, int], np.ndarray] | None = None) -> Mixture:
    """Make the signals of a conversation.

    Args:
        speech: the signals of the utterances.
        turns: the rows of one conversation.
        rooms: responses `[rooms, places, N]` at the rate of the speech, from the direct sound on; needed for turns in
            rooms.
        draw_noise: maps a generator and a length N to noise `[N]` with a mean square of 1; needed with `snr_db`.

    Returns:
        The mixture, with one source `[N]` for each speaker in the order of their first turns. The ratio of speech to
        noise is that during turns; pauses do not lower the noise.
    """
    first, rate_hz = turns.iloc[0], speech.sample_rate_hz
    n_samples = round(first["length_seconds"] * rate_hz)
    speakers = list(dict.fromkeys(turns["speaker"]))
    sources, in_turn = np.zeros((len(speakers), n_samples), np.float32), np.zeros(n_samples, bool)
    for turn in turns.to_dict("records"):
        start = round(turn["start_seconds"] * rate_hz)
        place = slice(start, min(start + round(turn["seconds"] * rate_hz), n_samples))
        excerpt = speech.excerpt(turn["utterance"], round(turn["offset_seconds"] * rate_hz), place.stop - start)
        sources[speakers.index(turn["speaker"]), place] += 10 ** (turn["gain_db"] / 20) * excerpt
        in_turn[place] = True
    if pd.notna(first["room"]):
        assert rooms is not None
        sources = np.stack([fftconvolve(source, response)[:n_samples].astype(np.float32)
                            for source, response in zip(sources, rooms[int(first["room"])], strict=False)])
    noise = None
    if pd.notna(first["snr_db"]):
        assert draw_noise is not None
        noise = scale_to_snr(draw_noise(np.random.default_rng(int(first["conversation"])), n_samples),
                             sources.sum(axis=0)[in_turn], first["snr_db"])
    return Mixture(sources, tuple(speakers), noise)


def true_turns(speech: Speech, turns: pd.DataFrame, stretches: pd.DataFrame) -> list[tuple[str, float, float]]:
    """List the times at which each speaker of a conversation talks.

    Args:
        speech: the signals of the utterances.
        turns: the rows of one conversation.
        stretches: times of speech in the utterances: `utterance`, `start_seconds`, `end_seconds`.

    Returns:
        Speaker, start and end in seconds.
    """
    of_utterance = {name: rows[["start_seconds", "end_seconds"]].to_numpy()
                    for name, rows in stretches.groupby("utterance")}
    found = []
    for turn in turns.to_dict("records"):
        begin = turn["start_seconds"] - turn["offset_seconds"]  # of the utterance in the conversation
        end = turn["start_seconds"] + turn["seconds"]
        for name in turn["utterance"].split("+"):
            for pair in of_utterance[name]:
                start, stop = np.clip(begin + pair, turn["start_seconds"], end).tolist()
                if stop > start:
                    found.append((turn["speaker"], start, stop))
            begin += speech.length(name) / speech.sample_rate_hz
    return found


def _turns(rng: np.random.Generator, n_speakers: int, length_seconds: float,
           gap_seconds: tuple[float, float]) -> list[tuple[int, float, float]]:
    """Draw turns: the number of the speaker, start and duration in seconds."""
    turns, speaker, start, end, end_before = [], 0, 0.0, 0.0, 0.0
    while True:
        seconds = min(rng.uniform(*TURN_SECONDS), length_seconds - start)
        if seconds > 0:
            turns.append((speaker, start, seconds))
        end_before, end = max(end, end_before), start + seconds
        if end >= length_seconds:
            return turns
        start = max(end + rng.uniform(*gap_seconds), start + 0.01, end_before)
        others = [other for other in range(n_speakers) if other != speaker]
        speaker = others[0] if len(others) == 1 else int(rng.choice(others))


def _place(names: list[str], lengths: np.ndarray, used: float, seconds: float) -> tuple[str, float]:
    """Return the utterances, joined by "+", that a turn needs after `used` seconds of them, and its offset in them."""
    begin = used % lengths.sum()
    ends = np.cumsum(lengths)
    first = int(np.searchsorted(ends, begin, side="right"))
    offset, needed, chosen = begin - (ends[first] - lengths[first]), begin, []
    position = first
    while needed < begin + seconds:
        index = position % len(names)
        needed += lengths[index] - (offset if position == first else 0)
        chosen.append(names[index])
        position += 1
    return "+".join(chosen), float(offset)

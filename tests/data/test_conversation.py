"""Conversations are made from a list: turns, gaps, times of speech, rooms and noise."""

import numpy as np
import pandas as pd
import pytest

from lab41_sce.data.conversation import ConversationSet, draw_conversations, load_conversation, true_turns

RATE_HZ = 1000


class FakeSpeech:
    """Provide utterances of constants: utterance i of speaker s is 2 + i seconds of the number 10 s + i + 1."""

    sample_rate_hz = RATE_HZ

    def length(self, name):
        return (2 + int(name[1])) * RATE_HZ

    def lengths(self, names):
        return np.array([self.length(name) for name in names])

    def excerpt(self, name, start, length):
        whole = np.concatenate([np.full(self.length(part), 10.0 * int(part[0]) + int(part[1]) + 1, np.float32)
                                for part in name.split("+")])
        return np.pad(whole, (0, length))[start : start + length]


UTTERANCES = pd.DataFrame([{"utterance": f"{speaker}{number}", "speaker": str(speaker), "sex": "FM"[speaker % 2]}
                           for speaker in range(4) for number in range(4)])


def draw(kinds, gap_seconds, seconds=300.0, **options):
    return draw_conversations(ConversationSet("a set", kinds, gap_seconds, **options), FakeSpeech(), UTTERANCES,
                              seconds, 0.95, np.random.default_rng(0)).assign(gain_db=0.0)


def talkers(turns):
    """Count the people who talk in each hundredth of a second."""
    n = np.zeros(30000, int)
    for turn in turns.to_dict("records"):
        n[round(100 * turn["start_seconds"]) : round(100 * (turn["start_seconds"] + turn["seconds"]))] += 1
    return n


@pytest.mark.parametrize(("n_speakers", "gap_seconds", "overlap", "silence"), [
    (2, (0.0, 1.0), (0, 0), (0.05, 0.12)), (3, (-3.0, 1.0), (0.15, 0.35), (0.0, 0.06)),
    (4, (-1.0, 11.0), (0, 0.02), (0.4, 0.6))])
def test_gaps_make_overlaps_and_pauses(n_speakers, gap_seconds, overlap, silence):
    turns = draw(("?" * n_speakers,), gap_seconds)
    n = talkers(turns)
    assert turns["speaker"].nunique() == n_speakers and n.max() <= 2
    assert overlap[0] <= (n > 1).mean() <= overlap[1] and silence[0] <= (n == 0).mean() <= silence[1]
    assert (turns["speaker"].to_numpy()[1:] != turns["speaker"].to_numpy()[:-1]).all()
    assert (turns["start_seconds"] + turns["seconds"]).max() <= 300


def test_kinds_give_the_sexes_of_the_speakers():
    turns = draw(("FF", "MF"), (0.0, 1.0), seconds=30.0)
    sexes = turns["speaker"].astype(int).map(lambda speaker: "FM"[speaker % 2])
    firsts = [list(dict.fromkeys(zip(part["speaker"], sexes[part.index], strict=True)))
              for _, part in turns.groupby("conversation")]
    assert [[sex for _, sex in part] for part in firsts] == [["F", "F"], ["M", "F"]]


@pytest.mark.parametrize("kind", ["FFM", "F?", "FM?M"])
def test_nobody_is_drawn_twice(kind):
    turns = draw((kind,) * 20, (0.0, 1.0))
    assert (turns.groupby("conversation")["speaker"].nunique() == len(kind)).all()


def test_turns_continue_through_the_utterances_of_their_speaker():
    turns = draw(("??",), (0.0, 1.0), seconds=60.0)
    mixture = load_conversation(FakeSpeech(), turns)
    for speaker, source in zip(mixture.speakers, mixture.sources, strict=True):
        spoken = source[source != 0]
        whole = FakeSpeech().excerpt("+".join(f"{speaker}{number}" for number in range(4)), 0, 14 * RATE_HZ)
        assert (spoken != np.resize(whole, len(spoken))).mean() < 0.01  # places are rounded to samples


def test_times_of_speech_follow_the_utterances():
    turns = pd.DataFrame([
        {"speaker": "0", "utterance": "00+01", "offset_seconds": 0.5, "seconds": 3.0, "start_seconds": 10.0},
        {"speaker": "1", "utterance": "10", "offset_seconds": 0.0, "seconds": 1.0, "start_seconds": 12.0}])
    stretches = pd.DataFrame([("00", 0.2, 1.0), ("01", 1.0, 3.0), ("10", 1.5, 2.0)],
                             columns=["utterance", "start_seconds", "end_seconds"])
    # Utterance 00 begins at 9.5 s, and 01 at 11.5 s; the turn ends at 13 s.
    assert true_turns(FakeSpeech(), turns, stretches) == [("0", 10.0, 10.5), ("0", 12.5, 13.0)]


def test_a_room_and_noise_are_added():
    turns = draw(("??",), (1.0, 11.0), seconds=60.0, n_rooms=2, snr_db=20.0)
    rooms = np.zeros((2, 4, 50), np.float32)
    rooms[..., 0], rooms[..., 20] = 1.0, 0.5
    mixture = load_conversation(FakeSpeech(), turns, rooms, lambda rng, length: rng.standard_normal(length))
    dry = load_conversation(FakeSpeech(), turns.assign(room=None, snr_db=None)).sources
    np.testing.assert_allclose(mixture.sources[:, 20:], dry[:, 20:] + 0.5 * dry[:, :-20], rtol=1e-4, atol=1e-3)
    talking = (dry != 0).any(axis=0)
    ratio = np.mean(mixture.sources.sum(axis=0)[talking] ** 2) / np.mean(mixture.noise**2)
    assert 10 * np.log10(ratio) == pytest.approx(20, abs=0.2)

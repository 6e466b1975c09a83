"""Speech of known speakers becomes mixtures `[N]` of 1 to 5 people, as varied as the recordings of users.

In most of them everybody talks at once; conversations, in which people take turns, are drawn on request.

The duration, the levels, the pauses, the frequency responses, the reverberation and the noise of each mixture are drawn
at random. A share of the mixtures is plain: everybody talks for all of the five seconds, equally loud, without noise.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from scipy.ndimage import uniform_filter1d
from scipy.signal import fftconvolve

from lab41_sce.data.evaluation_set import MAX_DRAWS, MIN_LEVEL_RATIO
from lab41_sce.data.frequency_response import draw_responses, response_basis
from lab41_sce.data.mixture import normalise
from lab41_sce.data.noise import Noise, scale_to_snr
from lab41_sce.data.speech import Speech
from lab41_sce.data.splits import SpeakerIndex

PLAIN_SECONDS, SECONDS = 5.0, (3.0, 30.0)
LEVEL_RANGE_DB, SNR_DB, RESPONSE_DB = 10.0, (10.0, 40.0), 12.0
TURN_SECONDS, PAUSE_SECONDS, FADE_SECONDS, MIN_TALK_SECONDS = (1.0, 6.0), (0.3, 5.0), 0.02, 1.5
CONVERSATION_TURN_SECONDS = (1.0, 15.0)
REVERBERATION_SECONDS, DIRECT_DB = (0.15, 0.6), (0.0, 15.0)  # RT60, level of the direct sound above the reverberation
PLAIN_SHARE, RESPONSE_SHARE = 0.4, 0.5
VARIED_SHARES = {"seconds": 0.6, "levels": 0.6, "noise": 0.6, "pauses": 0.35, "reverberation": 0.15}  # of the others


def draw_mixture(rng: np.random.Generator, speech: Speech, utterances: pd.DataFrame, n_speakers: int, noise: Noise,
                 pre_emphasis: float, **options: Any) -> tuple[np.ndarray, dict]:
    """Draw a mixture, float32 `[N]`, and its description; arguments as in `draw_sources`."""
    sources, drawn_noise, described = draw_sources(rng, speech, utterances, n_speakers, noise, pre_emphasis, **options)
    return sources.sum(axis=0) + drawn_noise, described


def draw_sources(rng: np.random.Generator, speech: Speech, utterances: pd.DataFrame, n_speakers: int, noise: Noise,
                 pre_emphasis: float, seconds_range: tuple[float, float] = SECONDS, seconds: float | None = None,
                 gap_seconds: tuple[float, float] | None = None,
                 varied_shares: Mapping[str, float] = VARIED_SHARES) -> tuple[np.ndarray, np.ndarray, dict]:
    """Draw the sources of a mixture.

    Args:
        rng: random generator.
        speech: the signals.
        utterances: table of the speakers to draw from, with the columns `utterance` and `speaker`.
        n_speakers: S.
        noise: its kinds are drawn at random.
        pre_emphasis: coefficient of the first-order difference after which levels are measured.
        seconds_range: of the mixtures whose duration is drawn.
        seconds: duration of the mixture, which is not plain then; None to draw it.
        gap_seconds: smallest and largest time between two turns of a conversation, below 0 for people who interrupt
            each other; None to let everybody talk at once. A conversation needs at least two seconds for each person.
        varied_shares: share of the mixtures that are not plain with each variation.

    Returns:
        The voices as they arrive at the microphone, float32 `[S, N]`; the noise, float32 `[N]`; and the description of
        the mixture: `names` of the speakers, `seconds`, `level_range_db`, `snr_db` (infinity without noise), `pauses`,
        `reverberation_seconds` (0 without reverberation), `filtered` (whether each voice has a random frequency
        response).
    """
    plain = rng.random() < PLAIN_SHARE and seconds is None
    varied = {name: not plain and rng.random() < share for name, share in varied_shares.items()}
    rate_hz, index = speech.sample_rate_hz, SpeakerIndex(utterances)
    if seconds is None:
        seconds = float(np.exp(rng.uniform(*np.log(seconds_range)))) if varied["seconds"] else PLAIN_SECONDS
    length = round(seconds * rate_hz)
    speakers = rng.choice(index.speakers, n_speakers, replace=False)
    names = [index.names_of(index.number_of[speaker]) for speaker in speakers]
    sources = np.stack([_talk(rng, speech, of_speaker, length) for of_speaker in names])
    filtered = bool(rng.random() < RESPONSE_SHARE)
    if filtered:
        sources = _filter(sources, draw_responses(rng, n_speakers, RESPONSE_DB, 0.0), rate_hz)
    level_range_db = rng.uniform(0, LEVEL_RANGE_DB) if varied["levels"] else 0.0
    sources = normalise(sources, pre_emphasis, level_range_db * (rng.random(n_speakers) - 0.5))
    if gap_seconds:
        sources *= _conversation(rng, n_speakers, length, rate_hz, gap_seconds)
    elif varied["pauses"]:
        sources *= np.stack([_turns(rng, length, rate_hz) for _ in speakers])
    rt60 = float(rng.uniform(*REVERBERATION_SECONDS)) if varied["reverberation"] else 0.0
    if rt60:
        sources = np.stack([_reverberate(rng, source, rt60, rate_hz) for source in sources])
    drawn_noise, snr_db = np.zeros(length, np.float32), np.inf
    if varied["noise"]:
        snr_db = rng.uniform(*SNR_DB)
        drawn = noise.draw(noise.kinds[rng.integers(len(noise.kinds))], rng, length, "train", [*speakers])
        drawn_noise = scale_to_snr(drawn, sources.sum(axis=0), snr_db)
    return sources.astype(np.float32), drawn_noise.astype(np.float32), {
        "names": " ".join(speakers), "seconds": seconds, "level_range_db": level_range_db, "snr_db": snr_db,
        "pauses": varied["pauses"] and not gap_seconds, "reverberation_seconds": rt60, "filtered": filtered}


def _talk(rng: np.random.Generator, speech: Speech, names: np.ndarray, length: int) -> np.ndarray:
    """Join the utterances of a speaker in random order, and draw an excerpt `[N]` that is not mostly a pause."""
    signal = np.concatenate([speech.excerpt(name, 0, speech.length(name)) for name in rng.permutation(names)])
    for _ in range(MAX_DRAWS):
        excerpt = np.resize(np.roll(signal, -int(rng.integers(len(signal)))), length)  # short speech is repeated
        if excerpt.std() > MIN_LEVEL_RATIO * signal.std():
            break
    return excerpt


def _turns(rng: np.random.Generator, length: int, rate_hz: int) -> np.ndarray:
    """Draw a gate `[N]` that is 1 in turns and 0 in pauses; a third of it or `MIN_TALK_SECONDS` are turns."""
    gate = np.zeros(length, np.float32)
    while gate.sum() < min(MIN_TALK_SECONDS * rate_hz, length / 3):
        gate[:], start = 0, -round(rng.uniform(0, TURN_SECONDS[1]) * rate_hz)
        while start < length:
            stop = start + round(rng.uniform(*TURN_SECONDS) * rate_hz)
            gate[max(start, 0) : max(stop, 0)] = 1
            start = stop + round(rng.uniform(*PAUSE_SECONDS) * rate_hz)
    return uniform_filter1d(gate, round(FADE_SECONDS * rate_hz), mode="nearest")


def _conversation(rng: np.random.Generator, n_speakers: int, length: int, rate_hz: int,
                  gap_seconds: tuple[float, float]) -> np.ndarray:
    """Draw gates `[S, N]` of people who talk in turns; a single person pauses between turns.

    Everybody talks for at least `MIN_TALK_SECONDS`, or a third of an equal share of the time. No turn is longer than
    such a share, or the shortest turn.
    """
    gates = np.zeros((n_speakers, length), np.float32)
    least = min(MIN_TALK_SECONDS * rate_hz, length / (3 * n_speakers))
    shortest, longest = CONVERSATION_TURN_SECONDS
    longest = max(min(longest, length / rate_hz / n_speakers), shortest)
    while gates.sum(axis=1).min() < least:
        gates[:], start, last = 0, 0, None
        while start < length:
            last = int(rng.choice([speaker for speaker in range(n_speakers) if speaker != last] or [0]))
            stop = start + round(float(np.exp(rng.uniform(*np.log([shortest, longest])))) * rate_hz)
            gates[last, start:stop] = 1
            start = max(stop + round(rng.uniform(*gap_seconds) * rate_hz), 0)
    return uniform_filter1d(gates, round(FADE_SECONDS * rate_hz), mode="nearest")


def _filter(sources: np.ndarray, weights: np.ndarray, rate_hz: int) -> np.ndarray:
    """Apply a frequency response, given by its weights (`draw_responses`), to each source `[S, N]`."""
    spectra = np.fft.rfft(sources)
    response_db = weights @ response_basis(np.linspace(0, rate_hz / 2, spectra.shape[-1]))
    return np.fft.irfft(spectra * 10 ** (response_db / 20), sources.shape[-1]).astype(np.float32)


def _reverberate(rng: np.random.Generator, source: np.ndarray, rt60: float, rate_hz: int) -> np.ndarray:
    """Add a reverberation that decays by 60 dB in `rt60` seconds to a source `[N]`."""
    time = np.arange(round(rt60 * rate_hz)) / rate_hz
    tail = rng.standard_normal(len(time)) * 10 ** (-3 * time / rt60)
    tail *= 10 ** (-rng.uniform(*DIRECT_DB) / 20) / np.sqrt(np.sum(tail**2))
    return source + fftconvolve(source, tail)[: len(source)]

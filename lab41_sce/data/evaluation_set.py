"""Frozen lists of mixtures to score on: one row of a CSV file is one mixture, whoever reads it.

A row has `mixture` (its id), `split`, `kind`, `sample_rate_hz`, `length` (samples) and, for each source i from 1,
`speaker_i`, `utterance_i`, `start_i` (samples) and `gain_i` (a factor). With noise it has `noise` (its kind),
`noise_seed` and `snr_db`, too, and `noise_files` tells lists of different folders of noise apart.
"""

import itertools
import logging
import zlib

import numpy as np
import pandas as pd
from scipy.signal import lfilter

from lab41_sce.data.splits import BySpeaker
from lab41_sce.errors import UserError
from lab41_sce.data.mixture import Mixture, level_gains
from lab41_sce.data.speech import Speech
from lab41_sce.data.noise import Noise, scaled

logger = logging.getLogger(__name__)


def draw_evaluation_set(
    speech: Speech,
    utterances: pd.DataFrame,
    split: str,
    n_speakers: int,
    n_per_kind: int,
    seconds: float,
    pre_emphasis: float,
    level_range_db: float = 0.0,
    seed: int = 0,
    join: bool = False,
) -> pd.DataFrame:
    """Draw a frozen list of mixtures, the same number of each kind that the split's speakers allow.

    Args:
        speech: the signals.
        utterances: table with the column `split`.
        split: which split to draw from: "in-set", "validation" or "unseen".
        n_speakers: S.
        n_per_kind: mixtures of each ordered kind (FF, FM, MF, MM).
        seconds: length of a mixture.
        pre_emphasis: coefficient under which levels are measured.
        level_range_db: as in `TrainingMixtures`.
        seed: of the draw.
        join: let every speaker say all utterances in a row, for mixtures longer than an utterance.

    Returns:
        A row for each mixture. Kinds are the sexes of the speakers in their order: "FF", "FM", "MF", "MM", or "FFF"
        and so on for three speakers.
    """
    length = round(seconds * speech.sample_rate_hz)
    table = utterances[utterances["split"] == split]
    if join:
        rows = table.sort_values("utterance").groupby(["speaker", "sex"], as_index=False)
        table = rows.agg({"utterance": "+".join})
    table = table[np.array([speech.length(name) >= length for name in table["utterance"]], bool)]
    groups, names = BySpeaker(table), table["utterance"].to_numpy(object)
    numbers = {speaker: number for number, speaker in enumerate(groups.speakers)}
    speakers = {sex: np.array(sorted(of_sex["speaker"].unique())) for sex, of_sex in table.groupby("sex")}
    rng = np.random.default_rng([seed, sum(map(ord, split))])
    rows = []
    for kind in map("".join, itertools.product("FM", repeat=n_speakers)):
        short = [sex for sex in "FM" if len(speakers.get(sex, [])) < kind.count(sex)]
        if short:
            logger.warning("No %s mixtures in the split '%s': too few speakers of sex %s with utterances of %.2f s.",
                           kind, split, short[0], seconds)
            continue
        for number in range(n_per_kind):
            row = {"mixture": f"{split}-{kind}-{number:04d}", "split": split, "kind": kind,
                   "sample_rate_hz": speech.sample_rate_hz, "length": length}
            drawn = {sex: list(rng.choice(speakers[sex], kind.count(sex), replace=False)) for sex in sorted(set(kind))}
            for place, sex in enumerate(kind, start=1):
                speaker = drawn[sex].pop()
                of_speaker = names[groups.rows_of(numbers[speaker])]
                row |= _draw_source(rng, speech, of_speaker, speaker, length, pre_emphasis, level_range_db, place)
            rows.append(row)
    if not rows:
        raise UserError(f"the split '{split}' has too few speakers with utterances of {seconds:.2f} s for mixtures of "
                        f"{n_speakers}; use shorter mixtures (evaluation.seconds), other evaluation.splits "
                        "or more speech.")
    return pd.DataFrame(rows)


def add_noise(mixtures: pd.DataFrame, noise: Noise, snr_db: tuple[float, float], seed: int = 0) -> pd.DataFrame:
    """Give every mixture of a list noise; what is mixed stays the same.

    Args:
        mixtures: evaluation list.
        noise: its kinds are taken in turns.
        snr_db: lowest and highest signal-to-noise ratio; every mixture gets one between them.
        seed: of the draw; the noise itself depends on it and on the mixture, not on `snr_db`.

    Returns:
        The list with the columns `noise`, `noise_seed`, `snr_db` and, of a folder of noise, `noise_files`.
    """
    seeds = [zlib.crc32(f"{seed} {mixture}".encode()) for mixture in mixtures["mixture"]]
    shares = np.random.default_rng(seed).random(len(mixtures))
    levels_db = np.round(snr_db[0] + (snr_db[1] - snr_db[0]) * shares, 2)
    turns = [noise.kinds[number % len(noise.kinds)] for number in range(len(mixtures))]
    return mixtures.assign(noise=turns, noise_seed=seeds, snr_db=levels_db,
                           **({"noise_files": noise.fingerprint} if noise.fingerprint else {}))


def at_snr(mixtures: pd.DataFrame, noise: Noise, snr_db: float, seed: int = 0) -> pd.DataFrame:
    """Make a split of its own of a list of mixtures with noise at one signal-to-noise ratio (see `add_noise`)."""
    about = f", SNR {snr_db:g} dB"
    noisy = add_noise(mixtures, noise, (snr_db, snr_db), seed)
    return noisy.assign(mixture=noisy["mixture"] + about, split=noisy["split"] + about)


def speech_split(split: str) -> str:
    """Return the split that the speech of a split such as "unseen, SNR 5 dB" is of."""
    return split.partition(",")[0]


def snr_db(split: str) -> float:
    """Return the signal-to-noise ratio of a split such as "unseen, SNR 5 dB"; infinity without noise."""
    return float(split.rpartition("SNR ")[2].removesuffix(" dB")) if "SNR " in split else float("inf")


def main_split(splits) -> str:
    """Return the split to judge by, of the names of some: unseen speakers, if there are any."""
    names = [speech_split(split) for split in splits]
    return "unseen" if "unseen" in names else names[0]


def load_mixture(speech: Speech, row, noise: Noise | None = None) -> Mixture:
    """Return the mixture of one row of an evaluation list; `noise` draws that of lists with noise.

    Raises:
        UserError: the row speaks of an utterance that is not there, or of samples that it does not have.
    """
    excerpts, speakers, length = [], [], int(row["length"])
    for place in itertools.count(1):
        name = row.get(f"utterance_{place}")
        if not isinstance(name, str):
            break
        start, gain, available = int(row[f"start_{place}"]), row[f"gain_{place}"], speech.length(name)
        # A second more, since what a file's header says of its length may be a bit less than is decoded.
        if not (0 <= start < start + length <= available + speech.sample_rate_hz and np.isfinite(gain)):
            raise UserError(f"the mixture {row['mixture']} is to have {length} samples from {start} on of {name}, "
                            f"which has {available}, {gain:g} times as loud; use a list that was made of this corpus.")
        excerpt = speech.excerpt(name, start, length)
        excerpts.append((excerpt - excerpt.mean()) * np.float32(gain))
        speakers.append(str(row[f"speaker_{place}"]))
    sources = np.stack(excerpts)
    if not isinstance(row.get("noise"), str):
        return Mixture(sources, tuple(speakers))
    if noise is None:
        raise ValueError("Got a row of a mixture with noise, and nothing that draws noise.")
    drawn = noise.draw(row["noise"], np.random.default_rng(int(row["noise_seed"])), sources.shape[1],
                       speech_split(row["split"]), speakers)
    return Mixture(sources, tuple(speakers), scaled(drawn, sources.sum(axis=0), row["snr_db"]))


def _draw_source(rng, speech, names, speaker, length, pre_emphasis, level_range_db, place) -> dict:
    """Draw an excerpt of a speaker's utterances that is not mostly a pause, and its gain."""
    name = names[rng.integers(len(names))]
    whole = speech.excerpt(name, 0, speech.length(name))
    usual = lfilter([1, -pre_emphasis], 1, whole).std()
    for _ in range(20):
        start = int(rng.integers(len(whole) - length + 1))
        excerpt = whole[start : start + length]
        if lfilter([1, -pre_emphasis], 1, excerpt).std() > 0.3 * usual:  # within 10 dB
            break
    level_db = level_range_db * (rng.random() - 0.5)
    gain = float(level_gains(excerpt - excerpt.mean(), pre_emphasis, level_db))
    return {f"speaker_{place}": speaker, f"utterance_{place}": name, f"start_{place}": start,
            f"gain_{place}": float(f"{gain:.6g}")}

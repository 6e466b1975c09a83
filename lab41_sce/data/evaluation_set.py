"""A split becomes an evaluation set: a table, kept as CSV, each row of which defines one mixture completely.

| column | content |
| --- | --- |
| `mixture` | id of the mixture |
| `split` | such as "unseen", or "unseen, SNR 5 dB" |
| `kind` | the sexes of the speakers in their order, such as "FM" |
| `sample_rate_hz`, `length` | sample rate in Hz, N in samples |
| `speaker_i`, `utterance_i` | for each source i from 1: speaker id and utterance |
| `start_i`, `gain_i` | for each source i: first sample in the utterance, and the factor that sets its level |
| `noise`, `noise_seed`, `snr_db` | with noise only: its kind, the seed of its samples, its ratio in dB |
| `noise_files` | with a folder of noise only: a checksum of the table of its files (`Noise.files`) |
"""

import itertools
import logging
import zlib
from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from scipy.signal import lfilter

from lab41_sce.data.benchmark_set import BenchmarkMixture, BenchmarkSet
from lab41_sce.data.mixture import Mixture, centre, level_gains
from lab41_sce.data.noise import Noise, scale_to_snr
from lab41_sce.data.speech import Speech
from lab41_sce.data.splits import SpeakerIndex, base_split, noisy_split
from lab41_sce.errors import UserError

MIN_LEVEL_RATIO = 0.3  # of an excerpt to its utterance: -10 dB; quieter excerpts are mostly pauses
MAX_DRAWS = 20  # of an excerpt that is not mostly a pause

logger = logging.getLogger(__name__)


def draw_evaluation_set(speech: Speech, utterances: pd.DataFrame, split: str, n_speakers: int, n_per_kind: int,
                        seconds: float, pre_emphasis: float, level_range_db: float = 0.0, seed: int = 0,
                        join: bool = False) -> pd.DataFrame:
    """Draw an evaluation set with the same number of mixtures of each kind that the speakers of the split allow.

    Args:
        speech: the signals.
        utterances: table with the column `split`.
        split: "in-set", "validation" or "unseen".
        n_speakers: S.
        n_per_kind: number of mixtures of each kind. For S = 2 the kinds are "FF", "FM", "MF" and "MM".
        seconds: duration of a mixture.
        pre_emphasis: coefficient of the first-order difference after which levels are measured.
        level_range_db: each level is drawn uniformly from plus and minus half of this range.
        seed: of the random draw.
        join: whether to concatenate all utterances of a speaker, for mixtures that are longer than an utterance.

    Returns:
        The evaluation set, a row for each mixture.

    Raises:
        UserError: the split has too few speakers with long enough utterances for every kind.
    """
    length = round(seconds * speech.sample_rate_hz)
    table = utterances[utterances["split"] == split]
    if join:
        rows = table.sort_values("utterance").groupby(["speaker", "sex"], as_index=False)
        table = rows.agg({"utterance": "+".join})
    table = table[np.array([speech.length(name) >= length for name in table["utterance"]], bool)]
    index = SpeakerIndex(table)
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
                utterance, start, gain = _draw_source(rng, speech, index.names_of(index.number_of[speaker]), length,
                                                      pre_emphasis, level_range_db)
                row |= {f"speaker_{place}": speaker, f"utterance_{place}": utterance, f"start_{place}": start,
                        f"gain_{place}": gain}
            rows.append(row)
    if not rows:
        raise UserError(f"the split '{split}' has too few speakers with utterances of {seconds:.2f} s for mixtures of "
                        f"{n_speakers}; use shorter mixtures (evaluation.seconds), other evaluation.splits "
                        "or more speech.")
    return pd.DataFrame(rows)


def add_noise(mixtures: pd.DataFrame, noise: Noise, snr_db: tuple[float, float], seed: int = 0) -> pd.DataFrame:
    """Add noise to every mixture of an evaluation set; its speech stays the same.

    Args:
        mixtures: evaluation set.
        noise: its kinds are taken in turn.
        snr_db: lowest and highest signal-to-noise ratio; the ratio of each mixture is drawn uniformly between them.
        seed: of the random draw; the samples of the noise depend on this seed and on the mixture, not on `snr_db`.

    Returns:
        The evaluation set with the columns `noise`, `noise_seed`, `snr_db` and, for a folder of noise, `noise_files`.
    """
    seeds = [zlib.crc32(f"{seed} {mixture}".encode()) for mixture in mixtures["mixture"]]
    shares = np.random.default_rng(seed).random(len(mixtures))
    levels_db = np.round(snr_db[0] + (snr_db[1] - snr_db[0]) * shares, 2)
    kinds = [noise.kinds[number % len(noise.kinds)] for number in range(len(mixtures))]
    return mixtures.assign(noise=kinds, noise_seed=seeds, snr_db=levels_db,
                           **({"noise_files": noise.fingerprint} if noise.fingerprint else {}))


def add_noise_at(mixtures: pd.DataFrame, noise: Noise, snr_db: float, seed: int = 0) -> pd.DataFrame:
    """Add noise at one signal-to-noise ratio to an evaluation set, as `add_noise` does.

    Returns:
        The evaluation set with noise; splits and ids of mixtures end in, for example, ", SNR 5 dB".
    """
    noisy = add_noise(mixtures, noise, (snr_db, snr_db), seed)
    renamed = {column: [noisy_split(name, snr_db) for name in noisy[column]] for column in ("mixture", "split")}
    return noisy.assign(**renamed)


def load_mixture(speech: Speech, row: Mapping[Any, Any] | pd.Series, noise: Noise | None = None) -> Mixture:
    """Make the mixture that a row of an evaluation set defines.

    Raises:
        UserError: the row names an utterance that is not in the corpus, or samples that the utterance does not have.
        ValueError: the row has noise, and `noise` is None.
    """
    excerpts, speakers, length = [], [], int(row["length"])
    for place in itertools.count(1):
        name = row.get(f"utterance_{place}")
        if not isinstance(name, str):
            break
        start, gain, available = int(row[f"start_{place}"]), row[f"gain_{place}"], speech.length(name)
        # One second of tolerance: a file may have slightly more samples than its header states.
        if not (0 <= start < start + length <= available + speech.sample_rate_hz and np.isfinite(gain)):
            raise UserError(f"the mixture {row['mixture']} needs {length} samples of {name} from sample {start} on, "
                            f"times {gain:g}, but it has {available} samples; use an evaluation set that was drawn "
                            "from this corpus.")
        excerpt = speech.excerpt(name, start, length)
        excerpts.append(centre(excerpt) * np.float32(gain))
        speakers.append(str(row[f"speaker_{place}"]))
    sources = np.stack(excerpts)
    if not isinstance(row.get("noise"), str):
        return Mixture(sources, tuple(speakers))
    if noise is None:
        raise ValueError(f"The mixture {row['mixture']} has noise, but `noise` is None.")
    drawn = noise.draw(row["noise"], np.random.default_rng(int(row["noise_seed"])), sources.shape[1],
                       base_split(row["split"]), speakers)
    return Mixture(sources, tuple(speakers), scale_to_snr(drawn, sources.sum(axis=0), row["snr_db"]))


def frozen_evaluation_set(name: str, speech: Speech, mixtures: pd.DataFrame, noise: Noise | None = None,
                          corpus: str = "") -> BenchmarkSet:
    """Return the mixtures of an evaluation set in the form of a published set.

    Args:
        name: of the set, for tables.
        speech: the signals.
        mixtures: evaluation set with one sample rate.
        noise: its noise, if it has any.
        corpus: see `BenchmarkSet`.
    """
    rows = mixtures.to_dict("records")
    places = [int(column.removeprefix("utterance_")) for column in mixtures if str(column).startswith("utterance_")]
    speakers = [tuple(str(row[f"speaker_{place}"]) for place in places if isinstance(row[f"utterance_{place}"], str))
                for row in rows]
    frozen = tuple(BenchmarkMixture(row["mixture"], row["kind"], of_row, partial(load_mixture, speech, row, noise))
                   for row, of_row in zip(rows, speakers, strict=True))
    return BenchmarkSet(name, speech.sample_rate_hz, frozen, corpus)


def _draw_source(rng: np.random.Generator, speech: Speech, names: np.ndarray, length: int, pre_emphasis: float,
                 level_range_db: float) -> tuple[str, int, float]:
    """Draw an excerpt that is not mostly a pause: its utterance, its first sample and its gain."""
    name = names[rng.integers(len(names))]
    whole = speech.excerpt(name, 0, speech.length(name))
    usual_level = lfilter([1, -pre_emphasis], 1, whole).std()
    for _ in range(MAX_DRAWS):
        start = int(rng.integers(len(whole) - length + 1))
        excerpt = whole[start : start + length]
        if lfilter([1, -pre_emphasis], 1, excerpt).std() > MIN_LEVEL_RATIO * usual_level:
            break
    level_db = level_range_db * (rng.random() - 0.5)
    gain = float(level_gains(centre(excerpt), pre_emphasis, level_db))
    return name, start, float(f"{gain:.6g}")  # the gain as it is written to the CSV file

"""Folders of mixtures, true voices and separated voices become a table of scores.

    MIXTURES/talk.wav, REFERENCES/talk_1.wav ..., VOICES/talk_1.wav ...
        -> rows (mixture, speakers, metric, value in dB, checksum of these files)

Scores in an existing table are used again only for files with the same checksum, whatever their names and dates.
"""

import itertools
import logging
import time
import zlib
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from joblib import delayed
from threadpoolctl import threadpool_limits
from tqdm import tqdm

from lab41_sce import audio
from lab41_sce.atomic_write import lock, write_csv
from lab41_sce.errors import UserError
from lab41_sce.evaluation.bootstrap import summarise
from lab41_sce.evaluation.metrics import METRICS, score_mixture, silent
from lab41_sce.process_pool import workers

logger = logging.getLogger(__name__)

COLUMNS = ["mixture", "speakers", "metric", "value", "checksum"]
SAVE_INTERVAL_SECONDS = 10.0
MAX_GAP = 10  # numbers after the last voice at which further voices are looked for
BLOCK_BYTES = 2**20


class ScoredMixture(NamedTuple):
    """Hold the outcome of one mixture: rows of `COLUMNS`, whether earlier rows still hold, an error, and a remark."""

    rows: list[tuple] = []
    unchanged: bool = False
    error: str = ""
    remark: str = ""


def find_voices(folder: Path, mixture: Path) -> tuple[list[Path], Path | None]:
    """List the files NAME_1, NAME_2, ... in a folder, where NAME and the suffix are those of the mixture.

    Returns:
        The files up to the first missing number, and a file with a later number, if there is one.
    """
    numbered = (folder / f"{mixture.stem}_{number}{mixture.suffix.lower()}" for number in itertools.count(1))
    voices = [*itertools.takewhile(Path.exists, numbered)]
    return voices, next(filter(Path.exists, itertools.islice(numbered, MAX_GAP)), None)


def score_file(mixture: Path, references: Path, voices: Path, known_checksum: str | None = None) -> ScoredMixture:
    """Score the voices of one mixture; suitable for a worker process.

    Args:
        mixture: audio file; several channels are mixed to one.
        references: folder of the true voices.
        voices: folder of the separated voices.
        known_checksum: of the files whose scores are known; these are not scored again.
    """
    try:
        (true, later_true), (separated, later) = (find_voices(folder, mixture) for folder in (references, voices))
        if known_checksum and (not true or len(separated) < len(true)):
            return ScoredMixture(unchanged=True, remark=f"{mixture}: references or voices are missing now; the earlier "
                                                        "scores are kept.")
        if after_gap := later_true or later:
            raise UserError(f"{after_gap} exists, but not all voices with lower numbers; number them without gaps.")
        if not true or len(true) != len(separated):
            raise UserError(f"{mixture} has {len(true)} references in {references} and {len(separated)} voices in "
                            f"{voices}; give the same number of both, with the names "
                            f"{mixture.stem}_1{mixture.suffix.lower()} and so on.")
        files = [mixture, *true, *separated]
        if (found_checksum := checksum(files)) == known_checksum:
            return ScoredMixture(unchanged=True)
        _, rate_hz = audio.read(mixture)
        signals = [audio.read_mono(path, rate_hz) for path in files]
        if len({*map(len, signals)}) > 1:
            raise UserError(f"{mixture}, its references and its voices have different lengths; give files of the same "
                            "length.")
        mixed, sources, estimates = signals[0], np.stack(signals[1 : 1 + len(true)]), np.stack(signals[1 + len(true) :])
        silent_voices = np.flatnonzero(silent(estimates, mixed))
        silent_sources = [mixture] if np.ptp(mixed) == 0 else np.array(true)[silent(sources, mixed)].tolist()
        if silent_sources:
            raise UserError(f"{silent_sources[0]} is silent, so {mixture.name} cannot be scored; give a mixture in "
                            "which every reference sounds.")
        with threadpool_limits(1):  # sums depend on the number of threads in their last digits
            scores = score_mixture(sources, mixed, {"voices": estimates})
        if np.isnan([value for *_, value in scores]).any():
            raise UserError(f"{mixture} cannot be scored, because one of its references is a copy of another; give the "
                            "true voices of different people.")
        rows = [(mixture.name, len(true), metric, value, found_checksum) for _, metric, value in scores]
        remarks = [f"{separated[number]} is silent; it is scored as white noise." for number in silent_voices]
        return ScoredMixture(rows, remark=" ".join(remarks))
    except (UserError, ValueError, OSError) as error:
        return ScoredMixture(error=str(error))


def checksum(files: Sequence[Path]) -> str:
    """Compute a checksum of the contents of files and of their order, eight hexadecimal digits after an x."""
    crc32 = 0
    for path in files:
        with open(path, "rb") as file:
            while block := file.read(BLOCK_BYTES):
                crc32 = zlib.crc32(block, crc32)
        crc32 = zlib.crc32(str(path.stat().st_size).encode(), crc32)  # where one file ends and the next begins
    return f"x{crc32:08x}"  # spreadsheets would take some of the digits alone for a number


def score_files(mixtures: Sequence[Path], references: Path, voices: Path, out: Path, engine: str = "loky",
                n_jobs: int = -1) -> list[str]:
    """Score many mixtures and save the scores every few seconds.

    Args:
        mixtures: audio files. Mixtures whose scores the table contains are skipped, unless a file was changed.
        references: folder of the true voices.
        voices: folder of the separated voices.
        out: table (CSV) to write, or to add to.
        engine: where the processes run: one of `process_pool.ENGINES`.
        n_jobs: number of processes; -1 uses all cores.

    Returns:
        One error message for each mixture that could not be scored. The table contains no scores of such a mixture.

    Raises:
        UserError: if the table cannot be read or written, or another process writes it, two mixtures have the same
            name, or the processes cannot start.
    """
    if repeated := sorted(name for name, times in Counter(mixture.name for mixture in mixtures).items() if times > 1):
        raise UserError(f"{len(repeated)} names belong to several mixtures ({', '.join(repeated[:3])}); give each "
                        "mixture once, or score each folder separately with another --out.")
    busy = f"another call writes scores to {out}; wait for it, or choose another --out."
    with lock(out.with_name(f".{out.name}.lock"), busy):
        return _add_scores(_read_table(out), mixtures, references, voices, out, engine, n_jobs)


def _read_table(out: Path) -> dict[str, list[tuple]]:
    """Read the rows of each mixture of a table, if it exists; tables of version 0.2.0 have no checksums."""
    if not out.exists():
        return {}
    try:
        table = pd.read_csv(out, dtype={"mixture": str, "checksum": str})
        if "checksum" not in table:
            table["checksum"] = ""
        table = table[COLUMNS].fillna({"checksum": ""})
    except (OSError, KeyError, ValueError) as error:
        raise UserError(f"{out} is not a table of scores ({error}); choose another --out.") from None
    if n_unknown := table.loc[table["checksum"] == "", "mixture"].nunique():
        logger.warning("%s lacks the checksums of the files of %d mixtures; those that are given are scored again.",
                       out, n_unknown)
    return {name: [*rows.itertuples(index=False, name=None)] for name, rows in table.groupby("mixture")}


def _add_scores(table: dict[str, list[tuple]], mixtures: Sequence[Path], references: Path, voices: Path, out: Path,
                engine: str, n_jobs: int) -> list[str]:
    """Score mixtures into a table of rows by mixture, and return error messages; arguments as in `score_files`."""
    errors, n_unchanged, saved = [], 0, time.monotonic()

    def save() -> None:
        rows = [row for name in sorted(table) for row in table[name]]
        write_csv(pd.DataFrame(rows, columns=COLUMNS), out)

    known = {name: rows[0][-1] for name, rows in table.items()}
    try:
        with workers(engine, n_jobs) as run:
            scored = run(delayed(score_file)(mixture.absolute(), references.absolute(), voices.absolute(),
                                             known.get(mixture.name)) for mixture in mixtures)
            for mixture, outcome in zip(mixtures, tqdm(scored, "scoring", len(mixtures), unit=" mixtures",
                                                       disable=None), strict=True):
                n_unchanged += outcome.unchanged
                if outcome.rows:
                    table[mixture.name] = outcome.rows
                if outcome.error:
                    table.pop(mixture.name, None)  # scores of other files
                    errors.append(outcome.error)
                if outcome.remark:
                    logger.warning("%s", outcome.remark)
                if time.monotonic() - saved > SAVE_INTERVAL_SECONDS:
                    save()
                    saved = time.monotonic()
    finally:
        save()
    if n_unchanged:
        logger.warning("%d of %d mixtures are skipped because %s contains the scores of these files.", n_unchanged,
                       len(mixtures), out)
    return errors


def mean_scores(table: Path) -> pd.DataFrame:
    """Average the scores of a table over its mixtures.

    Args:
        table: CSV file that `score_files` wrote.

    Returns:
        One row for each of `METRICS`, with the columns metric, mean, low, high (dB; 95 % interval over mixtures, NaN
        for one mixture) and n (number of mixtures); no row if there are no scores.
    """
    scores = pd.read_csv(table, dtype={"mixture": str})
    means = summarise(scores.assign(split="files", system="voices", kind="")).query("kind == 'All'")
    return means.set_index("metric").reindex(METRICS)[["mean", "low", "high", "n"]].dropna(subset="mean").reset_index()

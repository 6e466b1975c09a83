"""Folders of mixtures, true voices and separated voices become a table of scores.

    mixture, references and voices, in one of the layouts of `folder_layout.py`
        -> rows (mixture, speakers, metric, value, checksum of these files)

If a mixture has another number of voices than of references, the best subset is scored: the pairs of references and
voices with the largest sum of SI-SDR. A row with the metric `voices` holds their number. The remaining voices are
surplus, the remaining references have no voice and do not count in the means.
Scores in an existing table are used again only for files with the same checksum, whatever their names and dates.
"""

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

from lab41_sce.atomic_write import lock, write_csv
from lab41_sce.errors import UserError, reason
from lab41_sce.evaluation.definitions import ENERGY_METRICS
from lab41_sce.evaluation.folder_layout import Layout
from lab41_sce.evaluation.long_mixture import add_blocks, replace_silence, score_long_mixture
from lab41_sce.evaluation.metrics import best_pairs, fill_silence, score_mixture, si_sdr_matrix, silent
from lab41_sce.evaluation.mixture_files import MixtureFiles
from lab41_sce.evaluation.perceptual import check_metrics
from lab41_sce.process_pool import workers

logger = logging.getLogger(__name__)

COLUMNS = ["mixture", "speakers", "metric", "value", "checksum"]
SAVE_INTERVAL_SECONDS = 10.0
VOICES = "voices"  # metric of the row with the number of voices, where it is not that of the references
BLOCK_BYTES = 2**20


class KnownFiles(NamedTuple):
    """Hold the checksum of the files whose scores are known, and their numbers of references and voices."""

    checksum: str
    n_references: int
    n_voices: int


class ScoredMixture(NamedTuple):
    """Hold the outcome of one mixture: rows of `COLUMNS`, whether earlier rows still hold, an error, and a remark."""

    rows: list[tuple] = []
    unchanged: bool = False
    error: str = ""
    remark: str = ""


def score_file(mixture: Path, layout: Layout, metrics: Sequence[str] = ENERGY_METRICS,
               known: KnownFiles | None = None) -> ScoredMixture:
    """Score the voices of one mixture; suitable for a worker process.

    Args:
        mixture: audio file; several channels are mixed to one.
        layout: where its references and voices are.
        metrics: those of `definitions.ALL_METRICS` to compute.
        known: the files whose scores are known, which are not scored again.
    """
    try:
        true, separated = layout.find_references(mixture), layout.find_voices(mixture)
        if known and (len(true) < known.n_references or len(separated) < known.n_voices):
            return ScoredMixture(unchanged=True, remark=f"{mixture}: references or voices are missing now; the earlier "
                                                        "scores are kept.")
        layout.check(mixture)
        if not true or not separated:
            raise UserError(f"{mixture} has {len(true)} references in {', '.join(map(str, layout.references))} and "
                            f"{len(separated)} voices in {layout.voices}; give some of both, with the names "
                            f"{mixture.stem}_1{mixture.suffix.lower()} and so on; or the references, or both, in one "
                            "folder for each source.")
        paths = [mixture, *true, *separated]
        if (found_checksum := checksum(paths)) == (known and known.checksum):
            return ScoredMixture(unchanged=True)
        files = MixtureFiles(paths)
        with threadpool_limits(1):  # sums depend on the number of threads in their last digits
            score = _score_blocks if files.is_long else _score_signals
            scores, silent_voices = score(files, len(true), metrics)
        if np.isnan([scores[metric] for metric in ENERGY_METRICS if metric in scores]).any():
            raise UserError(f"{mixture} cannot be scored, because one of its references is a copy of another; give the "
                            "true voices of different people.")
        rows = [(mixture.name, len(true), metric, value, found_checksum) for metric, value in scores.items()]
        remarks = [*files.remarks, *(f"{separated[place]} is silent; it is scored as white noise."
                                     for place in silent_voices)]
        if len(separated) != len(true):
            rows.append((mixture.name, len(true), VOICES, len(separated), found_checksum))
            remarks.append(f"{mixture} has {len(true)} references and {len(separated)} voices; the best subset is "
                           "scored.")
        return ScoredMixture(rows, remark=" ".join(remarks))
    except (UserError, ValueError, OSError) as error:
        return ScoredMixture(error=str(error))


def _score_signals(files: MixtureFiles, n_references: int,
                   metrics: Sequence[str]) -> tuple[dict[str, float], np.ndarray]:
    """Score a mixture in memory: value by metric, and the places of silent voices."""
    signals = files.read()
    mixed, sources, voices = signals[0], signals[1 : 1 + n_references], signals[1 + n_references :]
    silent_voices = silent(voices, mixed)
    _refuse_silence(files, np.concatenate([[np.ptp(mixed) == 0], silent(sources, mixed)]))
    found = None
    if len(voices) != n_references:
        pairs = best_pairs(si_sdr_matrix(sources, fill_silence(voices, mixed)))
        best = np.zeros_like(sources)
        best[pairs[0]] = voices[pairs[1]]
        voices, found = best, pairs[0].tolist()
    rows = score_mixture(sources, mixed, {"voices": voices}, metrics, files.sample_rate_hz, found)
    return {metric: value for _, metric, value in rows}, np.flatnonzero(silent_voices)


def _score_blocks(files: MixtureFiles, n_references: int,
                  metrics: Sequence[str]) -> tuple[dict[str, float], np.ndarray]:
    """Score a mixture that is read in blocks: value by metric, and the places of silent voices."""
    blocks, n_true = files.blocks, 1 + n_references
    correlations = add_blocks(blocks, n_references)
    is_silent = correlations.silent()
    _refuse_silence(files, is_silent[:n_true])
    if is_silent.any():
        blocks = replace_silence(blocks, is_silent)
        correlations = add_blocks(blocks, n_references)
    scores = score_long_mixture(blocks, n_references, correlations, metrics, files.sample_rate_hz)
    return scores, np.flatnonzero(is_silent[n_true:])


def _refuse_silence(files: MixtureFiles, is_silent: np.ndarray) -> None:
    """Raise UserError if the mixture or a reference is silent, bool [1 + S]."""
    if is_silent.any():
        raise UserError(f"{files.files[np.flatnonzero(is_silent)[0]]} is silent, so {files.files[0].name} cannot be "
                        "scored; give a mixture in which every reference sounds.")


def checksum(files: Sequence[Path]) -> str:
    """Compute a checksum of the contents of files and of their order, eight hexadecimal digits after an x."""
    crc32 = 0
    for path in files:
        with open(path, "rb") as file:
            while block := file.read(BLOCK_BYTES):
                crc32 = zlib.crc32(block, crc32)
        crc32 = zlib.crc32(str(path.stat().st_size).encode(), crc32)  # where one file ends and the next begins
    return f"x{crc32:08x}"  # spreadsheets would take some of the digits alone for a number


def score_files(mixtures: Sequence[Path], layout: Layout, out: Path, metrics: Sequence[str] = ENERGY_METRICS,
                engine: str = "loky", n_jobs: int = -1) -> dict[str, str]:
    """Score many mixtures and save the scores every few seconds.

    Args:
        mixtures: audio files. Mixtures whose scores the table contains are skipped, unless a file was changed.
        layout: where the references and the voices are.
        out: table (CSV) to write, or to add to.
        metrics: those of `definitions.ALL_METRICS` to compute.
        engine: where the processes run: one of `process_pool.ENGINES`.
        n_jobs: number of processes; -1 uses all cores.

    Returns:
        An error message by the name of each mixture that could not be scored. The table contains no scores of it, or
        those of earlier files.

    Raises:
        UserError: if the table cannot be read or written, or another process writes it, two mixtures have the same
            name, a package of a metric is missing, or the processes cannot start.
    """
    if repeated := sorted(name for name, times in Counter(mixture.name for mixture in mixtures).items() if times > 1):
        raise UserError(f"{len(repeated)} names belong to several mixtures ({', '.join(repeated[:3])}); give each "
                        "mixture once, or score each folder separately with another --out.")
    check_metrics(metrics)
    busy = f"another call writes scores to {out}; wait for it, or choose another --out."
    with lock(out.with_name(f".{out.name}.lock"), busy):
        return _add_scores(_read_table(out), mixtures, layout, out, metrics, engine, n_jobs)


def _read_table(out: Path) -> dict[str, list[tuple]]:
    """Read the rows of each mixture of a table, if it exists; tables of version 0.2.0 have no checksums."""
    if not out.exists():
        return {}
    try:
        # The default parser of pandas before 3 rounds some numbers to a neighbour of the nearest float.
        table = pd.read_csv(out, dtype=dict.fromkeys(("mixture", "checksum", "speakers", "value"), str))
        if "checksum" not in table:
            table["checksum"] = ""
        table = table[COLUMNS].fillna({"checksum": ""}).astype({"speakers": int, "value": float})
    except (OSError, KeyError, ValueError) as error:
        raise UserError(f"{out} is not a table of scores ({reason(error)}); choose another --out.") from None
    if n_unknown := table.loc[table["checksum"] == "", "mixture"].nunique():
        logger.warning("%s lacks the checksums of the files of %d mixtures; those that are given are scored again.",
                       out, n_unknown)
    return {name: [*rows.itertuples(index=False, name=None)] for name, rows in table.groupby("mixture")}


def _add_scores(table: dict[str, list[tuple]], mixtures: Sequence[Path], layout: Layout, out: Path,
                metrics: Sequence[str], engine: str, n_jobs: int) -> dict[str, str]:
    """Score mixtures into a table of rows by mixture, and return error messages; arguments as in `score_files`."""
    errors, n_unchanged, saved = {}, 0, time.monotonic()
    without_files, n_changed = [], 0

    def save() -> None:
        rows = [row for name in sorted(table) for row in table[name]]
        write_csv(pd.DataFrame(rows, columns=COLUMNS), out)

    known = {name: _known(rows, metrics) for name, rows in table.items()}
    try:
        with workers(engine, n_jobs) as run:
            scored = run(delayed(score_file)(mixture.absolute(), layout, metrics, known.get(mixture.name))
                         for mixture in mixtures)
            for mixture, outcome in zip(mixtures, tqdm(scored, "scoring", len(mixtures), unit=" mixtures",
                                                       disable=None), strict=True):
                n_unchanged += outcome.unchanged
                without_files += [mixture.name] * (outcome.unchanged and bool(outcome.remark))
                if outcome.rows:
                    n_changed += _has_changed(table.get(mixture.name, []), outcome.rows)
                    table[mixture.name] = _merged(table.get(mixture.name, []), outcome.rows)
                if outcome.error:
                    table.pop(mixture.name, None)  # scores of other files
                    errors[mixture.name] = outcome.error
                if outcome.remark:
                    logger.warning("%s", outcome.remark)
                if time.monotonic() - saved > SAVE_INTERVAL_SECONDS:
                    save()
                    saved = time.monotonic()
    finally:
        save()
    if n_changed:  # the kept scores may be those of another system
        errors |= {name: f"{name} lacks references or voices, and {out} has its scores of earlier files, while the "
                         f"files of {n_changed} other mixtures have changed; give these files, or choose another --out."
                   for name in without_files}
    if n_unchanged:
        logger.warning("%d of %d mixtures are skipped because %s contains the scores of these files.", n_unchanged,
                       len(mixtures), out)
    return errors


def _has_changed(earlier: Sequence[tuple], rows: Sequence[tuple]) -> bool:
    """Return whether the earlier rows of a mixture are of other files than its new rows."""
    return bool(earlier) and earlier[0][-1] not in ("", rows[0][-1])


def _known(rows: Sequence[tuple], metrics: Sequence[str]) -> KnownFiles | None:
    """Return the files of the rows of a mixture, if they contain all of some metrics."""
    values, (_, n_references, *_, found_checksum) = {metric: value for _, _, metric, value, _ in rows}, rows[0]
    complete = {*metrics} <= values.keys()
    return KnownFiles(found_checksum, n_references, int(values.get(VOICES, n_references))) if complete else None


def _merged(earlier: Sequence[tuple], rows: list[tuple]) -> list[tuple]:
    """Return new rows of a mixture after its earlier rows of other metrics for the same files."""
    metrics, found_checksum = {row[2] for row in rows}, rows[0][-1]
    return [row for row in earlier if row[-1] == found_checksum and row[2] not in metrics] + rows

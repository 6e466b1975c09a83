"""Folders of mixtures, true voices and separated voices become a table of scores.

    MIXTURES/talk.wav, REFERENCES/talk_1.wav ..., VOICES/talk_1.wav ... -> rows (mixture, speakers, metric, value in dB)
"""

import itertools
import logging
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from joblib import delayed
from threadpoolctl import threadpool_limits
from tqdm import tqdm

from lab41_sce import audio
from lab41_sce.atomic_write import write_csv
from lab41_sce.errors import UserError
from lab41_sce.evaluation.bootstrap import summarise
from lab41_sce.evaluation.metrics import METRICS, score_mixture
from lab41_sce.process_pool import workers

logger = logging.getLogger(__name__)

COLUMNS = ["mixture", "speakers", "metric", "value"]
SAVE_INTERVAL_SECONDS = 10.0


def find_voices(folder: Path, mixture: Path) -> list[Path]:
    """List the files NAME_1, NAME_2, ... in a folder, where NAME and the suffix are those of the mixture."""
    numbered = (folder / f"{mixture.stem}_{number}{mixture.suffix.lower()}" for number in itertools.count(1))
    return [*itertools.takewhile(Path.exists, numbered)]


def score_file(mixture: Path, references: Path, voices: Path) -> tuple[list[tuple], str | None]:
    """Score the voices of one mixture; suitable for a worker process.

    Args:
        mixture: audio file; several channels are averaged.
        references: folder of the true voices.
        voices: folder of the separated voices.

    Returns:
        Rows (mixture, speakers, metric, value in dB), and an error message or None.
    """
    try:
        true, separated = find_voices(references, mixture), find_voices(voices, mixture)
        if not true or len(true) != len(separated):
            raise UserError(f"{mixture} has {len(true)} references in {references} and {len(separated)} voices in "
                            f"{voices}; give the same number of both, with the names "
                            f"{mixture.stem}_1{mixture.suffix.lower()} and so on.")
        _, rate_hz = audio.read(mixture)
        signal, *signals = (audio.read_mono(path, rate_hz) for path in (mixture, *true, *separated))
        if len({len(signal), *map(len, signals)}) > 1:
            raise UserError(f"{mixture}, its references and its voices have different lengths; give files of the same "
                            "length.")
        with threadpool_limits(1):  # sums depend on the number of threads in their last digits
            rows = score_mixture(np.stack(signals[: len(true)]), signal, {"voices": np.stack(signals[len(true):])})
        return [(mixture.name, len(true), metric, value) for _, metric, value in rows], None
    except (UserError, ValueError) as error:
        return [], str(error)


def score_files(mixtures: Sequence[Path], references: Path, voices: Path, out: Path, engine: str = "loky",
                n_jobs: int = -1) -> list[str]:
    """Score many mixtures and save the scores every few seconds.

    Args:
        mixtures: audio files; mixtures that the table contains already are skipped.
        references: folder of the true voices.
        voices: folder of the separated voices.
        out: table (CSV) to write, or to add to.
        engine: where the processes run: one of `process_pool.ENGINES`.
        n_jobs: number of processes; -1 uses all cores.

    Returns:
        One error message for each mixture that could not be scored.

    Raises:
        UserError: if the table cannot be read or written, two mixtures have the same name, or the processes cannot
            start.
    """
    try:
        table = pd.read_csv(out, dtype={"mixture": str})[COLUMNS] if out.exists() else pd.DataFrame(columns=COLUMNS)
    except (OSError, KeyError, ValueError) as error:
        raise UserError(f"{out} is not a table of scores ({error}); choose another --out.") from None
    rows, errors, saved, done = table.to_numpy().tolist(), [], time.monotonic(), {*table["mixture"]}
    left = [mixture for mixture in mixtures if mixture.name not in done]
    if repeated := sorted(name for name, times in Counter(mixture.name for mixture in left).items() if times > 1):
        raise UserError(f"{len(repeated)} names belong to several mixtures ({', '.join(repeated[:3])}); give each "
                        "mixture once, or score each folder separately with another --out.")
    if len(left) < len(mixtures):
        logger.warning("%d of %d mixtures are skipped because %s contains their scores. Choose another --out to score "
                       "other voices of these mixtures.", len(mixtures) - len(left), len(mixtures), out)

    def save() -> None:
        write_csv(pd.DataFrame(rows, columns=COLUMNS).sort_values("mixture", kind="stable"), out)

    try:
        with workers(engine, n_jobs) as run:
            scored = run(delayed(score_file)(mixture.absolute(), references.absolute(), voices.absolute())
                         for mixture in left)
            for more, message in tqdm(scored, "scoring", len(left), unit=" mixtures", disable=None):
                rows += more
                errors += [message] if message else []
                if time.monotonic() - saved > SAVE_INTERVAL_SECONDS:
                    save()
                    saved = time.monotonic()
    finally:
        save()
    return errors


def mean_scores(table: Path) -> pd.DataFrame:
    """Average the scores of a table over its mixtures.

    Args:
        table: CSV file that `score_files` wrote.

    Returns:
        One row for each of `METRICS`, with the columns metric, mean, low, high (dB; 95 % interval over mixtures) and n
        (number of mixtures); no row if there are no scores.
    """
    scores = pd.read_csv(table, dtype={"mixture": str})
    means = summarise(scores.assign(split="files", system="voices", kind="")).query("kind == 'All'")
    return means.set_index("metric").reindex(METRICS)[["mean", "low", "high", "n"]].dropna().reset_index()

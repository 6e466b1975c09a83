"""Score separated voices in files, many at once, where the voices of the mixtures are known.

    python -m lab41_sce.score MIXTURES REFERENCES VOICES --out scores.csv

compares VOICES/talk_1.wav, VOICES/talk_2.wav, ... as `lab41_sce.separate` wrote them, in any order, with
REFERENCES/talk_1.wav, ... and MIXTURES/talk.wav. scores.csv has the columns mixture, speakers, metric, value (dB); what
it holds already is not scored again.
"""

import argparse
import itertools
import logging
import sys
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from joblib import delayed
from threadpoolctl import threadpool_limits
from tqdm import tqdm

from lab41_sce import atomic_write, audio
from lab41_sce.errors import UserError
from lab41_sce.evaluation.bootstrap import summarise
from lab41_sce.evaluation.metrics import METRICS, score_mixture
from lab41_sce.process_pool import ENGINES, workers
from lab41_sce.separation.output_paths import list_recordings

logger = logging.getLogger(__name__)

COLUMNS = ["mixture", "speakers", "metric", "value"]
KEEP_SECONDS = 10.0  # how often the table is written meanwhile


def voices_of(folder: Path, mixture: Path) -> list[Path]:
    """List the files of the voices of a mixture in a folder: NAME_1, NAME_2, ..., with the mixture's suffix."""
    named = (folder / f"{mixture.stem}_{number}{mixture.suffix.lower()}" for number in itertools.count(1))
    return [*itertools.takewhile(Path.exists, named)]


def score_file(mixture: Path, references: Path, voices: Path) -> tuple[list[tuple], str | None]:
    """Score the voices of one mixture, in whatever process.

    Args:
        mixture: a file; of several channels, their mean counts.
        references: folder of the true voices.
        voices: folder of the separated ones.

    Returns:
        Rows (mixture, speakers, metric, value), and what went wrong, if so.
    """
    try:
        found = {name: voices_of(folder, mixture) for name, folder in (("references", references), ("voices", voices))}
        if not found["references"] or len(found["references"]) != len(found["voices"]):
            raise UserError(f"{mixture} has {len(found['references'])} references in {references} and "
                            f"{len(found['voices'])} voices in {voices}; give as many of both, called "
                            f"{mixture.stem}_1{mixture.suffix.lower()} and so on.")
        _, rate_hz = audio.read(mixture)
        signal, *signals = (audio.read_mono(path, rate_hz) for path in (mixture, *sum(found.values(), [])))
        if len({len(signal), *map(len, signals)}) > 1:
            raise UserError(f"{mixture}, its references and its voices are not of one length; cut them alike.")
        half = len(found["references"])
        with threadpool_limits(1):  # sums are added up in one order, however many threads a process may have
            rows = score_mixture(np.stack(signals[:half]), signal, {"voices": np.stack(signals[half:])})
        return [(mixture.name, half, metric, value) for _, metric, value in rows], None
    except (UserError, ValueError) as error:
        return [], str(error)


def score_files(mixtures: Sequence[Path], references: Path, voices: Path, out: Path, engine: str = "loky",
                n_jobs: int = -1) -> list[str]:
    """Score many mixtures, and keep the scores in a table as they come.

    Args:
        mixtures: files; those that the table holds are left out.
        references: folder.
        voices: folder.
        out: the table, made or extended.
        engine: where the processes are (`parallel.py`).
        n_jobs: how many; -1 for one each core.

    Returns:
        What went wrong: a sentence for each mixture that was not scored.

    Raises:
        UserError: the table cannot be read or written, or the processes cannot be had.
    """
    try:
        table = pd.read_csv(out, dtype={"mixture": str})[COLUMNS] if out.exists() else pd.DataFrame(columns=COLUMNS)
    except (OSError, KeyError, ValueError) as error:
        raise UserError(f"{out} holds no scores ({error}); choose another --out.") from None
    rows, errors, kept, done = table.to_numpy().tolist(), [], time.monotonic(), {*table["mixture"]}
    left = [mixture for mixture in mixtures if mixture.name not in done]
    if twice := sorted(name for name, times in Counter(mixture.name for mixture in left).items() if times > 1):
        raise UserError(f"{len(twice)} mixtures have the name of another one ({', '.join(twice[:3])}); give each once, "
                        "or score each folder by a call of its own, with another --out.")
    if len(left) < len(mixtures):
        logger.warning("%d of %d mixtures are left out: %s has their scores, of the voices that were there then. For "
                       "those of other voices, choose another --out.", len(mixtures) - len(left), len(mixtures), out)

    def keep():
        table = pd.DataFrame(rows, columns=COLUMNS).sort_values("mixture", kind="stable")
        atomic_write.write_whole(out, lambda file: table.to_csv(file, index=False))

    try:
        with workers(engine, n_jobs) as run:
            scored = run(delayed(score_file)(mixture.absolute(), references.absolute(), voices.absolute())
                         for mixture in left)
            for more, sentence in tqdm(scored, "scoring", len(left), unit=" mixtures", disable=None):
                rows += more
                errors += [sentence] if sentence else []
                if time.monotonic() - kept > KEEP_SECONDS:
                    keep()
                    kept = time.monotonic()
    finally:
        keep()
    return errors


def main(arguments: Sequence[str] | None = None) -> int:
    """Score the voices of a folder; return 0, or 1 if something could not be done, after a sentence about it."""
    parser = argparse.ArgumentParser("python -m lab41_sce.score", description="Score separated voices.")
    parser.add_argument("mixtures", type=Path, nargs="+", metavar="MIXTURES", help="folder of the mixtures (or files)")
    parser.add_argument("references", type=Path, metavar="REFERENCES", help="folder of the true voices")
    parser.add_argument("voices", type=Path, metavar="VOICES", help="folder of the separated voices")
    parser.add_argument("--out", type=Path, default=Path("scores.csv"), metavar="CSV", help="the table (scores.csv)")
    parser.add_argument("--jobs", type=int, default=-1, metavar="N", help="processes (default: one each core)")
    parser.add_argument("--parallel-backend", choices=ENGINES, default="loky", help="where they are (loky: here)")
    options = parser.parse_args(arguments)
    logging.basicConfig(format="%(message)s")
    try:
        if options.jobs < -1 or options.jobs == 0:
            raise UserError(f"--jobs {options.jobs} is not possible; give a number of processes, or -1.")
        errors = score_files(list_recordings(options.mixtures), options.references, options.voices, options.out,
                             options.parallel_backend, options.jobs)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    for sentence in errors:
        print(f"error: {sentence}", file=sys.stderr)
    scores = pd.read_csv(options.out, dtype={"mixture": str})
    if len(scores):
        means = summarise(scores.assign(split="files", system="voices", kind="")).query("kind == 'All'")
        for metric in METRICS:
            for row in means[means["metric"] == metric].itertuples():
                print(f"{metric:8} {row.mean:6.1f} dB [{row.low:.1f}, {row.high:.1f}], {row.n:.0f} mixtures")
    return int(bool(errors))


if __name__ == "__main__":
    from lab41_sce.score import main  # noqa: F811 (by its name, other processes find what is in here)

    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit("interrupted: what was scored is kept; the same command goes on")

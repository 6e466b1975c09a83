"""A benchmark set and some systems become scores in a folder, mixture by mixture; an interrupted scoring continues.

The folder gets `benchmark.json` (the set), `version.json`, `evaluation.csv` (the mixtures), `mixtures.csv` (the
scores), `summary.csv` (means with 95 % intervals) and `differences.csv` (paired differences from the first system).

`mixtures.csv` has the columns of an experiment and `checksum`, of the signals of the mixture, of the system and of the
metrics. A later call uses the scores with the same checksums again. It reads all signals for this comparison. If it is
about other systems or mixtures, the scores of these wait in `other_scores.csv`.

The kind "All" is the mean over all mixtures, as in published tables of these sets. In experiments it is the mean over
the orders of the sexes.
"""

import itertools
import json
import logging
import time
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from tqdm import tqdm

from lab41_sce.atomic_write import write_csv, write_text
from lab41_sce.data.benchmark_set import BenchmarkSet
from lab41_sce.data.checksums import text_checksum
from lab41_sce.data.mixture import Mixture
from lab41_sce.errors import UserError
from lab41_sce.evaluation.bootstrap import paired_differences, summarise
from lab41_sce.evaluation.parallel_scoring import score_mixtures
from lab41_sce.runs.benchmark_systems import BenchmarkSystem
from lab41_sce.runs.kept_scores import SCORES
from lab41_sce.runs.score_table import ScoreTable
from lab41_sce.runs.versions import versions, write_versions

SET, SCORE_FILE = "benchmark.json", "mixtures.csv"
GROUP = 32  # mixtures at most, after which the scores may be saved
SAVE_INTERVAL_SECONDS = 20.0
MAX_NAMES = 10  # of mixtures in a warning

logger = logging.getLogger(__name__)


def open_benchmark(folder: Path, benchmark: BenchmarkSet, command: str) -> None:
    """Begin or continue a benchmark in a folder, which exists.

    Raises:
        UserError: the folder holds another set or the run of an experiment, or cannot be written.
    """
    begin_folder(folder, {"set": benchmark.name, "sample_rate_hz": benchmark.sample_rate_hz}, command)
    rows = [{"mixture": mixture.name, "split": benchmark.name, "kind": mixture.kind,
             "sample_rate_hz": benchmark.sample_rate_hz,
             **{f"speaker_{place}": speaker for place, speaker in enumerate(mixture.speakers, start=1)}}
            for mixture in benchmark.mixtures]
    write_csv(pd.DataFrame(rows), folder / "evaluation.csv")


def begin_folder(folder: Path, about: Mapping[str, Any], command: str) -> None:
    """Write `benchmark.json` and `version.json`, to which a later call is added, into a folder, which exists.

    Args:
        folder: of the benchmark.
        about: identifies the set; a later call must have the same.
        command: of this call.

    Raises:
        UserError: the folder holds another set or the run of an experiment, or cannot be written.
    """
    if (folder / "config.yaml").exists():
        raise UserError(f"{folder} holds the run of an experiment; choose another --out.")
    text = json.dumps(about, indent=2)
    if (folder / SET).exists() and (folder / SET).read_text("utf-8", "replace") != text:
        raise UserError(f"{folder} holds the scores of another set ({SET}); choose another --out.")
    write_text(folder / SET, text)
    write_versions(folder / "version.json", versions(command))


def score_benchmark(folder: Path, benchmark: BenchmarkSet, systems: Sequence[BenchmarkSystem], metrics: Sequence[str],
                    n_jobs: int = -1, engine: str = "loky") -> pd.DataFrame:
    """Score systems on a benchmark set, and write `mixtures.csv`; scores of earlier calls are used again.

    Args:
        folder: of the benchmark.
        benchmark: the set.
        systems: the systems.
        metrics: those of `definitions.ALL_METRICS` to compute.
        n_jobs: number of processes that compute scores; -1 uses all cores.
        engine: where the processes run: one of `process_pool.ENGINES`.

    Returns:
        The scores of these systems on this set, with the columns of `mixtures.csv`.

    Raises:
        UserError: a file is damaged, or a mixture is not the sum of its sources; the message names the file.
    """
    file = ScoreTable(folder / SCORE_FILE, [*SCORES, "checksum"], ["value"], ("mixture", "system"))
    earlier = file.begin({(item.name, system.name) for item in benchmark.mixtures for system in systems})
    groups = earlier.groupby(["mixture", "system"])[["metric", "value", "checksum"]]
    scores = {key: [*rows.itertuples(index=False, name=None)] for key, rows in groups}
    waiting, seen = iter(benchmark.mixtures), list[str]()

    def jobs() -> Iterator[tuple]:
        begun = time.monotonic()
        for item in itertools.islice(waiting, GROUP):
            mixture, estimates = item.read(), {}
            of_signals = _signals_checksum(mixture)
            for system in systems:
                key = item.name, system.name
                checksum = text_checksum(f"{of_signals} {system.checksum(item.name)} {sorted(metrics)}")
                if {row[-1] for row in scores.get(key, [])} != {checksum}:
                    scores.pop(key, None)
                    checksums[key], estimates[system.name] = checksum, system.separate(item.name, mixture)
            seen.append(item.name)
            bar.update()
            if estimates:
                labels = {"mixture": item.name, "split": benchmark.name, "kind": item.kind}
                yield labels, mixture.sources, mixture.signal, estimates
            if time.monotonic() - begun > SAVE_INTERVAL_SECONDS:
                return

    def table() -> pd.DataFrame:
        rows = [(item.name, benchmark.name, item.kind, system.name, *row) for item in benchmark.mixtures
                for system in systems for row in scores.get((item.name, system.name), [])]
        return pd.DataFrame(rows, columns=[*file.columns])

    checksums: dict[tuple[str, str], str] = {}
    saved = time.monotonic()
    try:
        with tqdm(total=len(benchmark.mixtures), desc="scoring", unit=" mixtures", disable=None) as bar:
            while len(seen) < len(benchmark.mixtures):
                scored = score_mixtures(jobs(), n_jobs, progress=False, engine=engine, metrics=metrics,
                                        sample_rate_hz=benchmark.sample_rate_hz)
                for name, _, _, system, metric, value in scored.itertuples(index=False, name=None):
                    scores.setdefault((name, system), []).append((metric, value, checksums[name, system]))
                if time.monotonic() - saved > SAVE_INTERVAL_SECONDS:
                    file.write(table())
                    saved = time.monotonic()
    finally:
        file.write(table())
    return table()


def summarise_benchmark(folder: Path, scores: pd.DataFrame, baseline: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Average scores by kind and over all mixtures, and write `summary.csv` and `differences.csv`.

    Mixtures without scores are left out, and named in a warning.

    Args:
        folder: of the benchmark.
        scores: result of `score_benchmark`.
        baseline: system from which the others differ.

    Returns:
        Both tables, with the columns of `bootstrap.summarise`.

    Raises:
        UserError: no mixture has scores.
    """
    without = scores.loc[scores["value"].isna(), "mixture"].unique()
    if scores["value"].isna().all():
        raise UserError(f"none of the {len(without)} mixtures can be scored, since a source is silent or a copy of "
                        "another; give mixtures with other sources.")
    if len(without):
        more = f" and {len(without) - MAX_NAMES} more" if len(without) > MAX_NAMES else ""
        logger.warning("%d of %d mixtures have no scores, or not all, since a source is silent or a copy of another: "
                       "%s%s.", len(without), scores["mixture"].nunique(), ", ".join(without[:MAX_NAMES]), more)
    summary = _with_plain_mean(summarise, scores)
    differences = _with_plain_mean(lambda rows: paired_differences(rows, baseline), scores)
    write_csv(summary, folder / "summary.csv")
    write_csv(differences, folder / "differences.csv")
    return summary, differences


def _with_plain_mean(average: Callable[[pd.DataFrame], pd.DataFrame], scores: pd.DataFrame) -> pd.DataFrame:
    """Average scores by kind, and as the kind All over all mixtures alike."""
    by_kind, of_all = average(scores), average(scores.assign(kind=""))
    return pd.concat([by_kind[~by_kind["kind"].isin(["", "All"])], of_all[of_all["kind"] == "All"]], ignore_index=True)


def _signals_checksum(mixture: Mixture) -> str:
    """Compute the checksum of the samples of a mixture and of its sources."""
    return f"{zlib.crc32(mixture.sources.tobytes(), zlib.crc32(mixture.signal.tobytes())):08x}"

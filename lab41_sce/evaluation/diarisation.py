"""Times at which people talk, true and found, become diarisation and Jaccard error rates.

    RTTM or JSON files -> turns (speaker, start, end) -> seconds of errors -> rates

Conventions: the diarisation error rate (DER) is missed speech, false alarms and confused speakers, over the speech of
all speakers; overlapping speech counts for each of its speakers (NIST, RT-09). The Jaccard error rate (JER) is the
mean over the true speakers of missed and false seconds over the union of truth and answer (DIHARD II). With a collar
of 0.25 s, nothing within 0.25 s before or after a boundary of a true turn is scored. `pyannote.metrics` counts.
"""

import json
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from lab41_sce.errors import UserError, reason

N_RESAMPLES = 2000  # for the intervals
Turn = tuple[str, float, float]  # speaker, start and end in seconds


def read_turns(path: str | Path) -> dict[str, list[Turn]]:
    """Read the turns of an RTTM file, or of a JSON file that `lab41-sce separate --json` wrote.

    Args:
        path: the file; one that ends in `.json` is read as JSON.

    Returns:
        The turns of each recording; a JSON file has one, with the name of the file.

    Raises:
        UserError: the file cannot be read, or has another format.
    """
    path = Path(path)
    try:
        text = path.read_text("utf-8-sig")
        if path.suffix == ".json":
            voices = json.loads(text)["voices"]
            return {path.stem: [(Path(voice["file"]).stem, float(start), float(end)) for voice in voices
                                for start, end in voice["speaks"]]}
        turns: dict[str, list[Turn]] = {}
        for fields in map(str.split, text.splitlines()):
            if fields and fields[0] == "SPEAKER":
                start, seconds = float(fields[3]), float(fields[4])
                if not (0 <= start < math.inf and 0 <= seconds < math.inf):
                    raise ValueError(f"a turn begins at {start} s and lasts {seconds} s")
                turns.setdefault(fields[1], []).append((fields[7], start, start + seconds))
    except (OSError, ValueError, LookupError, TypeError) as error:
        kind = "JSON" if path.suffix == ".json" else "RTTM"
        raise UserError(f"{path} cannot be read as {kind} with turns of speakers ({reason(error)}); give a file of "
                        "`lab41-sce separate --rttm` or `--json`.") from error
    return turns


def score_turns(true: Sequence[Turn], found: Sequence[Turn], seconds: float, collar_seconds: float) -> dict[str, float]:
    """Count the seconds of errors in a recording.

    Args:
        true: true turns.
        found: turns that a system found; its names of speakers need not be the true ones.
        seconds: duration of the recording.
        collar_seconds: time before and after each boundary of a true turn that is not scored.

    Returns:
        Seconds `total` of true speech, `missed`, `false_alarm` and `confusion`; `der` and `jer`, shares.

    Raises:
        UserError: `pyannote.metrics` is not installed.
    """
    try:
        from pyannote.core import Annotation, Segment, Timeline
        from pyannote.metrics.diarization import DiarizationErrorRate, JaccardErrorRate
    except ImportError as error:
        raise UserError("scoring of turns needs pyannote.metrics; install it: pip install pyannote.metrics") from error
    reference, hypothesis = Annotation(), Annotation()
    for annotation, turns in ((reference, true), (hypothesis, found)):
        for number, (speaker, start, end) in enumerate(join_overlapping(turns)):
            annotation[Segment(start, end), number] = speaker
    whole = Timeline([Segment(0, seconds)])
    width = 2 * collar_seconds  # pyannote.metrics 4.2 takes the whole width of the collar, of which half lies before
    parts = DiarizationErrorRate(collar=width)(reference, hypothesis, uem=whole, detailed=True)
    jaccard = JaccardErrorRate(collar=width)(reference, hypothesis, uem=whole)
    return {"total": parts["total"], "missed": parts["missed detection"], "false_alarm": parts["false alarm"],
            "confusion": parts["confusion"], "der": parts["diarization error rate"], "jer": jaccard}


def join_overlapping(turns: Sequence[Turn]) -> list[Turn]:
    """Join overlapping turns of a speaker, which pyannote.metrics 4.2 would count twice; leave out empty turns."""
    joined: list[Turn] = []
    for speaker, start, end in sorted(turn for turn in turns if turn[2] > turn[1]):
        if joined and joined[-1][0] == speaker and start < joined[-1][2]:
            joined[-1] = (speaker, joined[-1][1], max(joined[-1][2], end))
        else:
            joined.append((speaker, start, end))
    return joined


def summarise_turns(scores: pd.DataFrame) -> pd.DataFrame:
    """Combine the scores of recordings, with 95 % percentile bootstrap intervals of the DER over recordings.

    Args:
        scores: a row for each recording and collar: `set`, `collar_seconds` and the results of `score_turns`.

    Returns:
        A row for each set and collar: `der`, all errors over all speech; `jer`, the mean over recordings; `n`
        recordings; `low` and `high` of the DER, NaN for a single recording.
    """
    rows = []
    for (name, collar), part in scores.groupby(["set", "collar_seconds"], sort=False):
        der, resampled = _error_rates(part)
        low, high = np.percentile(resampled, [2.5, 97.5])
        rows.append({"set": name, "collar_seconds": collar, "der": der, "jer": part["jer"].mean(), "n": len(part),
                     "low": low, "high": high})
    return pd.DataFrame(rows)


def compare_turns(scores: pd.DataFrame, baseline: str) -> pd.DataFrame:
    """Compute the differences between each system and a baseline on the same recordings, with 95 % intervals.

    Args:
        scores: a row for each recording, system and collar: `recording`, `system`, `collar_seconds` and the results of
            `score_turns`; all systems have the same recordings.
        baseline: name of a system in `scores`.

    Returns:
        A row for each other system and collar, with the columns of `summarise_turns`: the rates of the system minus
        those of the baseline (negative is better), and the interval of the difference of the DER.
    """
    rows = []
    scores = scores.sort_values("recording")
    of_baseline = dict(iter(scores[scores["system"] == baseline].groupby("collar_seconds")))
    for (name, collar), part in scores[scores["system"] != baseline].groupby(["system", "collar_seconds"], sort=False):
        base = of_baseline[collar]
        der, resampled = _error_rates(part)
        base_der, base_resampled = _error_rates(base)
        low, high = np.percentile(resampled - base_resampled, [2.5, 97.5])
        rows.append({"system": name, "collar_seconds": collar, "der": der - base_der,
                     "jer": part["jer"].mean() - base["jer"].mean(), "n": len(part), "low": low, "high": high})
    return pd.DataFrame(rows, columns=["system", "collar_seconds", "der", "jer", "n", "low", "high"])


def _error_rates(scores: pd.DataFrame) -> tuple[float, np.ndarray]:
    """Return the DER of some recordings, and those of resampled ones `[N_RESAMPLES]`, NaN for a single recording.

    The resamples of the same number of recordings are the same, so that those of two systems can be compared.
    """
    errors = scores[["missed", "false_alarm", "confusion"]].sum(axis=1).to_numpy()
    totals = scores["total"].to_numpy()
    drawn = np.random.default_rng(0).integers(len(scores), size=(N_RESAMPLES, len(scores)))
    with np.errstate(invalid="ignore", divide="ignore"):  # the collar may leave no speech
        der, resampled = errors.sum() / totals.sum(), errors[drawn].sum(axis=1) / totals[drawn].sum(axis=1)
    # All resamples of one recording are equal, which shows nothing about other recordings.
    return der, resampled if len(scores) > 1 else np.full(N_RESAMPLES, np.nan)


def voice_turns(segments: Sequence[Sequence[tuple[float, float]]]) -> list[Turn]:
    """Name the segments of `SpeakerActivity.segments` after their voices."""
    return [(f"voice_{number}", start, end) for number, of_voice in enumerate(segments, 1) for start, end in of_voice]



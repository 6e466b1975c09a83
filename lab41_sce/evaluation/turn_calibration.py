"""Conversations of speakers that a model does not know become the classifier that counts people who take turns.

    speakers -> recordings of 12 to 120 s -> probabilities by the first classifier, speaker vectors -> regression

In a third of the recordings everybody talks at once, in a third people take turns with pauses, and in a third they
interrupt each other. The regression is fitted and scored as the first (`count_calibration.fit`), which has seen other
mixtures of the same speakers.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from lab41_sce.data.noise import Noise
from lab41_sce.data.speech import Speech
from lab41_sce.evaluation.count_calibration import N_FOLDS, NUMBERS, noise_kinds, speaker_search
from lab41_sce.evaluation.counted_mixtures import draw_mixture
from lab41_sce.separation.count_classifier import CountClassifier
from lab41_sce.separation.count_features import count_features
from lab41_sce.separation.separator import Separator
from lab41_sce.separation.turn_numbers import MIN_BLOCKS, turn_numbers
from lab41_sce.separation.verification import Verification
from lab41_sce.threads import in_parallel

SECONDS = (12.0, 120.0)
GAP_SECONDS = {"at once": None, "in turns": (0.1, 1.2), "interrupted": (-1.5, 0.3)}


def measure_turns(separator: Separator, counting: CountClassifier, verification: Verification,
                  utterances: pd.DataFrame, n_recordings: int, noise_folder: Path | None,
                  progress: Callable[[int], object]) -> pd.DataFrame:
    """Draw recordings and compute their numbers.

    Args:
        separator: with the model to calibrate.
        counting: the first classifier.
        verification: makes the speaker vectors.
        utterances: result of `load_speech`.
        n_recordings: number of recordings.
        noise_folder: see `count_calibration.measure`.
        progress: called with the number of recordings finished since the last call.

    Returns:
        A row for each recording with at least `MIN_BLOCKS`: `speakers` (their number), `manner`, `folder`, `fold`, the
        description of `draw_mixture`, and the numbers of `turn_numbers`.
    """
    model = separator.model
    speech, kinds = Speech(utterances, model.front_end.sample_rate_hz), noise_kinds(noise_folder)
    noise = Noise(speech, utterances, kinds, noise_folder)

    def row(recording: int) -> dict[str, Any] | None:
        rng, manner = np.random.default_rng([2, recording]), [*GAP_SECONDS][recording % len(GAP_SECONDS)]
        folder, fold = int(rng.integers(utterances["folder"].max() + 1)), int(rng.integers(N_FOLDS))
        number = NUMBERS[recording // len(GAP_SECONDS) % len(NUMBERS)]
        among = utterances[(utterances["folder"] == folder) & (utterances["fold"] == fold)]
        seconds = float(np.exp(rng.uniform(*np.log(SECONDS))))
        signal, described = draw_mixture(rng, speech, among, number, noise, model.front_end.pre_emphasis,
                                         seconds=seconds, gap_seconds=GAP_SECONDS[manner])
        search = speaker_search(separator, signal)
        bins = search.counting_bins()
        at_once = counting.probabilities(count_features(bins) | counting.scores(search.counted_frames))
        blocks = search.speech_blocks(verification)
        if len(blocks.weights) < MIN_BLOCKS:
            return None
        return {"speakers": number, "manner": manner, "folder": folder, "fold": fold, **described,
                **turn_numbers(at_once, blocks)}

    rows = []
    for finished in in_parallel(row, range(n_recordings)):
        if finished is not None:
            rows.append(finished)
        progress(1)
    return pd.DataFrame(rows)

"""Compare lengths of the excerpts that the network of the shipped model processes, on mixtures of validation speakers.

    python tools/model/compare_excerpts.py $LIBRISPEECH results/trials --split validation

For each length of an excerpt and of its middle that is used, in frames of the network, `excerpts.csv` has the mean
SI-SDR improvement of the mixtures in dB, and the mean, standard error and median of its difference from the first row.
"""

import numpy as np
import pandas as pd
import shipped

from lab41_sce.data.evaluation_set import draw_evaluation_set, load_mixture
from lab41_sce.evaluation.metrics import best_si_sdr
from lab41_sce.runs.run_directory import write_csv
from lab41_sce.separation import chunked_inference

SECONDS = 12.0
LENGTHS = ((250, 125), (250, 150), (250, 175), (250, 200), (300, 200))  # excerpt, middle


def improvement(model, mixture) -> float:
    """Separate a mixture and return its SI-SDR improvement in dB."""
    masks = chunked_inference.estimate_masks(model, mixture.signal, len(mixture.sources))
    estimates = model.front_end.synthesise(model.front_end.spectrogram(mixture.signal) * masks, len(mixture.signal))
    unprocessed = np.broadcast_to(mixture.signal, mixture.sources.shape)
    return float(np.mean(best_si_sdr(mixture.sources, estimates) - best_si_sdr(mixture.sources, unprocessed)))


def main() -> None:
    """Score all lengths on the same mixtures and write the table."""
    options = shipped.parser(__doc__, per_kind=60).parse_args()
    separator, speech, table = shipped.load(options)
    model = separator.model
    drawn = draw_evaluation_set(speech, table, options.split, 2, options.per_kind, SECONDS,
                                model.front_end.pre_emphasis, join=True)
    mixtures = [load_mixture(speech, row) for _, row in drawn.iterrows()]
    rows, first = [], None
    for excerpt, middle in LENGTHS:
        chunked_inference.EXCERPT_FRAMES, chunked_inference.OWN_FRAMES = excerpt, middle
        scores = np.array([improvement(model, mixture) for mixture in mixtures])
        first = scores if first is None else first
        gains = scores - first
        rows.append((excerpt, middle, excerpt / middle, len(scores), scores.mean(), gains.mean(),
                     gains.std(ddof=1) / np.sqrt(len(gains)), np.median(gains)))
        print(*rows[-1], flush=True)
    columns = ["excerpt_frames", "middle_frames", "cost", "mixtures", "mean_db", "difference_db",
               "standard_error_db", "median_difference_db"]
    write_csv(pd.DataFrame(rows, columns=columns).round(4), options.results / "excerpts.csv")


if __name__ == "__main__":
    main()

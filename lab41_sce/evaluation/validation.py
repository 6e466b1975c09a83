"""A model in training and the validation mixtures become the mean SI-SDR improvement, one row of `history.csv`."""

import numpy as np
import pandas as pd

from lab41_sce.data.evaluation_set import load_mixture
from lab41_sce.data.noise import Noise
from lab41_sce.data.speech import Speech
from lab41_sce.evaluation.metrics import si_sdr_improvement
from lab41_sce.evaluation.scoring import apply_masks
from lab41_sce.models.loading import SeparationModel
from lab41_sce.separation.chunked_inference import estimate_masks
from lab41_sce.training.history import MONITOR


def validate(model: SeparationModel, speech: Speech, mixtures: pd.DataFrame,
             noise: Noise | None = None) -> dict[str, float]:
    """Separate validation mixtures with the current weights of a model and average the improvement.

    SI-SDR replaces SDR here because it takes a hundredth of the time.

    Args:
        model: an `EmbeddingModel` or a `MaskModel`.
        speech: signals that the evaluation set refers to.
        mixtures: evaluation set of the validation speakers.
        noise: noise source, if the evaluation set contains noise.

    Returns:
        Mean SI-SDR improvement in dB, overall (`validation_si_sdri_db`) and for each kind of mixture
        (`validation_si_sdri_db_FM`, where MF counts as FM).
    """
    improvements: dict[str, list[float]] = {}
    for _, row in mixtures.iterrows():
        mixture = load_mixture(speech, row, noise)
        masks = estimate_masks(model, mixture.signal, mixture.n_speakers)
        estimates = apply_masks(model.front_end, mixture.signal, masks)
        gain = si_sdr_improvement(mixture.sources, mixture.signal, estimates)
        improvements.setdefault("".join(sorted(row["kind"])), []).append(gain)
    by_kind = {f"{MONITOR}_{kind}": float(np.nanmean(values)) for kind, values in improvements.items()}
    return {MONITOR: float(np.nanmean(sum(improvements.values(), []))), **by_kind}

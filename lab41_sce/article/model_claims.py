"""A trained model and its speaker vectors become verdicts on what the model knows about identities.

    model.keras   -> whether separation needs identities
    speakers.csv  -> whether similar voices have similar vectors
"""

import numpy as np
import pandas as pd
from sklearn.decomposition import PCA
from sklearn.metrics import roc_auc_score

from lab41_sce.article import voices
from lab41_sce.article.claim import BY_CONSTRUCTION, FAILS, HOLDS, IDENTITIES, SIMILAR_VOICES, UNDECIDED, Claim
from lab41_sce.models.embedding_model import EmbeddingModel
from lab41_sce.reporting.tables import Table

MAX_P = 0.05


def judge_identities(model: EmbeddingModel, speakers: list[str]) -> Claim:
    """Judge the claim that identities are needed in training only, from the contents of a saved model.

    Args:
        model: model that a run saved.
        speakers: ids of the P speakers in its training.

    Returns:
        The claim with its verdict.
    """
    count = len(speakers)
    suspects = [weight.path for weight in model.weights if count in weight.shape]
    network = model.network.count_params()
    others = model.count_params() - network
    settings = str(model.get_config()).replace("'", '"')
    named = [speaker for speaker in speakers if f'"{speaker}"' in settings]
    inputs = len(model.network.inputs)
    verdict = FAILS if others or named or inputs != 1 else BY_CONSTRUCTION
    reason = (f"The model computes masks from a waveform with one network. The network has {inputs} input, the "
              f"spectrogram, and {network:,} of the model's {model.count_params():,} parameters. It maps "
              f"{model.front_end.n_bins} bins to vectors of {model.network.output_shape[-1]} numbers. {len(suspects)} "
              f"of {len(model.weights)} weights have a dimension of {count}, the number of speakers in training (any "
              f"match is a coincidence). The settings of the model name {len(named)} of these speakers. The speaker "
              "vectors are not saved with the model. The claim holds by construction if there is one input, no "
              "parameter outside the network and no name of a speaker: every model is built like this, so no training "
              "could refute the claim.")
    table = Table(["weight", "shape", "parameters"],
                  [[weight.path, " x ".join(map(str, weight.shape)), f"{np.prod(weight.shape):,}"]
                   for weight in model.weights])
    return Claim(IDENTITIES, verdict, reason, table)


def judge_similar_voices(speakers: pd.DataFrame) -> Claim:
    """Judge the claim that speakers with similar voices have similar vectors.

    Args:
        speakers: rows of `speakers.csv`, with the columns `speaker`, `sex`, `pitch_hz`, `vector_*` and `spectrum_*`.

    Returns:
        The claim with its verdict.
    """
    vectors = speakers.filter(like="vector_").to_numpy()
    sexes = speakers["sex"].to_numpy()
    cosines = voices.cosines(vectors)
    measures = {"median pitch": voices.pitch_distances(speakers["pitch_hz"].to_numpy()),
                "long-term spectrum": voices.spectrum_distances(speakers.filter(like="spectrum_").to_numpy())}
    rows, found = [], []
    for measure, distances in measures.items():
        for pairs, groups in (("all", None), ("same sex", sexes)):
            try:
                correlation, p = voices.mantel_test(cosines, distances, groups)
            except ValueError:  # too few pairs
                correlation, p = float("nan"), 1.0
            found.append((correlation, p))
            rows.append([measure, pairs, f"{correlation:+.2f}", f"{p:.4f}"])
    positive = all(correlation > 0 and p < MAX_P for correlation, p in found)
    negative = all(correlation < 0 and p > 1 - MAX_P for correlation, p in found)
    verdict = HOLDS if positive else FAILS if negative else UNDECIDED
    reason = ("The table shows Spearman's correlation between the cosine of two speaker vectors and the similarity of "
              f"the two voices, over pairs of {len(speakers)} speakers after the last update. p is the probability "
              "that a random assignment of vectors to speakers gives a correlation at least as high. The claim holds "
              f"if all four correlations are positive with p < {MAX_P}. It does not hold if all four are negative with "
              f"p > {1 - MAX_P}. Pairs of the same sex are tested separately because the difference between women and "
              "men alone could explain the correlation over all pairs. A long-term spectrum also depends on the "
              "microphone.")
    if len(set(sexes)) > 1:
        first, rng = PCA(1).fit_transform(vectors)[:, 0], np.random.default_rng(0)

        def same_order(sexes: np.ndarray) -> float:
            area = roc_auc_score(sexes == "F", first)
            return max(area, 1 - area)

        by_chance = np.mean([same_order(rng.permutation(sexes)) for _ in range(200)])
        reason += (" The first principal component of the vectors puts the woman and the man in the same order in "
                   f"{100 * same_order(sexes):.1f} % of the pairs of a woman and a man; chance would give "
                   f"{100 * by_chance:.1f} %.")
    return Claim(SIMILAR_VOICES, verdict, reason, Table(["similarity of voices", "pairs", "correlation", "p"], rows))

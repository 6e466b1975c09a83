"""Runs and a table of times become a verdict on each claim of the article."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from lab41_sce.article import claim, model_claims, score_claims, time_claims
from lab41_sce.article.claim import Claim
from lab41_sce.article.finished_run import read_scores, sce_variants
from lab41_sce.article.report_text import describe_timing
from lab41_sce.data.splits import headline_split
from lab41_sce.models.loading import load_model
from lab41_sce.runs.renamed_settings import load_config


def judge(run: Path, timing: Path | None = None, ablation: Path | None = None,
          noisy: Path | None = None, seeds: Sequence[Path] = ()) -> list[Claim]:
    """Judge every claim, in the order of the report; a claim without measurements is undecided.

    Args:
        run: folder of the main run.
        timing: table that `timing.py` wrote.
        ablation: folder of a run of `+exp=ablation`.
        noisy: folder of a run of `+exp=noisy`.
        seeds: folders of runs that differ from the main run only in the seed.

    Returns:
        Six claims with their verdicts.
    """
    def not_measured(title: str, why: str) -> Claim:
        return Claim(title, claim.UNDECIDED, f"Not measured here: {why}.")

    (scores, mixtures), config = read_scores(run), load_config(run)
    method = config["method"]["name"]
    compared = method == "sce" and "deep_clustering" in set(scores["system"])
    if compared and config["mixtures"]["n_speakers"] == 2:
        of_seeds = [scores, *(read_scores(folder)[0] for folder in seeds)]
        judged = [score_claims.judge_against_deep_clustering(of_seeds, mixtures, headline_split(scores["split"]))]
    else:
        judged = [not_measured(claim.AGAINST_DEEP_CLUSTERING,
                               "the main run did not compare the two systems on mixtures of two speakers")]
    if timing is not None:
        machine = "".join(row[-1] for row in describe_timing(timing))
        judged += [time_claims.judge_update_time(pd.read_csv(timing), machine)]
    else:
        judged += [not_measured(claim.UPDATE_TIME, "no --timing was given")]
    system = run / "systems" / method
    if (system / "speakers.csv").exists():
        speakers = pd.read_csv(system / "speakers.csv", dtype={"speaker": str})
        judged += [model_claims.judge_identities(load_model(system), speakers["speaker"].to_list()),
                   model_claims.judge_similar_voices(speakers)]
    else:
        judged += [not_measured(title, f"the main run has no speakers.csv of {method}") for title in
                   (claim.IDENTITIES, claim.SIMILAR_VOICES)]
    if ablation is not None:
        (scores, mixtures), variants = read_scores(ablation), sce_variants(ablation)
        judged += [score_claims.judge_choices(scores, mixtures, variants, headline_split(scores["split"]))]
    else:
        judged += [not_measured(claim.CHOICES, "no --ablation was given")]
    if noisy is not None:
        scores, mixtures = read_scores(noisy)
        judged += [score_claims.judge_noise(scores, mixtures, split=headline_split(scores["split"]))]
    else:
        judged += [not_measured(claim.NOISE, "no --noisy was given")]
    return judged

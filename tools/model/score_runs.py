"""Compare trained runs on the same mixtures of validation speakers, clean and with noise.

    python tools/model/score_runs.py runs/first RESULTS --root LIBRISPEECH --others runs/second runs/third

All runs must have the same corpus and splits. Writes scores, means with intervals, and differences from the first run.
"""

import argparse
from pathlib import Path

import pandas as pd
import shipped
from omegaconf import OmegaConf

from lab41_sce.data.corpus import load_corpus
from lab41_sce.data.evaluation_set import add_noise_at, draw_evaluation_set
from lab41_sce.data.noise import Noise
from lab41_sce.data.speech import Speech
from lab41_sce.evaluation import scoring
from lab41_sce.evaluation.bootstrap import paired_differences, summarise
from lab41_sce.runs import run_directory
from lab41_sce.separation.separator import Separator

SNR_DB = 10  # of the mixtures with noise
MAX_UTTERANCE_SECONDS = 5  # longer mixtures join utterances


def main() -> None:
    """Score all runs, then write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("results", type=Path, help="folder to write to")
    parser.add_argument("--root", required=True, help="LibriSpeech")
    parser.add_argument("--others", type=Path, nargs="*", default=[])
    parser.add_argument("--per-kind", type=int, default=40, help="mixtures of each ordered kind")
    parser.add_argument("--seconds", type=float, default=5.0, help="of a mixture; above 5, utterances are joined")
    options = parser.parse_args()
    config = OmegaConf.load(options.run / "config.yaml")
    corpus = {name: value for name, value in config.corpus.items() if name not in ("name", "root")}
    splits = pd.read_csv(options.run / "splits.csv", dtype=str)[["utterance", "split"]]
    table = load_corpus(options.root, **corpus).merge(splits, on="utterance")
    systems, facts = {}, []
    for run in (options.run, *options.others):
        if not pd.read_csv(run / "splits.csv", dtype=str)[["utterance", "split"]].equals(splits):
            parser.error(f"{run} has other splits than {options.run}; compare runs of the same corpus and seed")
        separator, totals = Separator.load(run), pd.read_csv(run / "systems.csv").iloc[0]
        systems[run.name] = scoring.trained_system(separator.model)
        systems[run.name].front_end = separator.model.front_end  # hops may differ between runs
        facts.append({"run": run.name, "minutes": round(totals["minutes"], 1), "updates": int(totals["updates"]),
                      "parameters": int(totals["parameters"])})
    speech = Speech(table, config.front_end.sample_rate_hz, in_memory=False)
    noise = Noise(speech, table)  # of the training speech, as in training
    clean = draw_evaluation_set(speech, table, "validation", 2, options.per_kind, options.seconds,
                                config.front_end.pre_emphasis, join=options.seconds > MAX_UTTERANCE_SECONDS)
    scores = pd.concat([scoring.score_systems(separator.model.front_end, systems, speech, mixtures, noise=noise)
                        for mixtures in (clean, add_noise_at(clean, noise, SNR_DB))])
    options.results.mkdir(parents=True, exist_ok=True)
    run_directory.write_csv(summarise(scores), options.results / "scores.csv")
    if len(systems) > 1:
        run_directory.write_csv(paired_differences(scores, options.run.name), options.results / "differences.csv")
    means = summarise(scores).query("metric == 'SDRi'")
    means = means.pivot(index="system", columns=["split", "kind"], values="mean").round(2)
    means.columns = [f"{split.removeprefix('validation').removeprefix(', ') or 'clean'}: {kind}"
                     for split, kind in means.columns]
    shipped.write_summary(pd.DataFrame(facts).merge(means, left_on="run", right_index=True), options.results)


if __name__ == "__main__":
    main()

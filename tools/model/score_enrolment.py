"""Look for a person in mixtures with and without that person, and tell how often the shipped model is right.

    python tools/score_enrolment.py $LIBRISPEECH results/pretrained_enrolment
    python tools/score_enrolment.py $LIBRISPEECH runs/enrolment_validation --split validation --per-kind 40

The second is what the model's `verification_threshold` is chosen with: `thresholds.csv` says how often each would be right there. The
person is known from 5 seconds of another utterance (or of another part of this one, if there is no other). Right is who
is found first where the person talks, and told to be absent where not.
"""

import numpy as np
import pandas as pd
import shipped
from tqdm import tqdm

from lab41_sce.audio.recording import Recording
from lab41_sce.data.evaluation_set import draw_evaluation_set, load_mixture
from lab41_sce.runs import run_directory

THRESHOLDS = np.round(np.arange(-0.5, 1.0, 0.02), 2)
SECONDS = 5.0  # of a mixture, and of the person alone


def draw_alone(rng, speech, names, row) -> np.ndarray | None:
    """Draw what a person says elsewhere than in a mixture.

    Args:
        rng: where the draw comes from.
        speech: the signals.
        names: the person's utterances.
        row: of an evaluation list; its first source may be one of them.

    Returns:
        float32 `[N]`, or None if there is nothing else.
    """
    length = round(SECONDS * speech.sample_rate_hz)
    others = [name for name in names if name != row["utterance_1"] and speech.length(name) >= length]
    if others:
        return speech.excerpt(rng.choice(others), 0, length)
    for start in (row["start_1"] - length, row["start_1"] + length):  # right before, right after
        if row["utterance_1"] in names and 0 <= start <= speech.length(row["utterance_1"]) - length:
            return speech.excerpt(row["utterance_1"], start, length)
    return None


def main():
    """Enrol, look for, and write a row for each mixture and person."""
    options = shipped.parser(__doc__, 20).parse_args()
    separator, speech, table = shipped.load(options)
    separator.model.verification_threshold = separator.model.verification_threshold or 0.0
    rate_hz, rng = speech.sample_rate_hz, np.random.default_rng(0)
    mixtures = draw_evaluation_set(speech, table, options.split, 2, options.per_kind, SECONDS,
                               separator.model.front_end.pre_emphasis)
    rows = []
    for _, row in tqdm(mixtures.iterrows(), "looking", len(mixtures)):
        sources = load_mixture(speech, row).sources
        present = [row["speaker_1"], row["speaker_2"]]
        sex = table.loc[table["speaker"] == present[0], "sex"].iloc[0]
        others = sorted(set(table.loc[table["sex"] == sex, "speaker"]) - set(present))
        for person in (present[0], rng.choice(others)):
            alone = draw_alone(rng, speech, table.loc[table["speaker"] == person, "utterance"].to_list(), row)
            if alone is None:
                continue
            voice = separator.speaker_embedding(Recording.of(alone, rate_hz))
            separation = separator.open(Recording.of(sources.sum(axis=0), rate_hz), 2, voice)
            voices = np.concatenate([*separation], axis=-1)[:, 0]
            first = abs(np.corrcoef(sources[0], voices[0])[0, 1]) > abs(np.corrcoef(sources[0], voices[1])[0, 1])
            rows.append({"mixture": row["mixture"], "kind": row["kind"], "present": person == present[0],
                         "similarity": float(separation.similarity[0]), "first": bool(first),
                         "found": separation.found})
    scores = pd.DataFrame(rows)
    here, absent = scores[scores["present"]], scores[~scores["present"]]
    summary = pd.DataFrame([
        {"what": "present, first voice is the person's", "n": len(here), "right": here["first"].sum()},
        {"what": "present, told to be found", "n": len(here), "right": here["found"].sum()},
        {"what": "absent, told to be absent", "n": len(absent), "right": (~absent["found"]).sum()}])
    run_directory.write_csv(scores.round(4), options.results / "mixtures.csv")
    shipped.write_summary(summary, options.results)
    if options.split == "validation":
        right = [0.5 * ((here["similarity"] >= threshold).mean() + (absent["similarity"] < threshold).mean())
                 for threshold in THRESHOLDS]
        table = pd.DataFrame({"verification_threshold": THRESHOLDS, "right": right}).round(4)
        run_directory.write_csv(table, options.results / "thresholds.csv")
        print(f"the best threshold, {THRESHOLDS[np.argmax(right)]}, tells present from absent in {max(right):.1%}")


if __name__ == "__main__":
    main()

"""Search for an enrolled speaker in mixtures with and without that speaker, by the shipped model.

    python tools/model/score_enrolment.py $LIBRISPEECH RESULTS
    python tools/model/score_enrolment.py $LIBRISPEECH RESULTS --split validation --per-kind 40

The speaker is enrolled by 5 seconds of another utterance, or of another part of the same one. In `summary.csv`, `low`
and `high` are the 95 % interval of the share of the right answers; enrolled speakers are resampled, so the interval
covers other speakers. With validation speakers, `thresholds.csv` holds the share of right decisions with each value of
the model's `verification_threshold`, which only models without `sce.verification.json` use.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import shipped
from tqdm import tqdm

from lab41_sce.audio.recording import Recording
from lab41_sce.data.evaluation_set import draw_evaluation_set, load_mixture
from lab41_sce.data.speech import Speech
from lab41_sce.runs.run_directory import write_csv

THRESHOLDS = np.round(np.arange(-0.5, 1.0, 0.02), 2)
SECONDS = 5.0  # of a mixture, and of the enrolment
N_RESAMPLES = 2000


def draw_enrolment(rng: np.random.Generator, speech: Speech, names: Sequence[str], row: pd.Series) -> np.ndarray | None:
    """Draw speech of a speaker that is not in a mixture.

    Args:
        rng: source of the draw.
        speech: the signals.
        names: the speaker's utterances.
        row: of an evaluation set; its first source may be one of them.

    Returns:
        float32 `[N]`, or None if there is no other speech of that length.
    """
    length = round(SECONDS * speech.sample_rate_hz)
    others = [name for name in names if name != row["utterance_1"] and speech.length(name) >= length]
    if others:
        return speech.excerpt(rng.choice(others), 0, length)
    for start in (row["start_1"] - length, row["start_1"] + length):  # directly before, directly after
        if row["utterance_1"] in names and 0 <= start <= speech.length(row["utterance_1"]) - length:
            return speech.excerpt(row["utterance_1"], start, length)
    return None


def summarise(answers: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """Count the right answers of each kind; the tables have the columns `speaker` and `right`."""
    rows = []
    for what, table in answers.items():
        of_speaker = table.groupby("speaker")["right"].agg(["sum", "count"]).to_numpy()
        drawn = of_speaker[np.random.default_rng(0).integers(len(of_speaker), size=(N_RESAMPLES, len(of_speaker)))]
        sums, counts = np.moveaxis(drawn.sum(axis=1), -1, 0)
        low, high = np.percentile(sums / counts, [2.5, 97.5])
        rows.append({"what": what, "n": len(table), "right": int(table["right"].sum()), "low": round(low, 3),
                     "high": round(high, 3)})
    return pd.DataFrame(rows)


def main() -> None:
    """Enrol and search; write a row for each mixture and speaker."""
    options = shipped.parser(__doc__, 20).parse_args()
    separator, speech, table = shipped.load(options)
    separator.model.verification_threshold = separator.model.verification_threshold or 0.0
    rate_hz, rng, rows = speech.sample_rate_hz, np.random.default_rng(0), []
    mixtures = draw_evaluation_set(speech, table, options.split, 2, options.per_kind, SECONDS,
                                   separator.model.front_end.pre_emphasis)
    for _, row in tqdm(mixtures.iterrows(), "searching", len(mixtures)):
        sources = load_mixture(speech, row).sources
        present = [row["speaker_1"], row["speaker_2"]]
        sex = table.loc[table["speaker"] == present[0], "sex"].iloc[0]
        others = sorted(set(table.loc[table["sex"] == sex, "speaker"]) - set(present))
        for speaker in (present[0], rng.choice(others)):
            names = table.loc[table["speaker"] == speaker, "utterance"].to_list()
            alone = draw_enrolment(rng, speech, names, row)
            if alone is None:
                continue
            description = separator.describe_person([Recording.of(alone, rate_hz)])
            separation = separator.separate(sources.sum(axis=0), rate_hz, 2, enroll={"": description})
            [person] = separation.people
            first, second = (abs(np.corrcoef(sources[0], voice)[0, 1]) for voice in separation.voices)
            rows.append({"mixture": row["mixture"], "kind": row["kind"], "speaker": speaker,
                         "present": speaker == present[0], "similarity": person.similarity[0],
                         "probability": person.probability, "first": first > second, "found": person.present})
    scores = pd.DataFrame(rows)
    present, absent = scores[scores["present"]], scores[~scores["present"]]
    summary = summarise({
        "present: first voice is the enrolled speaker's": present.assign(right=present["first"]),
        "present: reported as present": present.assign(right=present["found"]),
        "absent: reported as not present": absent.assign(right=~absent["found"])})
    write_csv(scores.round(4), options.results / "mixtures.csv")
    shipped.write_summary(summary, options.results)
    if options.split == "validation":
        shares = {threshold: 0.5 * ((present["similarity"] >= threshold).mean()
                                    + (absent["similarity"] < threshold).mean()) for threshold in THRESHOLDS}
        shipped.write_thresholds("verification_threshold", shares, options.results)


if __name__ == "__main__":
    main()

"""Draw the lists of conversations of a split, and find the speech in their utterances.

    pip install silero-vad onnxruntime
    python tools/model/draw_conversations.py $LIBRISPEECH tools/model/conversations --split unseen

The lists hold names, times and gains, and no audio (`lab41_sce/data/conversation.py`). `speech_SPLIT.csv` has the times
of speech in each utterance, without reverberation and noise, by the detector of `silero-vad`. Pauses below 0.3 s do
not interrupt speech, as in NIST's evaluations of meetings (RT-09). Swapped seconds are counted in the conversations
of two people with 20 % overlap. The committed lists of unseen speakers have conversations of ten minutes, those of
validation speakers, who have little speech, of five minutes (`--split validation --minutes 5`).
"""


import numpy as np
import pandas as pd
import shipped
import silero_vad
from tqdm import tqdm

from lab41_sce.data.conversation import ConversationSet, draw_conversations
from lab41_sce.data.speech import Speech
from lab41_sce.runs.run_directory import write_csv

RATE_HZ, N_ROOMS = 16000, 6
PAUSE_SECONDS, SPEECH_LEVEL = 0.3, 0.1
MIN_SECONDS = {"unseen": 30.0, "validation": 9.0}  # of speech from each speaker
PRE_EMPHASIS = 0.95  # of the measure of levels


def main() -> None:
    """Draw, and write two tables."""
    parser = shipped.parser(__doc__, 4)
    parser.add_argument("--minutes", type=float, default=10.0)
    options = parser.parse_args()
    table = shipped.utterances(options)
    speech, rng = Speech(table, RATE_HZ), np.random.default_rng(0)
    pairs = tuple(kind for kind in ("FF", "FM", "MM") for _ in range(options.per_kind))
    sets = [ConversationSet("2 people 20 % overlap", pairs, (-3.0, 1.0))]
    sets += [ConversationSet(f"2 people {overlap} % overlap", ("FF", "FM", "MM"), gaps)
             for overlap, gaps in ((0, (0.0, 1.0)), (40, (-5.0, 0.0)))]
    sets += [ConversationSet(f"{n} people {overlap} % overlap", ("?" * n,) * 2, gaps)
             for n in (3, 4) for overlap, gaps in ((0, (0.0, 1.0)), (20, (-3.0, 1.0)), (40, (-5.0, 0.0)))]
    sets.append(ConversationSet("meetings", tuple("?" * n for n in (2, 3, 4) for _ in range(3)), (-1.0, 11.0), N_ROOMS,
                                snr_db=20.0))
    seconds = table.groupby("speaker")["seconds"].transform("sum")
    allowed = table[seconds >= MIN_SECONDS[options.split]]
    turns = pd.concat([draw_conversations(wanted, speech, allowed, 60 * options.minutes, PRE_EMPHASIS, rng)
                       for wanted in sets])
    write_csv(turns.round(4), options.results / f"turns_{options.split}.csv")

    detector, rows = silero_vad.load_silero_vad(onnx=True), []
    for name in tqdm(allowed["utterance"], "speech"):
        signal = speech.excerpt(name, 0, speech.length(name))
        found = silero_vad.get_speech_timestamps(
            SPEECH_LEVEL * signal / signal.std(), detector, speech_pad_ms=0, min_speech_duration_ms=100,
            min_silence_duration_ms=round(1000 * PAUSE_SECONDS))
        rows += [{"utterance": name, "start_seconds": stretch["start"] / RATE_HZ,
                  "end_seconds": stretch["end"] / RATE_HZ} for stretch in found]
    write_csv(pd.DataFrame(rows).round(3), options.results / f"speech_{options.split}.csv")


if __name__ == "__main__":
    main()

"""Score the shipped model on mixtures that passed a telephone line, a lossy codec, or both.

    python tools/model/score_degraded.py $LIBRISPEECH RESULTS

A telephone line limits the sources to 300 to 3400 Hz; MP3 encodes the mixture with libsndfile's strongest compression.
The estimates are compared with the sources before the codec.
"""

import io

import numpy as np
import pandas as pd
import shipped
import soundfile
from scipy import fft
from tqdm import tqdm

from lab41_sce import audio
from lab41_sce.data.evaluation_set import draw_evaluation_set, load_mixture
from lab41_sce.data.frequency_response import response_basis
from lab41_sce.evaluation.metrics import best_si_sdr, si_sdr_improvement
from lab41_sce.evaluation.scoring import apply_masks
from lab41_sce.separation.chunked_inference import estimate_masks

MP3_RATE_HZ = 16000  # a rate of the format
SECONDS = 5.0


def mp3(signal: np.ndarray, sample_rate_hz: int) -> np.ndarray:
    """Encode and decode a signal `[N]` with the strongest compression; return float32 `[N]`."""
    file, scale = io.BytesIO(), 0.5 / max(np.abs(signal).max(), 1e-9)
    soundfile.write(file, audio.resample(scale * signal, sample_rate_hz, MP3_RATE_HZ), MP3_RATE_HZ, format="MP3",
                    compression_level=0.99)
    file.seek(0)
    decoded = audio.resample(soundfile.read(file, dtype="float32")[0], MP3_RATE_HZ, sample_rate_hz) / scale
    return np.pad(decoded[: len(signal)], (0, max(0, len(signal) - len(decoded))))


def telephone(signals: np.ndarray, sample_rate_hz: int) -> np.ndarray:
    """Filter signals `[S, N]` as a telephone line does."""
    line_db = response_basis(fft.rfftfreq(signals.shape[1], 1 / sample_rate_hz))[-1]
    return fft.irfft(fft.rfft(signals) * 10 ** (line_db / 20), signals.shape[1])


def main() -> None:
    """Score every condition on the same mixtures."""
    options = shipped.parser(__doc__, 20).parse_args()
    separator, speech, table = shipped.load(options)
    model, front_end = separator.model, separator.model.front_end
    mixtures = draw_evaluation_set(speech, table, options.split, 2, options.per_kind, SECONDS, front_end.pre_emphasis)
    rows = []
    for _, row in tqdm(mixtures.iterrows(), "scoring", len(mixtures)):
        clean = load_mixture(speech, row).sources
        on_line = telephone(clean, front_end.sample_rate_hz)
        conditions = {"clean": clean, "telephone": on_line, "mp3": clean, "telephone, mp3": on_line}
        for condition, sources in conditions.items():
            mixture = sources.sum(axis=0)
            if "mp3" in condition:
                mixture = mp3(mixture, front_end.sample_rate_hz)
            estimates = apply_masks(front_end, mixture, estimate_masks(model, mixture, 2))
            before = best_si_sdr(sources, np.broadcast_to(mixture, sources.shape)).mean()
            rows.append({"condition": condition, "kind": "".join(sorted(row["kind"])), "before_db": before,
                         "si_sdri_db": si_sdr_improvement(sources, mixture, estimates)})
    scores = pd.DataFrame(rows)
    means = pd.concat([scores, scores.assign(kind="All")]).groupby(["condition", "kind"], sort=False)
    summary = means.agg(n=("si_sdri_db", "size"), before_db=("before_db", "mean"), si_sdri_db=("si_sdri_db", "mean"),
                        standard_error=("si_sdri_db", "sem")).reset_index().round(3)
    shipped.write_summary(summary, options.results)


if __name__ == "__main__":
    main()

"""Score the shipped model in simulated rooms, with and without noise.

    python tools/model/score_rooms.py $LIBRISPEECH results/model/rooms

Two people talk in one of the rooms of `scored_rooms.npz` (RT60 0.2 to 0.6 s, 0.5 to 3 m from the microphone; see
`draw_rooms.py`). The noise is white, pink or has the spectrum of speech, and is 10 dB below the speech. A voice is
compared with the direct sound of its person and the first 50 ms of reflections; what comes later is an error, as the
noise is. The same mixtures without a room stand beside them. `pretrained_soft_masks` is the model without its second
network, if it has one.
"""

import numpy as np
import pandas as pd
import shipped
from scipy.signal import fftconvolve
from tqdm import tqdm

from lab41_sce import audio
from lab41_sce.data.evaluation_set import add_noise, draw_evaluation_set, load_mixture
from lab41_sce.data.noise import Noise
from lab41_sce.evaluation.metrics import score
from lab41_sce.evaluation.scoring import apply_masks
from lab41_sce.separation.chunked_inference import estimate_masks

ROOMS = shipped.HERE / "scored_rooms.npz"
RATE_HZ = 16000  # of the rooms
SECONDS, SNR_DB, EARLY_SECONDS = 5.0, 10.0, 0.05
NOISE_KINDS = ("white", "pink", "speech_shaped")
METRICS = ("SDRi", "SIRi", "SI-SDRi")


def in_room(sources: np.ndarray, responses: np.ndarray) -> np.ndarray:
    """Convolve each source, `[S, N]`, with the response of its place, `[S, n]`: float32 `[S, N]`."""
    return fftconvolve(sources, responses, axes=1)[:, : sources.shape[1]].astype(np.float32)


def main() -> None:
    """Score every condition on the same mixtures."""
    options = shipped.parser(__doc__, 20).parse_args()
    separator, speech, table = shipped.load(options)
    model, front_end = separator.model, separator.model.front_end
    models = {"pretrained": model}
    if model.mask_network is not None:
        models["pretrained_soft_masks"] = shipped.without_mask_network(model)
    # The noise of the split "validation" has the spectrum of speech of the split "train".
    noise = Noise(speech, table.replace({"split": {"validation": "train"}}), NOISE_KINDS)
    responses_of_rooms = [np.stack([audio.resample(response, RATE_HZ, front_end.sample_rate_hz) for response in room])
                          for room in np.load(ROOMS)["rooms"].astype(np.float32)]
    n_early = round(EARLY_SECONDS * front_end.sample_rate_hz)
    mixtures = draw_evaluation_set(speech, table, options.split, 2, options.per_kind, SECONDS, front_end.pre_emphasis)
    mixtures = add_noise(mixtures, noise, (SNR_DB, SNR_DB))
    rows = []
    for number, row in enumerate(tqdm(mixtures.to_dict("records"), "scoring")):
        mixture, responses = load_mixture(speech, row, noise), responses_of_rooms[number % len(responses_of_rooms)]
        dry, early, whole = mixture.sources, *(in_room(mixture.sources, responses[:, :n]) for n in (n_early, None))
        for condition, references, at_microphone in (("no room", dry, dry), ("room", early, whole)):
            clean = at_microphone.sum(axis=0)
            disturbance = mixture.noise * np.sqrt(np.mean(clean**2) / np.mean(dry.sum(axis=0) ** 2))
            for name, signal in ((condition, clean), (f"{condition}, noise", clean + disturbance)):
                for system, scored in models.items():
                    estimates = apply_masks(front_end, signal, estimate_masks(scored, signal, 2))
                    scores = score(references, estimates, signal)
                    rows.append({"system": system, "condition": name, "kind": "".join(sorted(row["kind"])),
                                 **{metric: scores[metric] for metric in METRICS}})
    scores = pd.DataFrame(rows)
    means = pd.concat([scores, scores.assign(kind="All")]).groupby(["condition", "system", "kind"], sort=False)
    summary = means.agg(n=("SDRi", "size"), **{metric: (metric, "mean") for metric in METRICS},
                        standard_error_SDRi=("SDRi", "sem")).reset_index()
    shipped.write_summary(summary.round(3), options.results)


if __name__ == "__main__":
    main()

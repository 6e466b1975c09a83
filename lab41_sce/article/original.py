"""What the original did, beside what a run did, and what doing all of it would take."""

from pathlib import Path

import pandas as pd

from lab41_sce.article.timing import BINS, SIZE, UNITS
from lab41_sce.reporting.tables import Table
from lab41_sce.yaml_defaults import with_yaml_defaults

BATCH, UPDATES = 256, 92_000
FRAMES = BATCH * 40  # of an update
ASSUMED_FLOPS = 5e12  # a second, of a GPU


def differences(run: Path, config: dict) -> Table:
    """Lay out the original's choices beside the main run's."""
    build, mixtures, front_end = config["method"].get("build", {}), config["mixtures"], config["front_end"]
    training, evaluation, network = config["training"], config["evaluation"], config["network"]
    systems = pd.read_csv(run / "systems.csv").set_index("system")
    splits = pd.read_csv(run / "splits.csv", dtype=str)
    frames = 1 - (-round(mixtures["seconds"] * front_end["sample_rate_hz"]) // front_end["hop_length"])
    updates = systems["updates"].get(config["method"]["name"], 0)
    seen = updates * mixtures["batch_size"] * frames
    range_db, power = build.get("loss_range_db"), build.get("weight_power", 0)
    rate = (f"{training['learning_rate']:g}, {training['decay']} decay, gradients clipped at {training['clip_norm']}, "
            f"speaker vectors {build.get('speaker_lr_multiplier', 1):g} times that")
    rows = [
        ["speakers in training", "251", str(splits.loc[splits["split"] == "train", "speaker"].nunique()),
         "much, if they are fewer"],
        ["frames in training mixtures", f"{UPDATES * FRAMES / 1e6:.0f} million",
         f"{seen / 1e6:.0f} million" if seen >= 1e6 else f"{seen:,.0f}", "much, if they are fewer"],
        ["network", "2 BLSTM layers of 300 units each way", f"{network['n_layers']} BLSTM layers of {network['units']} "
         "units each way", "little in a short training"],
        ["embedding size K", "40", str(config["embedding_size"]), "little"],
        ["batch", "256 x 40 frames", f"{mixtures['batch_size']} x {frames} frames", "unknown"],
        ["network's input", "square root, min-max scaled over the batch in training, over the utterance later",
         f"{front_end['compression']}, {front_end['scaling'].replace('_', '-')} scaled over the utterance", "none"],
        ["vectors", "as they come in the article; of length one in the published training",
         "of length one" if build.get("unit_norm") else "as they come", "see claim 5"],
        ["bins that count", "all alike", f"{'all' if range_db is None else f'within {range_db:g} dB of the peak'}, by "
         f"magnitude to the power of {power:g}", "see claim 5"],
        ["factor of inner products", "1", f"{build.get('scale', 1):g}", "unknown"],
        ["masks", "binary", "binary" if build.get("soft_scale") is None else "soft", "see claim 5"],
        ["learning rate (Adam)", "0.001, constant", rate, "none: chosen by trials"],
        ["model kept", "lowest loss for other utterances of known speakers",
         "highest SI-SDR improvement for validation speakers", "none"],
        ["scores", "SDR (in the code: its improvement, which is almost the same at 0 dB) of 500 mixtures of each kind, "
         "speakers known or unknown: not said",
         f"SDR improvement of {evaluation['per_kind']} mixtures of each kind", "unknown"],
    ]
    return Table(["what", "original", "here", "probable cost"], rows)


def full_run(measured: pd.DataFrame | None) -> str:
    """Estimate how long the original's training would take."""
    parameters = with_yaml_defaults("network/blstm", units=UNITS)(BINS, SIZE).count_params()
    operations = 6 * parameters * FRAMES * UPDATES
    text = (f"Its network of {parameters:,} parameters does about 6 operations for each parameter and frame, "
            f"{operations:.1e} in all: {operations / ASSUMED_FLOPS / 3600:.0f} hours on a GPU that keeps up "
            f"{ASSUMED_FLOPS:.0e} operations a second (assumed, not measured).")
    if measured is not None:
        update = measured[(measured["what"] == "update") & (measured["system"] == "sce")].iloc[0]
        hours = UPDATES * update["seconds"] * BATCH / update["batch"] / 3600
        ratio = BATCH / update["batch"]
        text += (f" On the machine of claim 2, where an update of a batch of {update['batch']} took "
                 f"{update['seconds']:.3g} s, it would be {hours:.0f} hours ({hours / 24:.1f} days), validation and "
                 "scores left out" + (f" (taking {ratio:g} times as long for batches of {BATCH}; larger "
                                      "batches usually cost less a mixture)." if ratio > 1 else "."))
    return text + " It wants all of train-clean-100 (6.3 GB) and test-clean."

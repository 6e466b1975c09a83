"""The choices of the original become a table beside those of a run, and an estimate of its full training time.

    config.yaml, systems.csv, splits.csv of a run -> differences from the original
    timing.csv                                    -> duration of the original's training
"""

from pathlib import Path

import pandas as pd

from lab41_sce.article.sizes import BATCH, BINS, EMBEDDING_SIZE, FRAMES, UNITS, UPDATES
from lab41_sce.reporting.tables import Table
from lab41_sce.yaml_defaults import with_yaml_defaults

FRAMES_PER_UPDATE = BATCH * FRAMES
ASSUMED_FLOPS = 5e12  # operations per second of a GPU


def differences(run: Path, config: dict) -> Table:
    """Arrange the choices of the original beside those of a run.

    Args:
        run: folder of the run.
        config: its settings.

    Returns:
        Columns choice, original, here, probable cost.
    """
    build, mixtures, front_end = config["method"].get("build", {}), config["mixtures"], config["front_end"]
    training, evaluation, network = config["training"], config["evaluation"], config["network"]
    systems = pd.read_csv(run / "systems.csv").set_index("system")
    splits = pd.read_csv(run / "splits.csv", dtype=str)
    hop, length = front_end["hop_length"], round(mixtures["seconds"] * front_end["sample_rate_hz"])
    frames = 1 + (length + front_end["frame_length"] - hop - 1) // hop
    updates = systems["updates"].get(config["method"]["name"], 0)
    seen = updates * mixtures["batch_size"] * frames
    range_db, power = build.get("loss_range_db"), build.get("weight_power", 0)
    bins = "all" if range_db is None else f"within {range_db:g} dB of the peak"
    rate = (f"{training['learning_rate']:g} with {training['decay']} decay, gradients clipped at "
            f"{training['clip_norm']}; {build.get('speaker_lr_multiplier', 1):g} times that for the speaker vectors")
    rows = [
        ["speakers in training", "251", str(splits.loc[splits["split"] == "train", "speaker"].nunique()),
         "high, if the number is smaller"],
        ["frames in training mixtures", f"{UPDATES * FRAMES_PER_UPDATE / 1e6:.0f} million",
         f"{seen / 1e6:.0f} million" if seen >= 1e6 else f"{seen:,.0f}", "high, if the number is smaller"],
        ["network", "2 BLSTM layers with 300 units in each direction", f"{network['n_layers']} BLSTM layers with "
         f"{network['units']} units in each direction", "low for a short training"],
        ["embedding size K", "40", str(config["embedding_size"]), "low"],
        ["batch", "256 x 40 frames", f"{mixtures['batch_size']} x {frames} frames", "unknown"],
        ["input of the network", "square root; min-max scaling over the batch in training, over the utterance later",
         f"{front_end['compression']}; {front_end['scaling'].replace('_', '-')} scaling over the utterance", "none"],
        ["length of the vectors", "free in the article; 1 in the published training code",
         "1" if build.get("unit_norm") else "free", "see claim 5"],
        ["bins in the loss", "all, with equal weights", f"{bins}, weighted by magnitude to the power of {power:g}",
         "see claim 5"],
        ["scale of inner products", "1", f"{build.get('scale', 1):g}", "unknown"],
        ["masks", "binary", "binary" if build.get("soft_scale") is None else "soft", "see claim 5"],
        ["learning rate (Adam)", "0.001, constant", rate, "none (chosen by trials)"],
        ["saved model", "lowest loss on other utterances of known speakers",
         "highest SI-SDR improvement on validation speakers", "none"],
        ["scores", "SDR (its improvement in the code, almost the same at 0 dB) of 500 mixtures of each kind; the "
         "article does not state whether the speakers were known",
         f"SDR improvement of {evaluation['per_kind']} mixtures of each kind", "unknown"],
    ]
    return Table(["choice", "original", "here", "probable cost"], rows)


def full_run(measured: pd.DataFrame | None) -> str:
    """Describe how long the training of the original would take.

    Args:
        measured: rows of `timing.csv`, or None.

    Returns:
        A paragraph.
    """
    parameters = with_yaml_defaults("network/blstm", units=UNITS)(BINS, EMBEDDING_SIZE).count_params()
    operations = 6 * parameters * FRAMES_PER_UPDATE * UPDATES
    text = (f"Its network of {parameters:,} parameters needs about 6 operations per parameter and frame, "
            f"{operations:.1e} in total. That takes {operations / ASSUMED_FLOPS / 3600:.0f} hours on a GPU with a "
            f"sustained rate of {ASSUMED_FLOPS:.0e} operations per second (an assumption, not a measurement).")
    if measured is not None:
        update = measured[(measured["what"] == "update") & (measured["system"] == "sce")].iloc[0]
        hours = UPDATES * update["seconds"] * BATCH / update["batch"] / 3600
        ratio = BATCH / update["batch"]
        text += (f" On the machine of claim 2, an update with a batch of {update['batch']} took "
                 f"{update['seconds']:.3g} s, so the training would take {hours:.0f} hours ({hours / 24:.1f} days) "
                 "without validation and scoring.")
        if ratio > 1:
            text += (f" This assumes that a batch of {BATCH} takes {ratio:g} times as long; larger batches usually "
                     "take less time per mixture.")
    return text + " A full run needs all of train-clean-100 (6.3 GB) and test-clean."

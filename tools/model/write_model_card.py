"""Fill the model card of the shipped model from files that runs wrote, so that no number in it is typed by hand.

    python tools/model/write_model_card.py

`model_card.md`, beside this file, is the template. A name such as `$counting` stands for the table in that folder of
`results/model/`. The other names stand for facts of the training run (`results/model/training`) and of the model.
"""

import itertools
import json
from pathlib import Path
from string import Template

import pandas as pd
import yaml

from lab41_sce.atomic_write import write_text
from lab41_sce.data.corpus import SEPARATOR
from lab41_sce.pretrained import MODEL
from lab41_sce.separation.separator import Separator

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "results" / "model"


def facts() -> dict:
    """Collect the facts of the card that are not tables."""
    run = RESULTS / "training"
    version = json.loads((run / "version.json").read_text("utf-8"))
    config = yaml.safe_load((run / "config.yaml").read_text("utf-8"))
    system = pd.read_csv(run / "systems.csv").iloc[0]
    train = pd.read_csv(MODEL.parent / "splits.csv", dtype=str).query("split == 'train'")
    of_first_network = train[~train["speaker"].str.contains(SEPARATOR)]
    model = Separator.from_pretrained().model
    return {
        **mask_facts(train, system),
        **{name: config["network"][name] for name in ("n_layers", "units", "dropout")},
        "bottleneck_rank": config["network"]["rank"],  # its name in runs of before version 0.2
        **{name: version[name] for name in ("git_commit", "torch", "keras", "python", "gpu", "command")},
        "batch_size": config["mixtures"]["batch_size"], "excerpt_seconds": config["mixtures"]["seconds"],
        **{name: getattr(model, name) for name in ("soft_scale", "range_db", "hop_reduction", "cluster_variance",
                                                   "verification_threshold")},
        "embedding_size": config["embedding_size"], "seed": config["seed"],
        "sample_rate_hz": model.front_end.sample_rate_hz,
        "parameters": f"{system['parameters']:,.0f}", "updates": f"{system['updates']:,.0f}",
        "minutes": f"{system['minutes']:.0f}", "best_update": f"{system['best_update']:,.0f}",
        "training_speech": training_speech(of_first_network),
        "mixtures": mixtures(config),
    }


def mask_facts(train: pd.DataFrame, first: pd.Series) -> dict:
    """Collect the facts of the second network, which was trained in two parts.

    Args:
        train: utterances of both networks.
        first: row of systems.csv of the first network.
    """
    parts = [RESULTS / f"mask_training_{number}" for number in (1, 2)]
    systems = [pd.read_csv(part / "systems.csv").iloc[0] for part in parts]
    config = yaml.safe_load((parts[-1] / "config.yaml").read_text("utf-8"))
    version = json.loads((parts[-1] / "version.json").read_text("utf-8"))
    return {
        "mask_parameters": f"{systems[-1]['parameters'] - first['parameters']:,.0f}",
        "mask_speech": training_speech(train), "mask_mixtures": mixtures(config),
        "mask_batch_size": config["mixtures"]["batch_size"],
        "mask_seconds": config["mixtures"]["seconds"],
        "mask_updates": " and ".join(f"{system['updates']:,.0f}" for system in systems),
        "mask_minutes": " and ".join(f"{system['minutes']:.0f}" for system in systems),
        "licences": "\n".join(f"- {licence}" for licence in version["speech"]),
    }


def mixtures(config: dict) -> str:
    """Describe the training mixtures of a run."""
    settings, noise = config["mixtures"], config["noise"]["training_snr_db"]
    shares = ", ".join(f"{share:.0%} of {count}" for count, share in sorted(settings["speaker_shares"].items()))
    return (f"{shares} speakers; levels within ±{settings['level_range_db'] / 2:g} dB; speeds "
            f"{', '.join(map(str, settings['speeds']))}; random smooth frequency responses within "
            f"±{settings['response_db'] / 2:g} dB; {settings['telephone']:.0%} through a telephone line; noise "
            f"{noise[0]:g} to {noise[1]:g} dB below the speech")


def training_speech(train: pd.DataFrame) -> str:
    """Count the utterances and speakers of each corpus in the rows of splits.csv that were trained on."""
    added = train["speaker"].str.extract(f"(.+){SEPARATOR}")[0]  # an id of the first corpus has no separator
    corpora = train.groupby(added.fillna("LibriSpeech"), sort=False)["speaker"]
    return " and ".join(f"{len(ids)} utterances of {ids.nunique()} speakers of {name}" for name, ids in corpora)


def first_table(text: str) -> str:
    """Return the first table of a text in Markdown."""
    lines = text.splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith("|"))
    return "\n".join(itertools.takewhile(lambda line: line.startswith("|"), lines[start:]))


def card() -> str:
    """Return the text of the card."""
    tables = {path.parent.name: first_table(path.read_text("utf-8")) for path in RESULTS.glob("*/table.md")}
    return Template(Path(__file__).with_name("model_card.md").read_text("utf-8")).substitute(tables | facts())


def main() -> None:
    """Write the card."""
    write_text(ROOT / "lab41_sce" / "pretrained" / "MODEL_CARD.md", card())


if __name__ == "__main__":
    main()

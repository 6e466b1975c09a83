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
from lab41_sce.yaml_defaults import CONFIG_PATH

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "results" / "model"


def facts() -> dict:
    """Collect the facts of the card that are not tables."""
    run = RESULTS / "training"
    version = json.loads((run / "version.json").read_text("utf-8"))
    config = yaml.safe_load((run / "config.yaml").read_text("utf-8"))
    system = pd.read_csv(run / "systems.csv").iloc[0]
    train = pd.read_csv(MODEL.parent / "splits.csv", dtype=str).query("split == 'train'")
    model = Separator.from_pretrained().model
    librispeech = yaml.safe_load((CONFIG_PATH / "corpus" / "librispeech.yaml").read_text("utf-8"))
    mixtures, noise = config["mixtures"], config["noise"]["training_snr_db"]
    shares = ", ".join(f"{share:.0%} of {count}" for count, share in sorted(mixtures["speaker_shares"].items()))
    return {
        **{name: config["network"][name] for name in ("n_layers", "units", "dropout")},
        "bottleneck_rank": config["network"]["rank"],  # its name in runs of before version 0.2
        **{name: version[name] for name in ("git_commit", "torch", "keras", "python", "gpu", "command")},
        "batch_size": mixtures["batch_size"], "excerpt_seconds": mixtures["seconds"],
        **{name: getattr(model, name) for name in ("soft_scale", "range_db", "hop_reduction", "cluster_variance",
                                                   "verification_threshold")},
        "embedding_size": config["embedding_size"], "seed": config["seed"],
        "sample_rate_hz": model.front_end.sample_rate_hz,
        "parameters": f"{system['parameters']:,.0f}", "updates": f"{system['updates']:,.0f}",
        "minutes": f"{system['minutes']:.0f}", "best_update": f"{system['best_update']:,.0f}",
        "training_speech": training_speech(train),
        # Runs of before version 0.3 were trained on LibriSpeech and recorded no licence.
        "licences": "\n".join(f"- {licence}" for licence in version.get("speech") or [librispeech["licence"]]),
        "mixtures": f"{shares} speakers; levels within ±{mixtures['level_range_db'] / 2:g} dB; speeds "
                    f"{', '.join(map(str, mixtures['speeds']))}; random smooth frequency responses within "
                    f"±{mixtures['response_db'] / 2:g} dB; {mixtures['telephone']:.0%} through a telephone line; noise "
                    f"{noise[0]:g} to {noise[1]:g} dB below the speech",
    }


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

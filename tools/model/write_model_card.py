"""Fill the model card of the shipped model with what runs wrote, so that no figure in it is typed.

    python tools/write_model_card.py

`tools/model_card.md` is the text; a name such as `$pretrained_counting` stands for the table in that folder of
`results/`, the others for facts of the run that trained (`results/pretrained`) and of the model.
"""

import itertools
import json
from pathlib import Path
from string import Template

import pandas as pd
import yaml

from lab41_sce.atomic_write import write_text
from lab41_sce.pretrained import MODEL
from lab41_sce.separation.separator import Separator

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "results"


def facts() -> dict:
    """Collect what the card tells besides tables."""
    run = RESULTS / "pretrained"
    version = json.loads((run / "version.json").read_text("utf-8"))
    config = yaml.safe_load((run / "config.yaml").read_text("utf-8"))
    system = pd.read_csv(run / "systems.csv").iloc[0]
    train = pd.read_csv(MODEL.parent / "splits.csv", dtype=str).query("split == 'train'")
    model = Separator.from_pretrained().model
    mixtures, noise = config["mixtures"], config["noise"]["training_snr_db"]
    shares = ", ".join(f"{share:.0%} of {count}" for count, share in sorted(mixtures["speaker_shares"].items()))
    return {
        **{name: config["network"][name] for name in ("n_layers", "units", "bottleneck_rank")},
        **{name: version[name] for name in ("git_commit", "torch", "keras", "python", "gpu", "command")},
        "batch_size": mixtures["batch_size"], "excerpt_seconds": mixtures["seconds"],
        "dropout": config["network"]["dropout"],
        **{name: getattr(model, name) for name in ("soft_scale", "range_db", "hop_reduction", "cluster_variance", "verification_threshold")},
        "embedding_size": config["embedding_size"], "seed": config["seed"],
        "sample_rate_hz": model.front_end.sample_rate_hz,
        "parameters": f"{system['parameters']:,.0f}", "updates": f"{system['updates']:,.0f}",
        "minutes": f"{system['minutes']:.0f}", "best_update": f"{system['best_update']:,.0f}",
        "utterances": len(train), "speakers": train["speaker"].nunique(),
        "mixtures": f"{shares} speakers, levels within ±{mixtures['level_range_db'] / 2:g} dB, played at "
                    f"{', '.join(map(str, mixtures['speeds']))} times their speed, through random smooth responses "
                    f"within ±{mixtures['response_db'] / 2:g} dB, {mixtures['telephone']:.0%} through a telephone "
                    f"line, with noise {noise[0]:g} to {noise[1]:g} dB below",
    }


def first_table(text: str) -> str:
    """Return the first table of a text in Markdown."""
    lines = text.splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith("|"))
    return "\n".join(itertools.takewhile(lambda line: line.startswith("|"), lines[start:]))


def card() -> str:
    """Fill the text."""
    tables = {path.parent.name: first_table(path.read_text("utf-8")) for path in RESULTS.glob("*/table.md")}
    return Template((ROOT / "tools" / "model_card.md").read_text("utf-8")).substitute(tables | facts())


def main():
    """Fill and write."""
    write_text(MODEL.parent / "MODEL_CARD.md", card())


if __name__ == "__main__":
    main()

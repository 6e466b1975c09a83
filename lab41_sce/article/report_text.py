"""Claims, figures and the files of runs fill in report.md.template: the text of REPORT.md."""

import re
import shlex
from importlib import resources
from pathlib import Path
from string import Template
from typing import Any

import pandas as pd

from lab41_sce.article import claim, draw, original, score_claims, sizes, time_claims
from lab41_sce.article.claim import Claim
from lab41_sce.article.finished_run import read_scores, read_training
from lab41_sce.data.splits import headline_split
from lab41_sce.evaluation.metrics import MAIN_METRIC
from lab41_sce.plain_data import read_json
from lab41_sce.reporting import tables
from lab41_sce.reporting.tables import Bold, Markup, Table, escape_markdown, markdown_code
from lab41_sce.runs import versions
from lab41_sce.runs.renamed_settings import load_config

IN_NOISE = "improvement_by_snr"  # figure of the noisy run


def compose(folders: dict[str, Path], claims: list[Claim], pictures: list[str], timing: Path | None,
            costs: Table | None = None) -> str:
    """Fill in the template.

    Args:
        folders: folder of each run by part: "main", and optionally "seed 2", "seed 3" and so on, "change 1" and
            so on, "article's size", "ablation", "noisy".
        claims: claims with their verdicts, in order.
        pictures: names of the figures in `draw.CAPTIONS` that were drawn.
        timing: table that `timing.py` wrote.
        costs: table of `changes.measured_costs`.

    Returns:
        The text in Markdown.
    """
    run, config = folders["main"], load_config(folders["main"])
    measured = None if timing is None else pd.read_csv(timing)
    counts = [f"{sum(each.verdict == verdict for each in claims)} × {verdict}"
              for verdict in (claim.HOLDS, claim.BY_CONSTRUCTION, claim.FAILS, claim.UNDECIDED)]
    details = []
    for number, each in enumerate(claims, start=1):
        details.append(f"### {number}. {each.title}: {each.verdict}\n\n{escape_markdown(each.reason)}")
        details += [tables.markdown(each.table)] if each.table else []
        if each.title == claim.UPDATE_TIME and measured is not None:
            details += ["Growth of the SCE loss with the number of speakers in training and with extra negatives:",
                        tables.markdown(time_claims.loss_growth(measured))]
    if "noisy" in folders:
        scores, mixtures = read_scores(folders["noisy"])
        noise = score_claims.improvement_by_noise(scores, mixtures, split=headline_split(scores["split"]))
        details += [f"Mean {MAIN_METRIC} (dB) by kind of noise, trained with noise:", tables.markdown(noise),
                    _picture(IN_NOISE)]
    for part in [part for part in ("article's size", "ablation", "noisy") if part in folders]:
        details += [f"Systems of the {part} run and their training:",
                    tables.markdown(tables.systems(load_config(folders[part]), read_training(folders[part])))]
    n_seeds = 1 + sum(part.startswith("seed ") for part in folders)
    trainings = "Every system was trained once; another seed would also change the results."
    if n_seeds > 1:
        trainings = (f"The systems of the main run were trained with {n_seeds} seeds and scored on the same mixtures. "
                     "The intervals of claim 1 and of Figure 6 also cover other trainings, by Student's t over the "
                     "seeds. All other results are of one training each.")
    template = resources.files("lab41_sce.article").joinpath("report.md.template").read_text("utf-8")
    return Template(template).substitute(
        lead=f"Verdicts on the {len(claims)} claims: {', '.join(counts)}.",
        verdicts=tables.markdown(Table(["claim", "verdict"], [[each.title, Bold(each.verdict)] for each in claims])),
        runs=tables.markdown(Table(["run", "command", "code", "started", "machine"],
                                   [*(_describe_run(part, folder) for part, folder in folders.items()),
                                    *describe_timing(timing)])),
        data=_data(run, config), trainings=trainings,
        budget=tables.markdown(tables.systems(config, pd.read_csv(run / "systems.csv"))),
        figures="\n\n".join(map(_picture, pictures)),
        claims="\n\n".join(details),
        differences=tables.markdown(original.differences(run, config)), costs=_costs(costs),
        article_updates=f"{sizes.UPDATES:,}", article_frames=f"{original.FRAMES_PER_UPDATE:,}",
        full_run=original.full_run(measured))


def describe_timing(timing: Path | None) -> list[list[str]]:
    """Describe the measurement of the times.

    Args:
        timing: table that `timing.py` wrote, with a JSON file of the same name beside it.

    Returns:
        One row (name, command, code version, date, machine), or no row without the JSON file.
    """
    if timing is None or not timing.with_suffix(".json").exists():
        return []
    about = read_json(timing.with_suffix(".json"))
    # Without folders, which exist on one machine only.
    words = _words(str(about.get("command", "")))
    command = shlex.join(re.sub(r"(^|=)[^=]*/", r"\1", word) for word in words)
    return [["timing", Markup(markdown_code(command)), *_describe_start(about), _machine(about)]]


def _picture(name: str) -> str:
    """Show a figure with its caption, in Markdown."""
    caption = draw.CAPTIONS[name]
    return f"![{caption}](figures/{name}.png)\n\n{caption} ([vector graphic](figures/{name}.svg))"


def _costs(costs: Table | None) -> str:
    """Show the measured costs, or say how to measure them."""
    if costs is None:
        return "A run that differs in one of these choices measures what it costs (`--changed RUN`); none was given."
    return ("What some choices cost, measured by a training that differs from the main run in the settings of a row, "
            f"on the same mixtures:\n\n{tables.markdown(costs)}")


def _data(run: Path, config: dict[str, Any]) -> str:
    """Describe the training and evaluation data of the main run."""
    splits, mixtures = (pd.read_csv(run / name, dtype=str) for name in ("splits.csv", "evaluation.csv"))
    by_split = splits.groupby("split").agg({"speaker": "nunique", "utterance": "nunique"})
    trained, speakers = by_split.loc["train"], by_split["speaker"].get
    limits = {"minutes": config["training"]["minutes"], "updates": config["training"]["updates"],
              "validations without improvement": config["training"]["patience"]}
    limit = " or ".join(f"{number:g} {unit}" for unit, number in limits.items() if number)
    scored = [f"{len(rows)} mixtures of {escape_markdown(split)} speakers"
              for split, rows in mixtures.groupby("split", sort=False)]
    return (f"The main run was trained on {trained['utterance']} utterances of {trained['speaker']} speakers. Its "
            f"models were selected on {speakers('validation', 0)} other speakers and scored on {' and '.join(scored)}, "
            f"of {config['evaluation']['seconds']} s each. The number of unseen speakers is "
            f"{speakers('unseen', 0)}. All systems were trained on the same mixtures, each until the same limit: "
            f"{limit}.")


def _describe_run(part: str, run: Path) -> list[str]:
    """Describe a run in one row (name, commands, code versions, date, machine), without paths of this machine."""
    version, config = read_json(run / "version.json"), load_config(run)
    starts = [version, *version.get("resumed", [])]
    commands = dict.fromkeys(versions.redact_paths(str(start.get("command", "")), config, run) for start in starts)
    codes = dict.fromkeys(_describe_start(start)[0] for start in starts)
    return [part, Markup("; ".join(map(markdown_code, commands))), ", ".join(codes), _describe_start(version)[1],
            _machine(version)]


def _describe_start(about: dict[str, Any]) -> list[str]:
    """Return the version of the code and the date at the start of a run."""
    return [str(about.get("git_commit", "unknown")), str(about.get("started", "unknown"))[:10]]


def _words(command: str) -> list[str]:
    """Split a command line into words; a line that is none is one word."""
    try:
        return shlex.split(command)
    except ValueError:
        return [command]


def _machine(version: dict[str, Any]) -> str:
    """Describe the machine of a run."""
    return f"{version.get('platform', 'unknown')}" + (f", {version['cores']} cores" if "cores" in version else "")

"""Runs become one report to lay beside the article: what was run, its figures, a verdict on each claim.

    python -m lab41_sce.article runs/reproduce [--timing timing.csv] [--ablation RUN] [--noisy RUN] [--out DIR]

writes REPORT.md, report.html (the same, with its pictures inside) and figures/ into DIR, by default RUN/article. The
text that does not depend on the runs is in report.md.template.
"""

import argparse
import base64
import json
import re
import shutil
import sys
from importlib import resources
from pathlib import Path
from string import Template

import markdown
import pandas as pd
import yaml

from lab41_sce import runs, tables
from lab41_sce.article import claims, draw
from lab41_sce.errors import UserError
from lab41_sce.files import write_whole
from lab41_sce.report import page
from lab41_sce.tables import Table

ARTICLE_FRAMES = claims.ARTICLE_BATCH * 40  # of an update
ASSUMED_FLOPS = 5e12  # a second, of a GPU


def write(run: Path, out: Path, timing: Path | None = None, ablation: Path | None = None,
          noisy: Path | None = None) -> Path:
    """Write the report.

    Args:
        run: folder of a finished run whose method is SCE; for the first claim with deep clustering among its others.
        out: folder, made if it is not there.
        timing: what `lab41_sce.article.timing` wrote.
        ablation: folder of a run of `+exp=ablation`.
        noisy: folder of a run of `+exp=noisy`.

    Returns:
        Path of `REPORT.md`.

    Raises:
        UserError: a run or a table is not there, or not what it should be.
    """
    folders = {"main": run, "ablation": ablation, "noisy": noisy}
    folders = {what: folder for what, folder in folders.items() if folder is not None}
    for what, folder in folders.items():
        if not (folder / "summary.csv").exists():
            raise UserError(f"{folder} holds no finished run (summary.csv); give the folder of one for --{what}.")
    if timing is not None and not timing.exists():
        raise UserError(f"{timing} is not there; write it with python -m lab41_sce.article.timing --out {timing}.")
    pictures = draw.write_figures(run)
    judged = judge(run, timing, ablation, noisy)
    text = compose(folders, judged, [file.stem for file in pictures], timing)

    (out / "figures").mkdir(parents=True, exist_ok=True)
    for file in pictures:
        for suffix in (".png", ".svg"):
            shutil.copy(file.with_suffix(suffix), out / "figures")
    html = markdown.markdown(text, extensions=["tables"])
    html = re.sub(r"<table>.*?</table>", r'<div class="scroll" tabindex="0">\g<0></div>', html, flags=re.DOTALL)
    for file in pictures:
        data = base64.b64encode(file.read_bytes()).decode()
        html = html.replace(f'src="figures/{file.name}"', f'src="data:image/png;base64,{data}"')
    write_whole(out / "report.html", lambda file: file.write_text(
        page("Source-contrastive estimation, reproduced", f'<main class="text">{html}</main>'), "utf-8"))
    write_whole(out / "REPORT.md", lambda file: file.write_text(text, "utf-8"))
    return out / "REPORT.md"


def judge(run: Path, timing: Path | None, ablation: Path | None, noisy: Path | None) -> list[claims.Claim]:
    """Judge every claim, in the order of the report; what was not measured cannot be told."""
    from lab41_sce.separation import Separator

    def missing(title, how):
        return claims.Claim(title, claims.UNTOLD, f"Not measured here: {how}.")

    differences, config = pd.read_csv(run / "differences.csv"), _config(run)
    if "deep_clustering" in set(differences["system"]) and config["method"]["name"] == "sce":
        judged = [claims.beats_deep_clustering(differences, _split(differences))]
    else:
        judged = [missing("SCE separates better than deep clustering on FF, FM and All, but not on MM",
                          "the run did not compare the two")]
    if timing is not None:
        measured = pd.read_csv(timing)
        judged += [claims.takes_half_the_time(measured)]
    else:
        judged += [missing("An update takes almost half the time of one of deep clustering", "there is no --timing")]
    system = run / "systems" / config["method"]["name"]
    if (system / "speakers.csv").exists():
        speakers = pd.read_csv(system / "speakers.csv", dtype={"speaker": str})
        judged += [claims.knows_no_identity(Separator.load(system).model, speakers["speaker"].to_list()),
                   claims.similar_voices_are_near(speakers)]
    else:
        judged += [missing(title, "the run's method has no speaker vectors") for title in
                   ("Identities are not needed to separate", "Similar voices have similar vectors")]
    if ablation is not None:
        about = _config(ablation)
        about = {system["name"]: system.get("about", "") for system in (about["method"], *about["others"].values())}
        unlike, means = pd.read_csv(ablation / "differences.csv"), pd.read_csv(ablation / "summary.csv")
        judged += [claims.choices_inside(unlike, means, about, _split(means))]
    else:
        judged += [missing("The recipe's choices inside SCE are the better ones", "there is no --ablation")]
    if noisy is not None:
        judged += [claims.stands_noise(pd.read_csv(noisy / "summary.csv"), pd.read_csv(noisy / "differences.csv"))]
    else:
        judged += [missing("SCE can stand noise if it is trained with it (left open by the article)",
                           "there is no --noisy")]
    return judged


def compose(folders: dict[str, Path], judged: list[claims.Claim], pictures: list[str], timing: Path | None) -> str:
    """Fill the template in: Markdown."""
    run = folders["main"]
    config, measured = _config(run), None if timing is None else pd.read_csv(timing)
    systems = pd.read_csv(run / "systems.csv").set_index("system")
    splits = pd.read_csv(run / "splits.csv", dtype=str)
    trained = splits[splits["split"] == "train"]
    mixtures, front_end = config["mixtures"], config["front_end"]
    main = systems.loc[config["method"]["name"]] if config["method"]["name"] in systems.index else None
    frames = mixtures["batch_size"] * round(mixtures["seconds"] * front_end["sample_rate_hz"] / front_end["hop_length"])
    seen = 0 if main is None else main["updates"] * frames
    article_seen = claims.ARTICLE_UPDATES * ARTICLE_FRAMES
    counts = {verdict: sum(claim.verdict == verdict for claim in judged)
              for verdict in (claims.HOLDS, claims.FAILS, claims.UNTOLD)}
    details = []
    for number, claim in enumerate(judged, start=1):
        details.append(f"### {number}. {claim.title}: {claim.verdict}\n\n{claim.reason}")
        details += [tables.markdown(claim.table)] if claim.table else []
        if number == 2 and measured is not None:
            details += ["How the SCE loss alone grows with the speakers known in training and with extra negatives:",
                        tables.markdown(claims.growth_with_speakers(measured))]
    article_parameters = _article_parameters()
    operations = 6 * article_parameters * ARTICLE_FRAMES * claims.ARTICLE_UPDATES
    full_run = (f"The network does about 6 operations for each parameter and frame, {operations:.1e} in all: "
                f"{operations / ASSUMED_FLOPS / 3600:.0f} hours on a GPU that keeps up {ASSUMED_FLOPS:.0e} operations "
                "a second (assumed, not measured).")
    if measured is not None:
        update = measured[(measured["what"] == "update") & (measured["system"] == "sce")].iloc[0]
        seconds = update["seconds"] * claims.ARTICLE_BATCH / update["batch"]
        hours = claims.ARTICLE_UPDATES * seconds / 3600
        full_run += (" On the machine that wrote the table of claim 2, where an update of a batch of "
                     f"{update['batch']} took {update['seconds']:.3g} s, it would be {hours:.0f} hours, "
                     f"{hours / 24:.0f} days; so it was not done here. It also needs all of train-clean-100 (6.3 GB) "
                     "and test-clean.")
    template = resources.files("lab41_sce.article").joinpath("report.md.template").read_text("utf-8")
    return Template(template).substitute(
        lead=f"Of {len(judged)} claims, {counts[claims.HOLDS]} hold, {counts[claims.FAILS]} do not, and "
             f"{counts[claims.UNTOLD]} cannot be told.",
        verdicts=tables.markdown(Table(["claim", "verdict"], [[claim.title, f"**{claim.verdict}**"]
                                                              for claim in judged])),
        runs=tables.markdown(Table(["run", "command", "code", "started", "machine"],
                                   [_about(what, folder) for what, folder in folders.items()])),
        budget=tables.markdown(tables.systems(config, systems.reset_index())),
        figures="\n\n".join(f"![{draw.CAPTIONS[name]}](figures/{name}.png)\n\n{draw.CAPTIONS[name]} "
                            f"([vector graphic](figures/{name}.svg))" for name in pictures),
        claims="\n\n".join(details),
        training=f"{trained['utterance'].nunique()} utterances of {trained['speaker'].nunique()} speakers, and "
                 f"{seen / 1e6:.0f} million frames in mixtures, where the original had all of train-clean-100 (251 "
                 f"speakers) and about {article_seen / 1e6:.0f} million.",
        parameters="no" if main is None else f"{main['parameters']:,.0f}",
        article_parameters=f"{article_parameters:,}", article_updates=f"{claims.ARTICLE_UPDATES:,}",
        article_frames=f"{ARTICLE_FRAMES:,}", full_run=full_run)


def _about(what: str, run: Path) -> list[str]:
    """Say what a run was: cells of a table, without paths of this machine."""
    version, config = json.loads((run / "version.json").read_text("utf-8")), _config(run)
    commands = [start.get("command", "") for start in (version, *version.get("resumed", []))]
    text = "<br>".join(f"`{runs.portable(command, config, run)}`" for command in dict.fromkeys(filter(None, commands)))
    return [what, text, version["git_commit"], version["started"][:10], version["platform"]]


def _article_parameters() -> int:
    """Count the parameters of the article's network."""
    from lab41_sce.article import timing
    from lab41_sce.networks import blstm

    return blstm(timing.BINS, timing.SIZE, units=timing.UNITS).count_params()


def _config(run: Path) -> dict:
    """Read the settings of a run."""
    return yaml.safe_load((run / "config.yaml").read_text("utf-8"))


def _split(table: pd.DataFrame) -> str:
    """Return the split to judge by: unseen speakers, if there are any."""
    return "unseen" if "unseen" in set(table["split"]) else table["split"].iloc[0]


def main(arguments: list[str] | None = None) -> int:
    """Write the report and say where it is."""
    parser = argparse.ArgumentParser("python -m lab41_sce.article", description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path, help="folder of a finished run whose method is sce")
    parser.add_argument("--timing", type=Path, metavar="FILE", help="table of lab41_sce.article.timing")
    parser.add_argument("--ablation", type=Path, metavar="RUN", help="folder of a run of +exp=ablation")
    parser.add_argument("--noisy", type=Path, metavar="RUN", help="folder of a run of +exp=noisy")
    parser.add_argument("--out", type=Path, metavar="DIR", help="folder to write to (default: RUN/article)")
    options = parser.parse_args(arguments)
    try:
        report = write(options.run, options.out or options.run / "article", options.timing, options.ablation,
                       options.noisy)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(report, report.with_name("report.html"))
    return 0


if __name__ == "__main__":
    sys.exit(main())

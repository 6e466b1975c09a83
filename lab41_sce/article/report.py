"""Runs become one report to lay beside the article: what was run, its figures, a verdict on each claim.

    python -m lab41_sce.article runs/reproduce [--timing timing.csv] [--ablation RUN] [--noisy RUN] [--out DIR]

writes REPORT.md, report.html (the same, with its pictures inside) and figures/ into DIR, by default RUN/article. The
text that does not depend on the runs is in report.md.template.
"""

import argparse
import base64
import json
import re
import shlex
import sys
from importlib import resources
from pathlib import Path
from string import Template

import markdown
import pandas as pd
import yaml

from lab41_sce.article import claims, draw, original
from lab41_sce.article.timing import COLUMNS
from lab41_sce.atomic_write import write_whole
from lab41_sce.data.evaluation_set import main_split
from lab41_sce.errors import UserError
from lab41_sce.reporting import tables
from lab41_sce.reporting.figures import save
from lab41_sce.reporting.page import page
from lab41_sce.reporting.tables import Table
from lab41_sce.runs.versions import redact_paths

FILES = ("config.yaml", "version.json", "splits.csv", "evaluation.csv", "systems.csv", "mixtures.csv", "summary.csv",
         "differences.csv")
IN_NOISE = "improvement_by_snr"


def write(run: Path, out: Path, timing: Path | None = None, ablation: Path | None = None,
          noisy: Path | None = None) -> Path:
    """Write the report.

    Args:
        run: folder of a finished run, best of `+exp=compare`: its method SCE, deep clustering among its others.
        out: folder, made if it is not there; what it holds of an earlier report is replaced.
        timing: what `lab41_sce.article.timing` wrote.
        ablation: folder of a run of `+exp=ablation`.
        noisy: folder of a run of `+exp=noisy`.

    Returns:
        Path of `REPORT.md`.

    Raises:
        UserError: a run or a table is not there, or not what it should be.
    """
    named = {"main": run, "ablation": ablation, "noisy": noisy}
    folders = {what: folder for what, folder in named.items() if folder is not None}
    for what, folder in folders.items():
        missing = [name for name in FILES if not (folder / name).exists()]
        if missing:
            raise UserError(f"{folder} is no finished run for the {what} part ({missing[0]} is missing); finish it "
                            "with resume=true, or give another. (What is kept of a run in results/ is not all of it.)")
    if timing is not None:
        _require_times(timing)
    if noisy is not None:
        for setting in ("training_snr_db", "evaluation_snr_db"):
            if not _config(noisy).get("noise", {}).get(setting):
                raise UserError(f"{noisy} was not trained and scored with noise (noise.{setting}); give a run of "
                                "+exp=noisy.")
    if ablation is not None and len(_variants(ablation)) < 2:
        raise UserError(f"{ablation} has no variants of SCE (systems whose names begin with sce_); give a run of "
                        "+exp=ablation.")
    if out.resolve() in {folder.resolve() for folder in folders.values()}:
        raise UserError(f"--out {out} is the run itself, whose report.html would be replaced; choose another folder.")
    judged = judge(run, timing, ablation, noisy)
    pictures = [file.stem for file in draw.write_figures(run, out / "figures")]
    if noisy is not None:
        for suffix in (".png", ".svg"):
            save(draw.draw(noisy)[IN_NOISE], out / "figures" / f"{IN_NOISE}{suffix}")
    text = compose(folders, judged, pictures, timing)
    html = markdown.markdown(text, extensions=["tables"])
    html = re.sub(r"<table>.*?</table>", r'<div class="scroll" tabindex="0">\g<0></div>', html, flags=re.DOTALL)
    for file in (out / "figures").glob("*.png"):
        data = base64.b64encode(file.read_bytes()).decode()
        html = html.replace(f'src="figures/{file.name}"', f'src="data:image/png;base64,{data}"')
    html = page("Source-contrastive estimation, reproduced", f'<main class="text">{html}</main>')
    write_whole(out / "report.html", lambda file: file.write_text(html, "utf-8"))
    write_whole(out / "REPORT.md", lambda file: file.write_text(text, "utf-8"))
    return out / "REPORT.md"


def judge(run: Path, timing: Path | None, ablation: Path | None, noisy: Path | None) -> list[claims.Claim]:
    """Judge every claim, in the order of the report; what was not measured cannot be told."""
    from lab41_sce.separation.separator import Separator

    def missing(title, how):
        return claims.Claim(title, claims.UNTOLD, f"Not measured here: {how}.")

    (scores, mixtures), config = _scored(run), _config(run)
    compared = config["method"]["name"] == "sce" and "deep_clustering" in set(scores["system"])
    if compared and config["mixtures"]["n_speakers"] == 2:
        judged = [claims.beats_deep_clustering(scores, mixtures, main_split(scores["split"]))]
    else:
        judged = [missing("SCE separates better than deep clustering on FF, FM and All, but not on MM",
                          "the main run did not compare the two on two speakers at once")]
    if timing is not None:
        judged += [claims.takes_half_the_time(pd.read_csv(timing), "".join(row[-1] for row in _timed(timing)))]
    else:
        judged += [missing("An update takes almost half the time of one of deep clustering", "there is no --timing")]
    system = run / "systems" / config["method"]["name"]
    if (system / "speakers.csv").exists():
        speakers = pd.read_csv(system / "speakers.csv", dtype={"speaker": str})
        judged += [claims.knows_no_identity(Separator.load(system).model, speakers["speaker"].to_list()),
                   claims.similar_voices_are_near(speakers)]
    else:
        judged += [missing(title, f"the main run has no speakers.csv of {config['method']['name']}") for title in
                   ("Identities are not needed to separate", "Similar voices have similar vectors")]
    if ablation is not None:
        scores, mixtures = _scored(ablation)
        judged += [claims.choices_inside(scores, mixtures, _variants(ablation), main_split(scores["split"]))]
    else:
        judged += [missing("The recipe's choices inside SCE are the better ones", "there is no --ablation")]
    if noisy is not None:
        scores, mixtures = _scored(noisy)
        judged += [claims.stands_noise(scores, mixtures, split=main_split(scores["split"]))]
    else:
        judged += [missing("SCE separates in noise if it is trained with it (left open by the article)",
                           "there is no --noisy")]
    return judged


def compose(folders: dict[str, Path], judged: list[claims.Claim], pictures: list[str], timing: Path | None) -> str:
    """Fill the template in: Markdown."""
    run, config = folders["main"], _config(folders["main"])
    measured = None if timing is None else pd.read_csv(timing)
    counts = [f"{sum(claim.verdict == verdict for claim in judged)} {words}" for verdict, words in
              ((claims.HOLDS, "found to hold"), (claims.FAILS, "found not to hold"), (claims.UNTOLD, "open"))]
    details = []
    for number, claim in enumerate(judged, start=1):
        details.append(f"### {number}. {claim.title}: {claim.verdict}\n\n{claim.reason}")
        details += [tables.markdown(claim.table)] if claim.table else []
        if number == 2 and measured is not None:
            details += ["How the SCE loss alone grows with the speakers known in training and with extra negatives:",
                        tables.markdown(claims.growth_with_speakers(measured))]
    if "noisy" in folders:
        scores, mixtures = _scored(folders["noisy"])
        noise = claims.by_noise(scores, mixtures, split=main_split(scores["split"]))
        details += [f"Mean {claims.METRIC} (dB) by kind of noise, trained with noise:", tables.markdown(noise),
                    _picture(IN_NOISE)]
    for what in [what for what in ("ablation", "noisy") if what in folders]:
        details += [f"What the systems of the {what} run had:",
                    tables.markdown(tables.systems(_config(folders[what]), _trained(folders[what])))]
    template = resources.files("lab41_sce.article").joinpath("report.md.template").read_text("utf-8")
    return Template(template).substitute(
        lead=f"Of {len(judged)} claims, {', '.join(counts)}.",
        verdicts=tables.markdown(Table(["claim", "verdict"], [[claim.title, f"**{claim.verdict}**"]
                                                              for claim in judged])),
        runs=tables.markdown(Table(["run", "command", "code", "started", "machine"],
                                   [*(_about(what, folder) for what, folder in folders.items()), *_timed(timing)])),
        data=_data(run, config),
        budget=tables.markdown(tables.systems(config, pd.read_csv(run / "systems.csv"))),
        figures="\n\n".join(map(_picture, pictures)),
        claims="\n\n".join(details),
        differences=tables.markdown(original.differences(run, config)),
        article_updates=f"{original.UPDATES:,}", article_frames=f"{original.FRAMES:,}",
        full_run=original.full_run(measured))


def _picture(name: str) -> str:
    """Show a figure, in Markdown."""
    caption = draw.CAPTIONS[name]
    return f"![{caption}](figures/{name}.png)\n\n{caption} ([vector graphic](figures/{name}.svg))"


def _data(run: Path, config: dict) -> str:
    """Say what the main run was trained and scored on."""
    splits, listed = (pd.read_csv(run / name, dtype=str) for name in ("splits.csv", "evaluation.csv"))
    by_split = splits.groupby("split").agg({"speaker": "nunique", "utterance": "nunique"})
    trained, speakers = by_split.loc["train"], by_split["speaker"].get
    limits = {"minutes": config["training"]["minutes"], "updates": config["training"]["updates"],
              "validations without a better one": config["training"]["patience"]}
    limit = " or ".join(f"{number:g} {what}" for what, number in limits.items() if number)
    scored = [f"{len(rows)} mixtures of {split} speakers" for split, rows in listed.groupby("split", sort=False)]
    return (f"The main run was trained on {trained['utterance']} utterances of {trained['speaker']} speakers. Its "
            f"models were chosen on {speakers('validation', 0)} others, and scored on {' and '.join(scored)}, "
            f"{config['evaluation']['seconds']} s each; {speakers('unseen', 0)} speakers are unseen. Each system had "
            f"the same mixtures, and training ended after the same {limit}:")


def _about(what: str, run: Path) -> list[str]:
    """Say what a run was: cells of a table, without paths of this machine."""
    version, config = json.loads((run / "version.json").read_text("utf-8")), _config(run)
    starts = [version, *version.get("resumed", [])]
    commands = dict.fromkeys(redact_paths(start.get("command", ""), config, run) for start in starts)
    codes = dict.fromkeys(start["git_commit"] for start in starts)
    return [what, "<br>".join(f"`{command}`" for command in commands), ", ".join(codes), version["started"][:10],
            _machine(version)]


def _timed(timing: Path | None) -> list[list[str]]:
    """Say how the times were measured: a row of the same table, if they were."""
    if timing is None or not timing.with_suffix(".json").exists():
        return []
    about = json.loads(timing.with_suffix(".json").read_text("utf-8"))
    # Without folders, which are those of one machine.
    command = shlex.join(re.sub(r"(^|=)[^=]*/", r"\1", word) for word in shlex.split(about["command"]))
    return [["timing", f"`{command}`", about["git_commit"], about["started"][:10], _machine(about)]]


def _machine(version: dict) -> str:
    """Say what machine it was."""
    return version["platform"] + (f", {version['cores']} cores" if "cores" in version else "")


def _config(run: Path) -> dict:
    """Read the settings of a run."""
    return yaml.safe_load((run / "config.yaml").read_text("utf-8"))


def _scored(run: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Read the scores of a run, and the mixtures that were scored; ids of speakers are no numbers."""
    return pd.read_csv(run / "mixtures.csv"), pd.read_csv(
        run / "evaluation.csv", dtype=dict.fromkeys([f"speaker_{place}" for place in range(1, 10)], str))


def _trained(run: Path) -> pd.DataFrame:
    """Read what the training of a run's systems took; that of models of other runs, too, if these are still there."""
    parts = [pd.read_csv(run / "systems.csv")]
    for system in _config(run)["others"].values():
        path = system.get("build", {}).get("path")  # of a saved model: a run, or one of its systems/
        folders = [] if path is None else [Path(path), *Path(path).parents[:2]]
        folder = next((folder for folder in folders if (folder / "systems.csv").is_file()), None)
        if folder is not None:
            theirs = pd.read_csv(folder / "systems.csv")
            name = _config(folder)["method"]["name"] if folder == Path(path) else Path(path).name
            parts.append(theirs[theirs["system"] == name].assign(system=system["name"]))
    return pd.concat(parts)


def _variants(run: Path) -> dict[str, str]:
    """Return what SCE and each of its variants in a run is, by name."""
    config = _config(run)
    return {system["name"]: system.get("about", "") for system in (config["method"], *config["others"].values())
            if system["name"] == "sce" or system["name"].startswith("sce_")}


def _require_times(timing: Path) -> None:
    """Raise UserError unless a file is a table of `timing.py`."""
    how = "write one with python -m lab41_sce.article.timing --out timing.csv"
    if not timing.is_file():
        raise UserError(f"{timing} is not there; {how}.")
    try:
        columns = set(pd.read_csv(timing).columns)
    except (ValueError, OSError):
        columns = set()
    if missing := [name for name in COLUMNS if name not in columns]:
        raise UserError(f"{timing} is no table of times (it has no column `{missing[0]}`); {how}.")


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

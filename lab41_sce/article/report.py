"""Runs become one report on the article: REPORT.md, report.html (the same with its pictures inside) and figures/."""

import re
from collections.abc import Sequence
from pathlib import Path

import markdown
import pandas as pd

from lab41_sce.article import draw
from lab41_sce.article.changes import measured_costs
from lab41_sce.article.finished_run import check_finished, sce_variants
from lab41_sce.article.judging import judge
from lab41_sce.article.over_seeds import check_seeds
from lab41_sce.article.report_text import IN_NOISE, compose
from lab41_sce.article.timing import COLUMNS
from lab41_sce.atomic_write import lock, make_folder, write_text
from lab41_sce.errors import UserError
from lab41_sce.reporting.figures import save
from lab41_sce.reporting.page import data_uri, page
from lab41_sce.runs.renamed_settings import load_config


def write(run: Path, out: Path, timing: Path | None = None, ablation: Path | None = None,
          noisy: Path | None = None, seeds: Sequence[Path] = (),
          changed: Sequence[Path] = (), article_size: Path | None = None) -> Path:
    """Write the report.

    Args:
        run: folder of a finished run, preferably of `+exp=compare`, with the method SCE and deep clustering among its
            other systems.
        out: folder to write to. It is made if it does not exist; an earlier report in it is replaced.
        timing: table that `lab41_sce.article.timing` wrote.
        ablation: folder of a finished run of `+exp=ablation`.
        noisy: folder of a finished run of `+exp=noisy`.
        seeds: folders of finished runs that differ from the main run only in the seed.
        changed: folders of finished runs that differ from the main run in one choice, whose costs are measured.
        article_size: folder of a finished run with the article's sizes, for Figure 6.

    Returns:
        Path of `REPORT.md`.

    Raises:
        UserError: if a run or a table is missing or unsuitable.
    """
    folders = {"main": run} | {f"seed {number}": folder for number, folder in enumerate(seeds, start=2)}
    folders |= {f"change {number}": folder for number, folder in enumerate(changed, start=1)}
    others = {"article's size": article_size, "ablation": ablation, "noisy": noisy}
    folders |= {part: folder for part, folder in others.items() if folder is not None}
    for part, folder in folders.items():
        check_finished(folder, part)
    if seeds:
        check_seeds([run, *seeds])
    if timing is not None:
        _check_timing(timing)
    if noisy is not None:
        for setting in ("training_snr_db", "evaluation_snr_db"):
            if not load_config(noisy).get("noise", {}).get(setting):
                raise UserError(f"{noisy} was not trained and scored with noise (noise.{setting}); give a run of "
                                "+exp=noisy.")
    if ablation is not None and len(sce_variants(ablation)) < 2:
        raise UserError(f"{ablation} has no variants of SCE (systems with names that begin with sce_); give a run of "
                        "+exp=ablation.")
    if out.resolve() in {folder.resolve() for folder in folders.values()}:
        raise UserError(f"--out {out} is the run itself, and its report.html would be replaced; choose another folder.")
    claims = judge(run, timing, ablation, noisy, seeds)
    costs = measured_costs(run, changed) if changed else None
    make_folder(out)
    with lock(out / ".report.lock", f"another process writes the report in {out}; wait until it has finished, or "
              "choose another --out."):
        pictures = [file.stem for file in draw.write_figures(run, out / "figures", seeds, article_size)]
        if noisy is not None:
            for suffix in (".png", ".svg"):
                save(draw.draw(noisy)[IN_NOISE], out / "figures" / f"{IN_NOISE}{suffix}")
        text = compose(folders, claims, pictures, timing, costs)
        html = _html(text)
        html = re.sub(r"<table>.*?</table>", r'<div class="scroll" tabindex="0">\g<0></div>', html, flags=re.DOTALL)
        for file in (out / "figures").glob("*.png"):
            html = html.replace(f'src="figures/{file.name}"', f'src="{data_uri("image/png", file.read_bytes())}"')
        html = page("Source-contrastive estimation, reproduced", f'<main class="text">{html}</main>')
        write_text(out / "report.html", html)
        write_text(out / "REPORT.md", text)
    return out / "REPORT.md"


def _html(text: str) -> str:
    """Convert Markdown to HTML with a table of contents; HTML in it, which may be a stranger's, is shown as text."""
    converter = markdown.Markdown(extensions=["tables", "toc"], extension_configs={"toc": {"toc_depth": "2-3"}})
    converter.preprocessors.deregister("html_block")
    converter.inlinePatterns.deregister("html")
    title, end, body = converter.convert(text).partition("</h1>")
    return f'{title}{end}<nav aria-label="Contents">{converter.toc}</nav>{body}'  # type: ignore[attr-defined]


def _check_timing(timing: Path) -> None:
    """Raise UserError unless a file is a table of `timing.py`."""
    advice = "write one with python -m lab41_sce.article.timing --out timing.csv"
    if not timing.is_file():
        raise UserError(f"{timing} does not exist; {advice}.")
    try:
        columns = set(pd.read_csv(timing).columns)
    except (ValueError, OSError):
        columns = set()
    if missing := [name for name in COLUMNS if name not in columns]:
        raise UserError(f"{timing} is not a table of times (it has no column `{missing[0]}`); {advice}.")

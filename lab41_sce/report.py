"""Turn the folder of a run into a table and a page to read, look at and listen to.

    summary.csv                                                     -> table.md
    all CSV files, examples/*/*.wav, config.yaml and version.json   -> report.html

The page follows from these files alone and stands alone: pictures and sounds are inside it, nothing is
fetched. Only summary.csv must exist; what needs another file that is missing is left out.
"""

import base64
import io
import itertools
import json
from collections.abc import Mapping, Sequence
from html import escape
from importlib import resources
from pathlib import Path
from string import Template

import numpy as np
import pandas as pd
import soundfile
import yaml
from matplotlib.figure import Figure
from PIL import Image

from lab41_sce import audio, figures
from lab41_sce.errors import UserError
from lab41_sce.files import write_whole

METRICS = ("SDRi", "SIRi", "SAR", "SI-SDRi")
ABSENT = "–"
CAPTION = "Means over n mixtures in dB, with 95 % intervals in brackets."
SUMMARY_COLUMNS = ("system", "split", "kind", "metric", "mean", "low", "high", "n")
FOLDED = "<details><summary>Every setting of this run</summary><pre>{}</pre></details>"


def markdown_table(summary: pd.DataFrame, metrics: Sequence[str] = METRICS) -> str:
    """Lay a summary out as a GitHub Markdown table that also reads well in a terminal.

    Args:
        summary: rows of `summary.csv`, with the columns `SUMMARY_COLUMNS`; means and intervals in dB.
        metrics: the first is shown for each kind of mixture with its 95 % interval; the others for All, if
            the summary has them.

    Returns:
        A row for each split and system, the reference systems last in their split; no newline at the end.

    Raises:
        UserError: if the summary lacks a column or the first metric.
    """
    heads, rows = _cells(summary, metrics)
    lines = [["split", "system", *heads], *([split, _words(system), *cells] for split, system, cells in rows)]
    lines = [[cell.replace("|", "\\|") for cell in line] for line in lines]
    widths = [max(3, *map(len, column)) for column in zip(*lines, strict=True)]
    rule = ["-" * width if place < 2 else "-" * (width - 1) + ":" for place, width in enumerate(widths)]
    justify = [str.ljust, str.ljust] + [str.rjust] * len(heads)
    padded = [[put(*cell) for put, *cell in zip(justify, line, widths, strict=True)] for line in lines]
    return "\n".join(f"| {' | '.join(line)} |" for line in [padded[0], rule, *padded[1:]])


def write_report(run_folder: str | Path) -> Path:
    """Write `table.md` and the self-contained `report.html` of a run into its folder.

    Args:
        run_folder: holds at least `summary.csv`; this module's docstring names the other files.

    Returns:
        Path of `report.html`.

    Raises:
        UserError: if `summary.csv` is missing or no summary, or the sound of an example cannot be read.
    """
    run = Path(run_folder)
    summary = _read_table(run / "summary.csv")
    if summary.empty:
        raise UserError(f"{run} has no scores yet (summary.csv): let the run finish before its report.")
    table = markdown_table(summary)  # first, for it looks whether the summary is one
    files = (run / "config.yaml", run / "version.json")
    config_text, version = (file.read_text("utf-8") if file.exists() else "" for file in files)
    config = yaml.safe_load(config_text) or {}
    history = _read_table(run / "history.csv")
    curves = "" if history.empty else _picture(figures.training_curves(history), "Losses and scores by time.")
    template = resources.files("lab41_sce").joinpath("report.html.template").read_text("utf-8")
    page = Template(template).substitute(
        title=escape(f"Speech separation: {config.get('name', run.resolve().name)}"),
        lead=_lead(summary),
        run=_section("What was run", _facts(config, json.loads(version or "{}"), history)),
        table=_table(summary),
        bars=_picture(figures.scores(summary, METRICS[0]), "Bars of SDRi: the numbers of the table above."),
        training=_section("Training", curves),
        examples=_section("Examples to hear", _examples(run)),
        configuration=_section("Configuration", config_text and FOLDED.format(escape(config_text))),
    )
    write_whole(run / "table.md", lambda file: file.write_text(f"{table}\n\n{CAPTION}\n", "utf-8"))
    write_whole(run / "report.html", lambda file: file.write_text(page, "utf-8"))
    return run / "report.html"


def _cells(summary: pd.DataFrame, metrics: Sequence[str]) -> tuple[list[str], list[tuple]]:
    """Turn a summary into column heads and rows of (split, system, cells), all of it text."""
    missing = [column for column in SUMMARY_COLUMNS if column not in summary]
    if missing:
        raise UserError(f"The summary of scores lacks {', '.join(missing)}: evaluate the run again.")
    first, others = metrics[0], [metric for metric in metrics[1:] if metric in set(summary["metric"])]
    kinds = figures.ordered_kinds(summary.loc[summary["metric"] == first, "kind"])
    if not kinds:
        raise UserError(f"The summary of scores has no {first}: evaluate the run again.")
    columns = [*((first, kind) for kind in kinds), *((metric, "All") for metric in others)]
    means = {(row.split, row.system, row.metric, row.kind): row for row in summary.itertuples()}
    rows = []
    for split in dict.fromkeys(summary["split"]):
        for system in figures.ordered_systems(summary.loc[summary["split"] == split, "system"]):
            found = [means.get((split, system, *column)) for column in columns]
            cells = [_mean(row, with_interval=place < len(kinds)) for place, row in enumerate(found)]
            of_all = means.get((split, system, first, "All"))
            rows.append((split, system, [*cells, f"{of_all.n:.0f}" if of_all else ABSENT]))
    return [*(f"{first} {kind}" for kind in kinds), *others, "n"], rows


def _mean(row, with_interval: bool) -> str:
    """Turn a row of the summary into text such as `5.3 [4.9, 5.7]`."""
    if row is None or not np.isfinite(row.mean):
        return ABSENT
    has_interval = with_interval and np.isfinite([row.low, row.high]).all()
    return _decibels(row.mean) + (f" [{_decibels(row.low)}, {_decibels(row.high)}]" if has_interval else "")


def _decibels(value: float) -> str:
    """Round to a tenth of a decibel, without the sign of a negative zero."""
    return f"{round(value, 1) + 0.0:.1f}"


def _words(name: str) -> str:
    """Turn an identifier into words."""
    return name.replace("_", " ")


def _lead(summary: pd.DataFrame) -> str:
    """State the main result: the mean improvement by system and split."""
    rows = summary[(summary["metric"] == METRICS[0]) & (summary["kind"] == "All")].itertuples()
    gains = ", ".join(f"<b>{_decibels(row.mean)}&nbsp;dB</b> ({escape(f'{_words(row.system)}, {row.split}')})"
                      for row in rows if not figures.is_reference(row.system))
    return gains and f'<p class="lead">Mean improvement of the signal-to-distortion ratio: {gains}.</p>'


def _section(title: str, html: str) -> str:
    """Make a section, or nothing of nothing."""
    return f"<section><h2>{title}</h2>{html}</section>" if html else ""


def _facts(config: Mapping, version: Mapping, history: pd.DataFrame) -> str:
    """Say what was run."""
    software = dict(version)
    facts = {"Command": software.pop("command", None), "Started": software.pop("started", None),
             "Software": ", ".join(f"{name} {value}" for name, value in software.items() if value),
             "Seed": str(config.get("seed", ""))}
    if not history.empty:
        facts["Trained"] = f"{history['minutes'].max():.1f} minutes, {history['update'].max():,.0f} updates"
    for part, value in config.items():
        if isinstance(value, Mapping):  # on one line, without the outer braces
            line = yaml.safe_dump(value, default_flow_style=True, sort_keys=False, width=10**6)
            facts[_words(part).capitalize()] = line.strip()[1:-1]
    terms = "".join(f"<dt>{escape(term)}</dt><dd>{escape(fact)}</dd>" for term, fact in facts.items() if fact)
    return terms and f"<dl>{terms}</dl>"


def _table(summary: pd.DataFrame) -> str:
    """Make the HTML table of the scores."""
    heads, rows = _cells(summary, METRICS)
    columns = "".join(f'<th scope="col">{escape(head)}</th>' for head in ["system", *heads])
    html = f"<thead><tr>{columns}</tr></thead>"
    for split, group in itertools.groupby(rows, key=lambda row: row[0]):
        html += f'<tbody><tr><th scope="rowgroup" colspan="{len(heads) + 1}">{escape(split)}</th></tr>'
        for _, system, cells in group:
            style = ' class="reference"' if figures.is_reference(system) else ""
            columns = "".join(f"<td>{cell}</td>" for cell in cells)
            html += f'<tr{style}><th scope="row">{escape(_words(system))}</th>{columns}</tr>'
        html += "</tbody>"
    return f"<table>{html}</table>"


def _examples(run: Path) -> str:
    """Show the examples: what was mixed, its scores, pictures and sounds."""
    scores = _read_table(run / "mixtures.csv").query(f"metric == '{METRICS[0]}'")
    articles = ""
    for row in _read_table(run / "examples.csv").itertuples():
        folder = run / "examples" / row.example
        if not (folder / "mixture.wav").exists():
            continue
        own = scores[(scores["mixture"] == row.mixture) & (scores["split"] == row.split)].itertuples()
        gains = ", ".join(f"{escape(_words(score.system))} {_decibels(score.value)} dB" for score in own)
        about = escape(f"{row.kind}, {row.split} speakers {row.speakers}")
        articles += (f"<article><h3>{escape(row.example)}</h3><p>{about}<br>SDRi: {gains or ABSENT}</p>"
                     f"{_sounds(folder)}</article>")
    return articles


def _sounds(folder: Path) -> str:
    """Show the spectrograms and players of one example."""
    labels = {"mixture": "Mixture"}
    for number in range(1, len(list(folder.glob("reference_*.wav"))) + 1):
        labels[f"reference_{number}"] = f"Speaker {number}, reference (recorded alone)"
        labels[f"estimate_{number}"] = f"Speaker {number}, estimate (separated)"
    signals = {}
    for name, label in labels.items():
        channels, sample_rate_hz = audio.read(folder / f"{name}.wav")
        signals[label] = channels[0]
    # One gain for all: none clips, and their levels stay comparable.
    gain = 1 / max(1, *(np.abs(signal).max() for signal in signals.values()))
    players = ""
    for name, label in labels.items():
        file = io.BytesIO()
        # 16-bit WAV plays in every browser; the scale gives samples that were 16-bit back exactly.
        samples = np.clip(np.round(signals[label] * gain * 32768), -32768, 32767).astype(np.int16)
        soundfile.write(file, samples, sample_rate_hz, format="WAV", subtype="PCM_16")
        data = base64.b64encode(file.getvalue()).decode()
        player = f'<audio controls aria-label="{label}" src="data:audio/wav;base64,{data}"></audio>'
        players += f'<figure class="{name}"><figcaption>{label}</figcaption>{player}</figure>'
    picture = _picture(figures.spectrograms(signals, sample_rate_hz), f"Spectrograms: {'; '.join(signals)}.")
    return f'{picture}<div class="players">{players}</div>'


def _picture(figure: Figure, description: str) -> str:
    """Make a picture, as PNG inside the page."""
    figure.set_dpi(figures.DPI)
    figure.canvas.draw()
    image, file = Image.fromarray(np.asarray(figure.canvas.buffer_rgba())).convert("RGB"), io.BytesIO()
    # 256 colours are enough, and a quarter of the bytes; this method keeps the rare ones, such as of the bar.
    image.quantize(method=Image.Quantize.FASTOCTREE).save(file, format="png", optimize=True)
    data = base64.b64encode(file.getvalue()).decode()
    html = f'<img alt="{escape(description)}" src="data:image/png;base64,{data}">'
    return f'<div class="scroll" tabindex="0">{html}</div>'  # scrolls where it is wider than a phone


def _read_table(path: Path) -> pd.DataFrame:
    """Read a CSV file, no rows if there is none; names stay text even where they look like numbers."""
    names = dict.fromkeys(("system", "split", "kind", "metric", "mixture", "example", "speakers"), str)
    return pd.read_csv(path, dtype=names) if path.exists() else pd.DataFrame(columns=list(names))

"""Turn the folder of a run into tables and a page to read, look at and listen to.

    summary.csv, differences.csv, systems.csv and config.yaml       -> table.md
    all CSV files, examples/*/*.wav, config.yaml and version.json   -> report.html

The page follows from these files alone and stands alone: pictures and sounds are inside it, nothing is
fetched. Only summary.csv must exist; what needs another file that is missing is left out.
"""

import base64
import io
import json
from collections.abc import Mapping
from html import escape
from pathlib import Path

import numpy as np
import pandas as pd
import soundfile
import yaml
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from lab41_sce import audio
from lab41_sce.article.draw import CAPTIONS
from lab41_sce.atomic_write import write_whole
from lab41_sce.errors import UserError
from lab41_sce.reporting import figures, sound_figures, tables
from lab41_sce.reporting.page import page, template
from lab41_sce.reporting.tables import decibels, words

METRIC = tables.METRICS[0]
CAPTION = "Means over n mixtures in dB, with 95 % intervals in brackets."
DIFFERENCES_CAPTION = (
    "Means of {metric} less that of {main} on the same n mixtures, in dB, with 95 % intervals in brackets: above 0 is "
    "better than {main}, below 0 worse. Bold: the interval, of at least {enough}, excludes 0. It says what other "
    "mixtures of these speakers might give, not what other speakers or another training would.")
SYSTEMS_CAPTION = "Updates and minutes are of the whole training; scored is the model of the best update."
FOLDED = "<details><summary>Every setting of this run</summary><pre>{}</pre></details>"


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
    scores = tables.scores(summary)  # first, for it looks whether the summary is one
    files = (run / "config.yaml", run / "version.json")
    config_text, version = (file.read_text("utf-8") if file.exists() else "" for file in files)
    config = yaml.safe_load(config_text) or {}
    main = (config.get("method") or {}).get("name")
    history = _read_table(run / "history.csv")
    more = _more_tables(run, config, main)
    curves = "" if history.empty else _picture(figures.training_curves(history), "What training brought by time.")
    title = f"Speech separation: {config.get('name', run.resolve().name)}"
    body = template("report.html.template").substitute(
        title=escape(title),
        lead=_lead(summary, main),
        run=_section("What was run", _facts(config, json.loads(version or "{}"), history)),
        table=_scrolling(scores, "Scores"),
        dots=_picture(figures.scores(summary, METRIC), f"Dots and whiskers of {METRIC}: the table above as a picture."),
        more="".join(_section(title, _scrolling(table, title) + f"<p>{escape(caption)}</p>")
                     for title, (table, caption) in more.items()),
        figures=_section("The article’s figures", _article_figures(run)),
        training=_section("Training", curves),
        examples=_section("Examples to hear", _examples(run, main)),
        configuration=_section("Configuration", config_text and FOLDED.format(escape(config_text))),
    )
    texts = [f"### {title}\n\n{tables.markdown(table)}\n\n{caption}\n"
             for title, (table, caption) in {"Scores": (scores, CAPTION), **more}.items()]
    write_whole(run / "table.md", lambda file: file.write_text("\n".join(texts), "utf-8"))
    write_whole(run / "report.html", lambda file: file.write_text(page(title, body), "utf-8"))
    return run / "report.html"


def _more_tables(run: Path, config: Mapping, main: str | None) -> dict[str, tuple[tables.Table, str]]:
    """Make the tables that follow the scores, those that have a row: title to table and caption."""
    more, paired = {}, _read_table(run / "differences.csv")
    if main and not paired["system"].map(figures.is_reference).all():
        caption = DIFFERENCES_CAPTION.format(enough=tables.ENOUGH, metric=METRIC, main=words(main))
        more[f"Differences to {words(main)}"] = tables.differences(paired, METRIC), caption
    more["Systems"] = tables.systems(config, _read_table(run / "systems.csv")), SYSTEMS_CAPTION
    return {title: (table, caption) for title, (table, caption) in more.items() if table.rows}


def _separators(summary: pd.DataFrame, split: str) -> dict[str, float]:
    """Return the mean improvement of each separator, the best first."""
    rows = summary[(summary["split"] == split) & (summary["metric"] == METRIC) & (summary["kind"] == "All")]
    means = dict(zip(rows["system"], rows["mean"]))
    return {name: means[name] for name in figures.ranked_systems(rows) if not figures.is_reference(name)}


def _lead(summary: pd.DataFrame, main: str | None) -> str:
    """State the main result: the mean improvement of the run's method by split, and whose is highest."""
    gains = []
    for split in dict.fromkeys(summary["split"]):
        means = _separators(summary, split)
        if not means:
            continue
        best = next(iter(means))
        name = main if main in means else best
        about = f"{words(name)}, {split}"
        if len(means) > 1:
            about += f"; the highest of {len(means)}"
        if name != best:
            about += f" is {words(best)} with {decibels(means[best])} dB"
        gains.append(f"<b>{decibels(means[name])}&nbsp;dB</b> ({escape(about)})")
    text = ", ".join(gains)
    return text and f'<p class="lead">Mean improvement of the signal-to-distortion ratio: {text}.</p>'


def _section(title: str, html: str) -> str:
    """Make a section, or nothing of nothing."""
    return f"<section><h2>{escape(title)}</h2>{html}</section>" if html else ""


def _scrolling(table: tables.Table, name: str) -> str:
    """Put a table into a box of its own, which scrolls where it is wider than a phone."""
    return f'<div class="scroll" tabindex="0" role="region" aria-label="{escape(name)}">{tables.html(table)}</div>'


def _facts(config: Mapping, version: Mapping, history: pd.DataFrame) -> str:
    """Say what was run."""
    software = dict(version)
    resumed = "; ".join(f"{again['started']} {again['git_commit'] or ''}" for again in software.pop("resumed", []))
    facts = {"Command": software.pop("command", None), "Started": software.pop("started", None), "Resumed": resumed,
             "Software": ", ".join(f"{name} {value}" for name, value in software.items() if value),
             "Seed": str(config.get("seed", ""))}
    if not history.empty:
        ends = history.groupby(history.get("system", pd.Series("", history.index)))[["minutes", "update"]].max()
        facts["Trained"] = f"{ends['minutes'].sum():.1f} minutes, {ends['update'].sum():,.0f} updates"
        facts["Trained"] += f", of {len(ends)} systems together" if len(ends) > 1 else ""
    for part, value in config.items():
        if isinstance(value, Mapping) and part != "others":  # on one line, without the outer braces
            line = yaml.safe_dump(value, default_flow_style=True, sort_keys=False, width=10**6)
            facts[words(part).capitalize()] = line.strip()[1:-1]
    terms = "".join(f"<dt>{escape(term)}</dt><dd>{escape(fact)}</dd>" for term, fact in facts.items() if fact)
    return terms and f"<dl>{terms}</dl>"


def _examples(run: Path, main: str | None) -> str:
    """Show the examples: what was mixed, the scores of the separators, pictures and sounds of the run's method."""
    scores = _read_table(run / "mixtures.csv").query(f"metric == '{METRIC}'")
    separators = {system for system in scores["system"] if not figures.is_reference(system)}
    articles = ""
    for row in _read_table(run / "examples.csv").itertuples():
        folder = run / "examples" / row.example
        if not (folder / "mixture.wav").exists():
            continue
        own = scores[(scores["mixture"] == row.mixture) & (scores["split"] == row.split)].itertuples()
        own = sorted((score for score in own if score.system in separators), key=lambda score: -score.value)
        gains = ", ".join(f"{escape(words(score.system))} {decibels(score.value)} dB" for score in own)
        about = escape(f"{row.kind}, {row.split} speakers {row.speakers}")
        articles += (f"<article><h3>{escape(row.example)}</h3><p>{about}<br>{METRIC}: {gains or tables.ABSENT}</p>"
                     f"{_sounds(folder)}</article>")
    whose = f"Estimates are those of {words(main or 'the run’s method')}; of the other systems only scores were kept."
    return (f"<p>{escape(whose)}</p>" if articles and len(separators) > 1 else "") + articles


def _article_figures(run: Path) -> str:
    """Show the article's figures, if the run has drawn them."""
    html = ""
    for name, caption in CAPTIONS.items():
        file = run / "figures" / f"{name}.png"
        if file.exists():
            data = base64.b64encode(file.read_bytes()).decode()
            html += (f'<div class="scroll" tabindex="0"><img alt="{escape(caption)}" '
                     f'src="data:image/png;base64,{data}"></div><p class="quiet">{escape(caption)}</p>')
    return html


def _sounds(folder: Path) -> str:
    """Show the spectrograms and players of one example."""
    labels = {"mixture": "Mixture"}
    for number in range(1, len(list(folder.glob("reference_*.wav"))) + 1):
        labels[f"reference_{number}"] = f"Speaker {number}, reference (alone)"
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
    picture = _picture(sound_figures.spectrograms(signals, sample_rate_hz), f"Spectrograms: {'; '.join(signals)}.")
    return f'{picture}<div class="players">{players}</div>'


def _picture(figure: Figure, description: str) -> str:
    """Make a picture, as PNG inside the page."""
    figure.set_dpi(figures.DPI)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    image, file = Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB"), io.BytesIO()
    # 256 colours are enough, and a quarter of the bytes; this method keeps the rare ones, such as of the bar.
    image.quantize(method=Image.Quantize.FASTOCTREE).save(file, format="png", optimize=True)
    data = base64.b64encode(file.getvalue()).decode()
    html = f'<img alt="{escape(description)}" src="data:image/png;base64,{data}">'
    return f'<div class="scroll" tabindex="0">{html}</div>'  # scrolls where it is wider than a phone


def _read_table(path: Path) -> pd.DataFrame:
    """Read a CSV file, no rows if there is none; names stay text even where they look like numbers."""
    names = dict.fromkeys(("system", "split", "kind", "metric", "mixture", "example", "speakers"), str)
    return pd.read_csv(path, dtype=names) if path.exists() else pd.DataFrame(columns=list(names))

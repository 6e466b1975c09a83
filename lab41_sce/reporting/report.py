"""The folder of a run becomes tables and a page with figures and sounds.

    summary.csv, differences.csv, systems.csv, config.yaml                              -> table.md
    these, history.csv, mixtures.csv, examples.csv, examples/, figures/, version.json   -> report.html

The page depends on these files only and contains its pictures and sounds, so it can be opened without a network. Only
summary.csv must exist; the parts of the page that need a missing file are left out.
"""

import io
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
from lab41_sce.atomic_write import write_text
from lab41_sce.errors import UserError
from lab41_sce.evaluation import definitions
from lab41_sce.evaluation.metrics import MAIN_METRIC
from lab41_sce.plain_data import read_json, read_yaml
from lab41_sce.reporting import figures, sound_figures, tables
from lab41_sce.reporting.ordering import is_reference, ranked_systems, words
from lab41_sce.reporting.page import data_uri, page, picture, template
from lab41_sce.reporting.run_files import read_table
from lab41_sce.reporting.tables import decibels

CAPTION = ("Means over n mixtures, with 95 % intervals in brackets. A score of one mixture has no interval, nor has an "
           "All that contains it. {definitions}")
DIFFERENCES_CAPTION = (
    "Mean {metric} of each system minus that of {main} on the same n mixtures, in dB, with 95 % intervals in brackets. "
    "Values above 0 are better than {main}. Bold: the interval excludes 0 and n is at least {enough}. The intervals "
    "cover other mixtures of the same speakers, but not other speakers or another training.")
SYSTEMS_CAPTION = (
    "Updates and minutes count the whole training. The scored model is the one after the update in the last column.")
SETTINGS = "<details><summary>All settings of this run</summary><pre>{}</pre></details>"


def write_report(run_folder: str | Path, captions: Mapping[str, str] | None = None) -> Path:
    """Write `table.md` and the self-contained `report.html` of a run into its folder.

    Args:
        run_folder: folder that contains at least `summary.csv`; this module's docstring lists the other files.
        captions: captions of the PNG files in `figures/` by name without suffix, in the order of the page. Files
            without a caption are left out.

    Returns:
        Path of `report.html`.

    Raises:
        UserError: if `summary.csv` is missing or lacks a column, or the audio of an example cannot be read.
    """
    run = Path(run_folder)
    summary = read_table(run / "summary.csv")
    if summary.empty:
        raise UserError(f"{run} has no scores yet (summary.csv); finish the run first, with resume=true.")
    scores = tables.scores(summary)  # first, because it checks the columns of the summary
    config, version = (read(run / name) if (run / name).exists() else {} for read, name in
                       ((read_yaml, "config.yaml"), (read_json, "version.json")))
    caption = CAPTION.format(definitions=definitions.caption(set(tables.METRICS) & set(summary["metric"])))
    main = (config.get("method") or {}).get("name")
    history = read_table(run / "history.csv")
    more = _more_tables(run, config, main)
    curves = ""
    if not history.empty:
        curves = _picture(figures.training_curves(history), "Loss and improvement over the time of training.")
    title = f"Speech separation: {config.get('name', run.resolve().name)}"
    results = template("results.html.template").substitute(
        table=_scrolling(scores, "Scores") + f"<p>{escape(caption)}</p>",
        dots=_picture(figures.scores(summary, MAIN_METRIC), f"{MAIN_METRIC} of each system, as in the table."))
    sections = {
        "Results": results,
        **{title: _scrolling(table, title) + f"<p>{escape(about)}</p>" for title, (table, about) in more.items()},
        "Listening examples": _examples(run, main),
        "The article’s figures": _figures(run, captions or {}),
        "Training": curves,
        "What was run": _facts(config, version, history),
        "Configuration": _settings(config),
    }
    body = _body(title, _lead(summary, main), {title: html for title, html in sections.items() if html})
    texts = [f"### {title}\n\n{tables.markdown(table)}\n\n{caption}\n"
             for title, (table, caption) in {"Scores": (scores, caption), **more}.items()]
    write_text(run / "table.md", "\n".join(texts))
    write_text(run / "report.html", page(title, body))
    return run / "report.html"


def _more_tables(run: Path, config: Mapping, main: str | None) -> dict[str, tuple[tables.Table, str]]:
    """Return table and caption by title for the tables after the scores, without empty ones."""
    more, paired = {}, read_table(run / "differences.csv")
    if main and not paired["system"].map(is_reference).all():
        caption = DIFFERENCES_CAPTION.format(enough=tables.MIN_MIXTURES, metric=MAIN_METRIC, main=words(main))
        more[f"Differences from {words(main)}"] = tables.differences(paired, MAIN_METRIC), caption
    more["Systems"] = tables.systems(config, read_table(run / "systems.csv")), SYSTEMS_CAPTION
    return {title: (table, caption) for title, (table, caption) in more.items() if table.rows}


def _separators(summary: pd.DataFrame, split: str) -> dict[str, float]:
    """Return the mean improvement of each system that is not a reference, the best first."""
    rows = summary[(summary["split"] == split) & (summary["metric"] == MAIN_METRIC) & (summary["kind"] == "All")]
    means = dict(zip(rows["system"], rows["mean"]))
    return {name: means[name] for name in ranked_systems(rows) if not is_reference(name)}


def _lead(summary: pd.DataFrame, main: str | None) -> str:
    """State the main result: the mean improvement of the run's method in each split, and the best system."""
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


def _body(title: str, lead: str, sections: Mapping[str, str]) -> str:
    """Put the HTML of sections, by heading, below a title and a table of contents."""
    contents = main = ""
    for number, (heading, html) in enumerate(sections.items(), start=1):
        contents += f'<li><a href="#section-{number}">{escape(heading)}</a></li>'
        main += f'<section id="section-{number}"><h2>{escape(heading)}</h2>{html}</section>'
    return (f"<header><h1>{escape(title)}</h1>{lead}</header>"
            f'<nav aria-label="Contents"><ol>{contents}</ol></nav><main>{main}</main>')


def _scrolling(table: tables.Table, name: str) -> str:
    """Put a table into a box that scrolls if the table is wider than the screen."""
    return f'<div class="scroll" tabindex="0" role="region" aria-label="{escape(name)}">{tables.html(table)}</div>'


def _settings(config: Mapping) -> str:
    """Show all settings of a run as YAML."""
    return SETTINGS.format(escape(yaml.safe_dump(dict(config), sort_keys=False))) if config else ""


def _facts(config: Mapping, version: Mapping, history: pd.DataFrame) -> str:
    """List command, software, settings and length of training."""
    software = dict(version)
    resumed = "; ".join(f"{again.get('started')} {again.get('git_commit') or ''}"
                        for again in software.pop("resumed", []))
    speech = "; ".join(software.pop("speech", []))
    facts = {"Command": software.pop("command", None), "Started": software.pop("started", None), "Resumed": resumed,
             "Software": ", ".join(f"{name} {value}" for name, value in software.items() if value),
             "Speech": speech, "Seed": str(config.get("seed", ""))}
    if not history.empty:
        ends = history.groupby(history.get("system", pd.Series("", history.index)))[["minutes", "update"]].max()
        facts["Trained"] = f"{ends['minutes'].sum():.1f} minutes, {ends['update'].sum():,.0f} updates"
        facts["Trained"] += f", over {len(ends)} systems" if len(ends) > 1 else ""
    for part, value in config.items():
        if isinstance(value, Mapping) and part != "others":  # on one line, without the outer braces
            line = yaml.safe_dump(value, default_flow_style=True, sort_keys=False, width=10**6)
            facts[words(part).capitalize()] = line.strip()[1:-1]
    terms = "".join(f"<dt>{escape(term)}</dt><dd>{escape(str(fact))}</dd>" for term, fact in facts.items() if fact)
    return terms and f"<dl>{terms}</dl>"


def _examples(run: Path, main: str | None) -> str:
    """Show each example: its speakers, the scores of the systems, and the signals of the run's method."""
    scores = read_table(run / "mixtures.csv").query(f"metric == '{MAIN_METRIC}'")
    separators = {system for system in scores["system"] if not is_reference(system)}
    articles = ""
    for row in read_table(run / "examples.csv").itertuples():
        folder = run / "examples" / row.example
        if Path(row.example).name != row.example or not (folder / "mixture.wav").exists():
            continue
        own = scores[(scores["mixture"] == row.mixture) & (scores["split"] == row.split)].itertuples()
        own = sorted((score for score in own if score.system in separators), key=lambda score: -score.value)
        gains = ", ".join(f"{escape(words(score.system))} {decibels(score.value)} dB" for score in own)
        about = escape(f"{row.kind}, {row.split} speakers {row.speakers}")
        articles += (f"<article><h3>{escape(row.example)}</h3><p>{about}<br>{MAIN_METRIC}: {gains or tables.ABSENT}</p>"
                     f"{_sounds(folder)}</article>")
    source = f"Estimates are from {words(main or 'the run’s method')}. The run kept no audio of the other systems."
    return (f"<p>{escape(source)}</p>" if articles and len(separators) > 1 else "") + articles


def _figures(run: Path, captions: Mapping[str, str]) -> str:
    """Show the figures of the run that have a caption."""
    html = ""
    for name, caption in captions.items():
        file = run / "figures" / f"{name}.png"
        if file.exists():
            html += f'{picture(file.read_bytes(), caption)}<p class="quiet">{escape(caption)}</p>'
    return html


def _sounds(folder: Path) -> str:
    """Show spectrograms and audio players of one example."""
    labels = {"mixture": "Mixture"}
    for number in range(1, len(list(folder.glob("reference_*.wav"))) + 1):
        labels[f"reference_{number}"] = f"Speaker {number}, reference (alone)"
        labels[f"estimate_{number}"] = f"Speaker {number}, estimate (separated)"
    signals = {}
    for name, label in labels.items():
        channels, sample_rate_hz = audio.read(folder / f"{name}.wav")
        signals[label] = channels[0]
    # The same gain for all signals, so that none clips and their levels stay comparable.
    gain = 1 / max(1, *(np.abs(signal).max() for signal in signals.values()))
    players = ""
    for name, label in labels.items():
        file = io.BytesIO()
        # Every browser plays 16-bit WAV. With this scale, samples that were 16-bit come back exactly.
        samples = np.clip(np.round(signals[label] * gain * 32768), -32768, 32767).astype(np.int16)
        soundfile.write(file, samples, sample_rate_hz, format="WAV", subtype="PCM_16")
        player = f'<audio controls aria-label="{label}" src="{data_uri("audio/wav", file.getvalue())}"></audio>'
        players += f'<figure class="{name}"><figcaption>{label}</figcaption>{player}</figure>'
    picture = _picture(sound_figures.spectrograms(signals, sample_rate_hz), f"Spectrograms: {'; '.join(signals)}.")
    return f'{picture}<div class="players">{players}</div>'


def _picture(figure: Figure, description: str) -> str:
    """Draw a figure as a PNG image inside the page."""
    figure.set_dpi(figures.DPI)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    image, file = Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB"), io.BytesIO()
    # A palette of 256 colours takes a quarter of the bytes. This method keeps rare colours (the colour bar).
    image.quantize(method=Image.Quantize.FASTOCTREE).save(file, format="png", optimize=True)
    return picture(file.getvalue(), description)

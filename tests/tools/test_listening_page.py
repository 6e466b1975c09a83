"""The sounds of `docs/listen.md` are the mixtures and voices that its numbers are about."""

import re
from pathlib import Path

import numpy as np
import pytest

from lab41_sce import audio
from lab41_sce.evaluation.metrics import si_sdr_improvement
from lab41_sce.examples import EXAMPLES

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "listen.md").read_text("utf-8")
SECTIONS = {re.search(r"\(listen/(\w+)\.png\)", text)[1]: text for text in PAGE.split("\n## ")[1:]}


def sounds(name):
    """Read the mixture and the voices of a section, float32 `[1 + S, N]`."""
    files = re.findall(r'src="(listen/.*?\.mp3)"', SECTIONS[name])
    return np.stack([audio.read_mono(DOCS / file, 16000) for file in files])


@pytest.mark.parametrize("name", SECTIONS)
def test_voices_add_up_to_the_mixture(name):
    mixture, *voices = sounds(name)
    difference = mixture - np.sum(voices, axis=0)
    assert np.square(difference).mean() < 0.01 * np.square(mixture).mean()  # MP3 is lossy


@pytest.mark.parametrize("example", [path.stem for path in EXAMPLES])
def test_the_number_of_an_example_is_that_of_its_sounds(example, monkeypatch):
    monkeypatch.syspath_prepend(str(DOCS.parent / "tools" / "assets"))
    from make_examples import UTTERANCES, load, overlap

    stated_db = float(re.search(r"\*\*(-?[\d.]+) dB\*\*", SECTIONS[example])[1])
    mixture, *voices = sounds(example)
    sources = overlap(map(load, UTTERANCES[example]))
    length = min(sources.shape[1], len(mixture))
    measured_db = si_sdr_improvement(sources[:, :length], mixture[:length], np.stack(voices)[:, :length])
    assert measured_db == pytest.approx(stated_db, abs=0.8)  # MP3 costs up to 0.5 dB

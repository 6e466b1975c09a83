"""Mixtures of the embedded corpus's synthetic speech, to try the separation on (`tools/assets/make_examples.py`)."""

from pathlib import Path

FOLDER = Path(__file__).parent
EXAMPLES = [FOLDER / f"{name}.wav" for name in ("mixture", "two_women", "three_people")]

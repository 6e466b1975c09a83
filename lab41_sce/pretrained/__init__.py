"""The model that is shipped with the package; MODEL_CARD.md says what it is."""

from pathlib import Path

MODEL = Path(__file__).parent / "sce.keras"

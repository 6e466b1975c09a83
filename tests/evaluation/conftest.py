"""A small evaluation set of unseen speakers."""

import pytest

from lab41_sce.data import librispeech, splits
from lab41_sce.data.evaluation_set import draw_evaluation_set
from lab41_sce.data.speech import Speech


@pytest.fixture(scope="module")
def evaluation_set(corpus_root):
    """Return speech and four mixtures (FF, FM, MF, MM) of unseen speakers."""
    utterances = splits.split(librispeech.load(corpus_root, ["train"]), 2)
    speech = Speech(utterances, 10000)
    return speech, draw_evaluation_set(speech, utterances, "unseen", 2, 1, 1.5, 0.95)

"""A loaded `Separator` in other threads and processes: it works there, or is refused in a sentence."""

import multiprocessing
import os
import pickle
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from lab41_sce.errors import UserError
from lab41_sce.separation.separator import Separator

SIGNAL = 0.1 * np.random.default_rng(0).standard_normal(8000).astype(np.float32)
SECONDS = 60  # to wait for a process; without the refusal, a fork would wait for ever


def separate(separator):
    return separator.separate(SIGNAL, 10000, 2).voices


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.parametrize("use", ["inherited", "sent", "loaded again"])
def test_a_fork_is_refused(tiny_model, use):
    separator = Separator(tiny_model)
    separate(separator)
    job = {"inherited": lambda: separate(separator), "loaded again": Separator.from_pretrained}.get(use)
    with multiprocessing.get_context("fork").Pool(1, _remember, (job,)) as pool:
        result = pool.apply_async(_run) if job else pool.apply_async(separator.separate, (SIGNAL, 10000, 2))
        with pytest.raises(UserError, match="cannot be used in a fork .*spawn"):
            result.get(SECONDS)
    separate(separator)  # the parent goes on


def _remember(job):
    """Keep a function that pickle cannot send; a fork inherits it."""
    _run.job = job


def _run():
    return _run.job()


def test_threads_and_a_pickled_copy_give_the_same_voices(tiny_model):
    separator = Separator(tiny_model, window_seconds=30.0)
    copy = pickle.loads(pickle.dumps(separator))
    assert copy.window_seconds == 30.0
    with ThreadPoolExecutor(2) as pool:
        for voices in pool.map(separate, [separator, copy, separator]):
            np.testing.assert_allclose(voices, separate(separator), atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_a_new_process_gives_the_same_voices(tiny_model, method):
    separator = Separator(tiny_model)
    with multiprocessing.get_context(method).Pool(1) as pool:
        voices = pool.apply_async(separate, (separator,)).get(4 * SECONDS)
    np.testing.assert_allclose(voices, separate(separator), atol=1e-5)

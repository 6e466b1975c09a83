"""Fixtures of the reliability campaigns: `make torture`, some hours.

    python -m pytest -m torture tests/reliability [-k faults] [--quick] [--results results/reliability]

Campaigns carry the marker `torture(part)` and run only where `-m` names the marker. The other tests here try the
machinery of the campaigns itself.
"""

import importlib.util
import os
import resource
from pathlib import Path

import numpy as np
import pytest

from reliability import subjects
from reliability.campaign import Campaign

RESULTS = Path(__file__).parents[2] / "results" / "reliability"
N_RECORDINGS = 6


def pytest_addoption(parser):
    parser.addoption("--quick", action="store_true", help="a few cases of each campaign: to check that it works")
    parser.addoption("--results", type=Path, default=RESULTS, help="folder of the campaigns' tables")


def pytest_collection_modifyitems(config, items):
    if "torture" in config.option.markexpr:
        return
    campaigns = [item for item in items if item.get_closest_marker("torture")]
    config.hook.pytest_deselected(items=campaigns)
    items[:] = [item for item in items if item not in campaigns]


@pytest.fixture(scope="session")
def quick(request):
    """Whether to try a few cases only."""
    return request.config.getoption("--quick", default=False)


@pytest.fixture(scope="session")
def results(request):
    return request.config.getoption("--results", default=RESULTS)


@pytest.fixture
def campaign(request, results):
    """The campaign of a test, without any case yet."""
    return Campaign(request.node.get_closest_marker("torture").kwargs["part"], results)


@pytest.fixture(scope="session")
def fuzz(quick):
    """The fuzz tests, imported with more cases."""
    os.environ["FUZZ_CASES"] = "5" if quick else "400"  # of each test; read at the import
    path = Path(__file__).parents[1] / "commands" / "test_fuzz.py"
    spec = importlib.util.spec_from_file_location("fuzz_campaign", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def separator(fuzz):
    """An untrained separator that has separated once, so that its threads and buffers exist."""
    separator = fuzz.untrained()
    separator.separate(np.ones(20000, np.float32), 16000)
    return separator


@pytest.fixture(scope="module")
def limited_memory(separator):
    """Let allocations fail that exceed the present memory by 2 GB, used or not; return the limit in bytes."""
    limit = 2 * 10**9
    in_use = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (in_use + limit, before[1]))
    yield limit
    resource.setrlimit(resource.RLIMIT_AS, before)


@pytest.fixture(scope="session")
def scratch(tmp_path_factory):
    return tmp_path_factory.mktemp("reliability")


@pytest.fixture(scope="session")
def repeats(quick):
    """How often a subject runs undisturbed."""
    return 1 if quick else 2


@pytest.fixture(scope="session")
def corpus(scratch):
    return subjects.make_corpus(scratch / "corpus")


@pytest.fixture(scope="session")
def trained(corpus, scratch, repeats):
    return subjects.experiment(corpus, scratch / "run").measure(repeats)


@pytest.fixture(scope="session")
def separated(scratch, quick, repeats):
    recordings = subjects.make_recordings(scratch / "recordings", 2 if quick else N_RECORDINGS)
    return subjects.separation(recordings, scratch / "voices").measure(repeats)


@pytest.fixture(scope="session")
def reported(trained, scratch, repeats):
    return subjects.article(trained.reference, scratch / "article").measure(repeats)


@pytest.fixture(scope="session")
def stored(corpus, scratch, repeats):
    return subjects.store(corpus, scratch / "store").measure(repeats)


@pytest.fixture
def server(corpus):
    """A server of the corpus as an archive."""
    with subjects.serving(subjects.make_archive(corpus)) as server:
        yield server


@pytest.fixture
def fetched(server, corpus):
    return subjects.download(server, corpus)

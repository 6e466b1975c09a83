"""Mutants: small faults that cosmic-ray puts into the code, one at a time; the tests should notice each.

A sample of each module's mutants, drawn with a fixed seed, is tried in copies of the checkout by the tests named here.
`mutants.csv`, in the folder of the results, lists each mutant and whether it was noticed. `|` occurs in type
annotations only, where a mutant is no fault, and is left alone.
"""

import functools
import os
import random
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pandas as pd
import pytest

from lab41_sce.runs import run_directory

pytestmark = pytest.mark.torture(part="mutants")
ROOT = Path(__file__).parents[2]
MODULES = {"evaluation/metrics.py": ("metrics", "same_scores", "properties"),
           "evaluation/bootstrap.py": ("bootstrap", "metrics"), "models/clustering.py": ("clustering", "properties"),
           "data/splits.py": ("splits", "properties"), "methods/sce.py": ("sce",),
           "methods/deep_clustering.py": ("deep_clustering",), "methods/attractor.py": ("attractor",),
           "methods/pit.py": ("pit",)}
SAMPLE, SEED, MAX_SECONDS = 40, 0, 300  # mutants of each module; duration of the tests of one
# The last two need names of variables, or fail at exceptions of other modules.
LEFT_ALONE = ("BitOr", "core/NoOp", "core/Variable", "core/ExceptionReplacer")


def mutants(code):
    """List all mutants of some code: the name of cosmic-ray's operator, and the number of the place."""
    from cosmic_ray.ast import ast_nodes, get_ast
    from cosmic_ray.plugins import get_operator, operator_names

    nodes = list(ast_nodes(get_ast(code)))
    operators = {name: get_operator(name)() for name in sorted(operator_names())
                 if not any(word in name for word in LEFT_ALONE)}
    return [(name, place) for name, operator in operators.items()
            for place in range(sum(len(list(operator.mutation_positions(node))) for node in nodes))]


def any_fails(checkout, names):
    """Run tests in a checkout; True if one fails, crashes or takes too long."""
    files = [file for name in names for file in checkout.glob(f"tests/*/test_{name}.py")]
    environment = {**os.environ, "PYTHONPATH": str(checkout), "PYTHONDONTWRITEBYTECODE": "1", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", *files]
    try:
        ended = subprocess.run(command, cwd=checkout, env=environment, timeout=MAX_SECONDS, capture_output=True)
    except subprocess.TimeoutExpired:
        return True
    if ended.returncode > 2:  # 2: the module cannot be imported
        raise RuntimeError(f"pytest did not run: {ended.stdout[-2000:]}")
    return ended.returncode != 0


def try_mutant(mutant, module, names, checkouts):
    """Put a mutant into a free checkout, run the tests, and remove it; return a row of `mutants.csv`."""
    from cosmic_ray.mutating import mutate_code
    from cosmic_ray.plugins import get_operator

    code = (ROOT / module).read_text("utf-8")
    changed = mutate_code(code, get_operator(mutant[0])(), mutant[1])
    lines = changed.splitlines()
    line = next((number for number, (before, after) in enumerate(zip(code.splitlines(), lines, strict=False))
                 if before != after), min(len(lines), len(code.splitlines())) - 1)
    checkout = checkouts.pop()
    try:
        (checkout / module).write_text(changed, "utf-8")
        killed = any_fails(checkout, names)
    finally:
        (checkout / module).write_text(code, "utf-8")
        checkouts.append(checkout)
    return {"module": str(module), "operator": mutant[0].removeprefix("core/"), "line": line + 1,
            "mutant": lines[line].strip(), "killed": killed}


@pytest.fixture(scope="module")
def checkouts(tmp_path_factory):
    """Copy the checkout, once for each core."""
    folders = [tmp_path_factory.mktemp("mutants") / "checkout" for _ in range(os.cpu_count() or 1)]
    left_out = shutil.ignore_patterns(".*", "build", "runs")
    for folder in folders:
        shutil.copytree(ROOT, folder, ignore=lambda path, names: left_out(path, names) if Path(path) == ROOT else ())
    return folders


@pytest.mark.parametrize("name", MODULES)
def test_mutants(campaign, checkouts, quick, name):
    pytest.importorskip("cosmic_ray")
    module, names = Path("lab41_sce") / name, MODULES[name]
    assert not any_fails(checkouts[0], names), f"the tests of {module} fail without any mutant"
    possible = mutants((ROOT / module).read_text("utf-8"))
    chosen = random.Random(SEED).sample(possible, min(2 if quick else SAMPLE, len(possible)))
    with ThreadPoolExecutor(len(checkouts)) as pool:
        run = functools.partial(try_mutant, module=module, names=names, checkouts=checkouts)
        table = pd.DataFrame(pool.map(run, chosen))
    campaign.tried, campaign.survived = len(table), table["killed"].sum()
    campaign.write(f"mutants of {module}", f"{len(possible)} possible")
    file = campaign.results / "mutants.csv"
    if file.exists():
        earlier = pd.read_csv(file)
        table = pd.concat([earlier[earlier["module"] != str(module)], table])
    run_directory.write_csv(table, file)

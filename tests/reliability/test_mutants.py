"""Mutants: small faults put into the code by a library (cosmic-ray), one at a time; the tests should notice each.

Of every module's possible mutants, a sample drawn with a fixed seed is tried, each in a copy of the checkout, by the
tests named here. `mutants.csv`, beside the rows, lists each with what became of it. What only changes a type
annotation is no fault, so `|`, which means nothing else here, is left alone. Most of a test's time would be imports:
the tests of a mutant run in a fork of a process that has the libraries already, but nothing of this package.
"""

import functools
import multiprocessing
import os
import random
import shutil
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pandas as pd
from torture import part_main

from lab41_sce.runs import run_directory

ROOT = Path(__file__).parent.parent
MODULES = {"metrics.py": ("metrics", "same_scores", "properties"), "intervals.py": ("intervals", "metrics"),
           "clustering.py": ("clustering", "properties"), "corpora/splits.py": ("corpora", "properties"),
           "methods/sce.py": ("sce",), "methods/deep_clustering.py": ("deep_clustering",),
           "methods/attractor.py": ("attractor",), "methods/pit.py": ("pit",)}
SAMPLE, SEED, SECONDS = 40, 0, 300  # mutants of each module; the longest that tests may take on one
LIBRARIES = ("keras", "tensorflow", "pandas", "scipy.signal", "scipy.stats", "mir_eval.separation", "fast_bss_eval",
             "hypothesis", "soundfile", "soxr", "hydra", "joblib", "sklearn.cluster", "sklearn.decomposition", "tqdm")
# The last two: operators that want to be told names of variables, and one that fails at exceptions of other modules.
LEFT_ALONE = ("BitOr", "core/NoOp", "core/Variable", "core/ExceptionReplacer")


def mutants(code: str) -> list[tuple[str, int]]:
    """List all mutants of some code, as cosmic-ray makes them: an operator's name, and the place's number."""
    from cosmic_ray.ast import ast_nodes, get_ast
    from cosmic_ray.plugins import get_operator, operator_names

    nodes = list(ast_nodes(get_ast(code)))
    found = []
    for name in sorted(operator_names()):
        if not any(word in name for word in LEFT_ALONE):
            operator = get_operator(name)()
            places = sum(len(list(operator.mutation_positions(node))) for node in nodes)
            found += [(name, place) for place in range(places)]
    return found


def run_tests(checkout: Path, names: tuple[str, ...], out: Path) -> None:
    """Run these tests in a checkout, in a process that may be spoilt by it, and exit as pytest does."""
    import pytest

    for name in [name for name in sys.modules if name.partition(".")[0] == "lab41_sce"]:
        del sys.modules[name]
    os.environ |= {"PYTHONPATH": str(checkout), "PYTHONDONTWRITEBYTECODE": "1", "OMP_NUM_THREADS": "1"}
    sys.path.insert(0, str(checkout))
    sys.dont_write_bytecode = True
    os.chdir(checkout)
    with out.open("wb") as told:
        os.dup2(told.fileno(), 1)
        os.dup2(told.fileno(), 2)
    files = [f"tests/test_{name}.py" for name in names]
    os._exit(pytest.main(["-x", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", *files]))


def tests_fail(checkout: Path, names: tuple[str, ...]) -> bool:
    """Run these tests in a checkout; True if one fails or crashes, or takes too long."""
    context, out = multiprocessing.get_context("forkserver"), checkout / "told.txt"
    context.set_forkserver_preload(["pytest", *LIBRARIES])
    process = context.Process(target=run_tests, args=(checkout, names, out))
    process.start()
    process.join(SECONDS)
    if process.is_alive():
        process.kill()
        process.join()
        return True
    if process.exitcode > 2:  # 2: the module cannot even be imported
        raise RuntimeError(f"pytest did not run: {out.read_text()[-2000:]}")
    return process.exitcode != 0


def noticed(mutant: tuple[str, int], module: Path, names: tuple[str, ...], checkouts: list[Path]) -> dict:
    """Put one mutant into a free checkout, run the tests, and take it out again; tell what became of it."""
    from cosmic_ray.mutating import mutate_code
    from cosmic_ray.plugins import get_operator

    code = (ROOT / module).read_text("utf-8")
    changed = mutate_code(code, get_operator(mutant[0])(), mutant[1])
    lines = changed.splitlines()
    line = next((number for number, (ours, theirs) in enumerate(zip(code.splitlines(), lines, strict=False))
                 if ours != theirs), min(len(lines), len(code.splitlines())) - 1)
    checkout = checkouts.pop()
    try:
        (checkout / module).write_text(changed, "utf-8")
        killed = tests_fail(checkout, names)
    finally:
        (checkout / module).write_text(code, "utf-8")
        checkouts.append(checkout)
    print("." if killed else "S", end="", file=sys.stderr, flush=True)
    return {"module": str(module), "operator": mutant[0].removeprefix("core/"), "line": line + 1,
            "mutant": lines[line].strip(), "killed": killed}


def run(campaigns, quick: bool) -> None:
    """Try a sample of the mutants of each module, on all cores."""
    table, cores = [], os.cpu_count() or 1
    with tempfile.TemporaryDirectory() as folder:
        checkouts = [Path(folder) / str(number) for number in range(cores)]
        for checkout in checkouts:
            shutil.copytree(ROOT, checkout, ignore=shutil.ignore_patterns(".git", ".venv", "build", "runs", "*_cache"))
        for name, tests in [*MODULES.items()][: 1 if quick else None]:
            module = Path("lab41_sce") / name
            if tests_fail(checkouts[0], tests):
                raise RuntimeError(f"the tests of {module} fail without any mutant")
            possible = mutants((ROOT / module).read_text("utf-8"))
            chosen = random.Random(SEED).sample(possible, min(2 if quick else SAMPLE, len(possible)))
            with ThreadPoolExecutor(cores) as pool:
                rows = list(pool.map(functools.partial(noticed, module=module, names=tests, checkouts=checkouts),
                                     chosen))
            table += rows
            killed = sum(row["killed"] for row in rows)
            campaigns.add(f"mutants of {module}", len(rows), killed, note=f"{len(possible)} possible")
    run_directory.write_csv(pd.DataFrame(table), campaigns.folder / "mutants.csv")


if __name__ == "__main__":
    part_main(run)

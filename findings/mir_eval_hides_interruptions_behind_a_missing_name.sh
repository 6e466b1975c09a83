#!/usr/bin/env bash
# mir_eval 0.8.2 with NumPy 2.4.6: `mir_eval.separation.bss_eval_sources` while its linear equations are solved.
# Expected: an interruption (Ctrl-C) or a MemoryError there is raised as such; where the equations have no unique
# solution, mir_eval solves them by least squares, as its code intends.
# Seen: both end in an AttributeError, because mir_eval catches `numpy.linalg.linalg.LinAlgError`, a name that this NumPy
# lacks. A program that takes errors for "cannot be scored" then goes on after Ctrl-C with a score of NaN.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet mir_eval==0.8.2 numpy==2.4.6 scipy==1.17.1
cat > "$folder/score.py" <<'PYTHON'
import sys
import warnings

import numpy as np
from mir_eval.separation import bss_eval_sources

warnings.simplefilter("ignore")
rng = np.random.default_rng(0)
references = rng.standard_normal((2, 4000))
estimates = references + 0.1 * rng.standard_normal(references.shape)
solve = np.linalg.solve


def error_of(reason):
    """Return the name of the error that mir_eval raises if solving the equations raises `reason`."""
    def interrupted(*_):
        raise reason

    np.linalg.solve = interrupted
    try:
        bss_eval_sources(references, estimates, compute_permutation=False)
        return "none"
    except BaseException as error:
        return type(error).__name__
    finally:
        np.linalg.solve = solve


seen = {reason.__name__: error_of(reason) for reason in (KeyboardInterrupt, MemoryError, np.linalg.LinAlgError)}
print("raised while solving -> raised by mir_eval:", seen)
sys.exit(set(seen.values()) != {"AttributeError"})
PYTHON
"$folder/venv/bin/python" "$folder/score.py"

"""Names that stand on the page become what separates: a `Separator` for each system.

The shipped model and blind factorisation are always there; a run's folder brings every model that it has trained.
"""

import threading
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from lab41_sce.errors import UserError
from lab41_sce.methods.base import Setup
from lab41_sce.models.front_end import FrontEnd
from lab41_sce.separation.separator import Separator
from lab41_sce.yaml_defaults import with_yaml_defaults

SHIPPED, FACTORISATION = "source-contrastive estimation", "blind factorisation (NMF)"


class Systems:
    """Load each system when it is first asked for, and keep it.

    Args:
        model: a model to take in place of the shipped one: see `Separator.load`.
        run: folder of a run whose trained models are offered, too.

    Attributes:
        names: of the systems, the first of them the usual one.

    Raises:
        UserError: the run has no trained models.
    """

    def __init__(self, model: str | Path | None = None, run: str | Path | None = None):
        first = SHIPPED if model is None else Path(model).name
        self._loaders = {first: Separator.from_pretrained if model is None else lambda: Separator.load(model),
                         FACTORISATION: lambda: Separator(Factorisation())}
        if run is not None:
            files = sorted(Path(run).glob("systems/*/model.keras"))
            if not files:
                raise UserError(f"{run} holds no trained model; give the folder of a run that has trained, such as "
                                "runs/reproduce.")
            for file in files:
                label = f"{file.parent.name.replace('_', ' ')} (of {Path(run).name})"
                self._loaders[label] = partial(Separator.load, file)
        self.names = [*self._loaders]
        self._loaded, self._lock = {}, threading.Lock()

    def load(self, name: str) -> Separator:
        """Return a system's `Separator`.

        Raises:
            UserError: there is no such system, or its model cannot be loaded.
        """
        if name not in self._loaders:
            raise UserError(f"there is no system {name!r}; choose one of {', '.join(self.names)}.")
        with self._lock:
            if name not in self._loaded:
                self._loaded[name] = self._loaders[name]()
            return self._loaded[name]


class Factorisation:
    """Give blind factorisation (`methods/nmf.py`) the face of a model: a front end, and masks of a signal."""

    def __init__(self):
        self.front_end = FrontEnd()
        self._masks = with_yaml_defaults("method/nmf_blind", seed=0)(Setup(self.front_end, None, 2))

    def masks(self, signal: np.ndarray, n_speakers: int) -> np.ndarray:
        """Estimate masks of a signal `[N]`: float32 `[S, T, F]`."""
        return self._masks(_Heard(signal, n_speakers))


class _Heard(NamedTuple):
    """What a system that is not told the sources may look at of a `Mixture`."""

    signal: np.ndarray
    n_speakers: int

"""Names of systems on the page become a `Separator` for each.

The shipped model and blind factorisation are always available; the folder of a run adds every model that it trained.
"""

import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from lab41_sce.errors import UserError
from lab41_sce.models.numpy_front_end import NumpyFrontEnd
from lab41_sce.separation.separator import Separator
from lab41_sce.yaml_defaults import with_yaml_defaults

SHIPPED, FACTORISATION = "source-contrastive estimation", "blind factorisation (NMF)"


class Systems:
    """Load each system on first use, and keep it.

    Args:
        model: a model to offer instead of the shipped one, see `Separator.load`.
        run: folder of a run; its trained models are offered, too.

    Attributes:
        names: of the systems; the first is the default.

    Raises:
        UserError: the run has no trained models.
    """

    def __init__(self, model: str | Path | None = None, run: str | Path | None = None):
        first = SHIPPED if model is None else Path(model).name
        self._loaders: dict[str, Callable[[], Separator]] = {
            first: Separator.from_pretrained if model is None else partial(Separator.load, model),
            FACTORISATION: lambda: Separator(Factorisation())}
        if run is not None:
            files = sorted(Path(run).glob("systems/*/model.keras"))
            if not files:
                raise UserError(f"{run} contains no trained model; give the folder of a run that has trained, such as "
                                "runs/reproduce.")
            for file in files:
                label = f"{file.parent.name.replace('_', ' ')} (of {Path(run).name})"
                self._loaders[label] = partial(Separator.load, file)
        self.names = [*self._loaders]
        self._loaded: dict[str, Separator] = {}
        self._lock = threading.Lock()

    def load(self, name: str) -> Separator:
        """Return the `Separator` of a system.

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
    """Give blind factorisation (`methods/nmf.py`) the interface of a model: a front end, and masks of a signal."""

    def __init__(self) -> None:
        self.front_end = NumpyFrontEnd()
        # This call imports `methods/nmf.py`, and with it Keras; the page without this system does not need them.
        self._masks = with_yaml_defaults("method/nmf_blind", seed=0)(_OnlyFrontEnd(self.front_end))

    def masks(self, mixture: np.ndarray, n_speakers: int) -> np.ndarray:
        """Estimate the masks of a signal `[N]`: float32 `[S, T, F]`."""
        return self._masks(_UnknownMixture(mixture, n_speakers))


class _OnlyFrontEnd(NamedTuple):
    """Provide the only attribute of a `Setup` that blind factorisation needs."""

    front_end: NumpyFrontEnd


class _UnknownMixture(NamedTuple):
    """Provide the attributes of a `Mixture` that do not need its sources."""

    signal: np.ndarray
    n_speakers: int

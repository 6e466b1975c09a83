"""Windows of a recording become outputs of the network's hidden layers, of which some are kept: float32 `[R, T / R, D]`.

They are small, and the last layer computes the large embeddings from them again (`chunked_inference.py`). Those that
determine the centroids are kept as they are. Others are kept in half precision, up to `MAX_KEPT_WINDOWS`, so that
memory does not grow with the length of a recording.
"""

from typing import Any

import numpy as np

from lab41_sce.audio.windows import Window
from lab41_sce.separation.chunked_inference import hidden_of_window, masks_of_hidden
from lab41_sce.separation.running_scaling import RunningScaling
from lab41_sce.separation.turns import VoiceFrames

MAX_KEPT_WINDOWS = 120  # 1.2 MB each in half precision


class HiddenOutputs:
    """Compute and keep outputs of the hidden layers.

    Args:
        model: an embedding model.
        scaling: of the network's input, measured over the whole recording.
    """

    def __init__(self, model: Any, scaling: RunningScaling):
        self.model, self.scaling = model, scaling
        self.kept: dict[Window, np.ndarray] = {}
        self.clustered: list[Window] = []  # windows that determine the centroids
        self._computed: set[Window] = set()

    def of(self, window: Window, magnitudes: np.ndarray, own: slice) -> np.ndarray:
        """Return the outputs of a window.

        Args:
            window: the window.
            magnitudes: of the window and its context, float32 `[T, F]`.
            own: its frames without those of the context.
        """
        kept = self.kept.get(window)
        return hidden_of_window(self.model, self.scaling(magnitudes), own) if kept is None else kept.astype(np.float32)

    def keep(self, window: Window, hidden: np.ndarray, for_centroids: bool) -> None:
        """Keep the outputs of a window that determines the centroids, or those of another if there is room."""
        if for_centroids:
            self.clustered.append(window)
            self.kept[window] = hidden
        elif window not in self.kept and len(self.kept) < MAX_KEPT_WINDOWS:
            self.kept[window] = hidden.astype(np.float16)

    def is_first(self, window: Window) -> bool:
        """Return whether this is the first question about a window, for the progress: it is computed once mostly."""
        first = window not in self._computed
        self._computed.add(window)
        return first

    def voice_frames(self, hidden: np.ndarray, magnitudes: np.ndarray, own: slice, first_frame: int,
                     centroids: np.ndarray) -> VoiceFrames:
        """Measure every R-th frame of the voices of a window.

        Args:
            hidden: outputs of the window.
            magnitudes: float32 `[T, F]`.
            own: the frames to measure.
            first_frame: number of the first of them in the recording.
            centroids: of the voices, `[S, K]`.
        """
        every = len(hidden)  # the first of the interleaved sequences has every frame of this many
        masks = masks_of_hidden(self.model, hidden[:1], -(-len(magnitudes) // every), centroids)
        places = np.arange(0, len(magnitudes), every)
        start, stop, _ = own.indices(len(magnitudes))
        chosen = (places >= start) & (places < stop)
        return VoiceFrames.measure(first_frame + places[chosen] - start, masks[:, chosen], magnitudes[places[chosen]],
                                   self.scaling.peak, self.model.front_end)

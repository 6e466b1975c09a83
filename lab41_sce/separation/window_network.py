"""A window of a recording becomes what an embedding network says of it: active bins, measured frames of voices, masks.

The outputs of the hidden layers are small, and the last layer computes the large embeddings from them again
(`chunked_inference.py`). They are kept for the windows that determine the centroids, and for others up to
`MAX_KEPT_WINDOWS`, so that memory does not grow with the length of a recording. Those of others, and all of a long
recording, are kept in half precision.
"""

from typing import Any

import numpy as np

from lab41_sce.audio.windows import Window
from lab41_sce.models.clustering import active_bins
from lab41_sce.models.count_network import CountedFrames
from lab41_sce.separation.chunked_inference import embeddings_of_bins, hidden_of_window, masks_of_hidden
from lab41_sce.separation.count_features import ActiveBins, thin_blocks
from lab41_sce.separation.running_scaling import RunningScaling
from lab41_sce.separation.turns import VoiceFrames
from lab41_sce.separation.window_signals import WindowReader

MAX_KEPT_WINDOWS = 120  # of a minute, 1.2 MB each in half precision


class WindowNetwork:
    """Compute the network on windows; several threads can ask about different windows at once.

    Args:
        model: an embedding model.
        reader: reads the windows.
        scaling: of the network's input, measured over the whole recording.
        is_long: whether the recording has more windows than determine the centroids.

    Attributes:
        clustered: the windows that determine the centroids.
    """

    def __init__(self, model: Any, reader: WindowReader, scaling: RunningScaling, is_long: bool):
        self.model, self.scaling, self._is_long = model, scaling, is_long
        self.clustered: list[Window] = []
        self._reader = reader
        self._kept: dict[Window, np.ndarray] = {}
        self._asked: set[Window] = set()

    def hidden(self, window: Window, magnitudes: np.ndarray) -> np.ndarray:
        """Return the outputs of the hidden layers, float32 `[R, ceil(T / R), D]`, of magnitudes `[T, F]`."""
        kept = self._kept.get(window)
        if kept is None:
            return hidden_of_window(self.model, self.scaling(magnitudes), self._reader.own_frames(window))
        return kept.astype(np.float32, copy=False)

    def keep(self, window: Window, hidden: np.ndarray, for_centroids: bool) -> None:
        """Keep the outputs of a window that determines the centroids, or those of another if there is room."""
        if for_centroids:
            self.clustered.append(window)
            self._kept[window] = hidden.astype(np.float16 if self._is_long else np.float32, copy=False)
        elif window not in self._kept and len(self._kept) < MAX_KEPT_WINDOWS:
            self._kept[window] = hidden.astype(np.float16)

    def is_first(self, window: Window) -> bool:
        """Return whether this is the first question about a window: its outputs count once in the progress."""
        first = window not in self._asked
        self._asked.add(window)
        return first

    def sample(self, window: Window, range_db: float, by_blocks: bool, most: int) -> tuple[np.ndarray, ActiveBins]:
        """Return the outputs of the hidden layers, and about `most` active bins of the window's own frames."""
        peak, own, magnitudes = self.scaling.peak, self._reader.own_frames(window), self._reader.magnitudes(window)
        hidden, of_own = self.hidden(window, magnitudes), magnitudes[own]
        without_events = of_own.max(axis=1, keepdims=True) <= peak
        places = np.argwhere(without_events & active_bins(of_own, range_db, peak))
        if by_blocks:
            places = places[thin_blocks(places[:, 0], most)]
        elif len(places) > most:
            places = places[np.random.default_rng(0).choice(len(places), most, replace=False)]
        frames, bins = places.T
        embeddings = embeddings_of_bins(self.model, hidden, len(magnitudes), own.start + frames, bins)
        return hidden, ActiveBins(embeddings, of_own[frames, bins], frames, bins)

    def counted_frames(self, window: Window, range_db: float) -> CountedFrames:
        """Return what a `CountNetwork` sees of a window: every R-th frame, and which of its own have active bins."""
        peak, own, magnitudes = self.scaling.peak, self._reader.own_frames(window), self._reader.magnitudes(window)
        hidden, with_speech = self.hidden(window, magnitudes), np.zeros(len(magnitudes), bool)
        without_events = magnitudes[own].max(axis=1) <= peak
        with_speech[own] = without_events & active_bins(magnitudes[own], range_db, peak).any(axis=1)
        return CountedFrames(hidden[0], with_speech[:: len(hidden)])

    def voices(self, window: Window, centroids: np.ndarray) -> np.ndarray:
        """Return the magnitudes of the voices in a window's own frames, `[S, T, F]`, for centroids `[S, K]`."""
        own, mixed = self._reader.own_frames(window), self._reader.magnitudes(window)
        masks = masks_of_hidden(self.model, self.hidden(window, mixed), len(mixed), centroids)
        return masks[:, own] * mixed[own]

    def voice_frames(self, window: Window, centroids: np.ndarray,
                     first_frame: int) -> tuple[np.ndarray, VoiceFrames]:
        """Return the outputs of the hidden layers, and measure every R-th of the window's own frames.

        Args:
            window: the window.
            centroids: of the voices, `[S, K]`.
            first_frame: number of the first own frame in the recording.
        """
        magnitudes = self._reader.magnitudes(window)
        hidden = self.hidden(window, magnitudes)
        start, stop, _ = self._reader.own_frames(window).indices(len(magnitudes))
        every = len(hidden)  # each of the interleaved sequences has every frame of this many
        first = (start - first_frame) % every  # the same frames of the recording, whatever the windows are
        places = np.arange(first, len(magnitudes), every)
        masks = masks_of_hidden(self.model, hidden[first : first + 1], len(places), centroids)
        chosen = (places >= start) & (places < stop)
        return hidden, VoiceFrames.measure(first_frame + places[chosen] - start, masks[:, chosen],
                                           magnitudes[places[chosen]], self.scaling.peak, self.model.front_end)

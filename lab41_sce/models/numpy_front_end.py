"""Signals become spectrograms and network input, and spectrograms become signals again, in NumPy.

The front end of the article (section "Experiments"): pre-emphasis s(n) - 0.95 s(n-1), a Hann STFT of 512 samples every
256, and the square root of the magnitude scaled to [0, 1]. Synthesis is the exact inverse: overlap-add with the dual of
the window, then the recursion that undoes pre-emphasis. Separation uses these functions, with Keras or without;
`front_end.py` computes the same within a Keras model for training.

Conventions: signals `[..., N]`, spectrograms `[..., T, F]`, `F = frame_length // 2 + 1` and
`T = 1 + (N + frame_length - hop_length - 1) // hop_length`.
"""

import numpy as np

from lab41_sce.models.settings import FrontEndSettings

ARTICLE = FrontEndSettings()  # the defaults are those of the article
MIN_MAGNITUDE = 1e-8  # of a bin without sound; `front_end.magnitude` has the same


class NumpyFrontEnd:
    """Turn signals into spectrograms and back, and magnitudes into the network's input.

    `FrontEndSettings` describes the arguments.

    Raises:
        UserError: `hop_length` does not divide `frame_length` at least twice, or another value is not possible.
    """

    def __init__(self, sample_rate_hz: int = ARTICLE.sample_rate_hz, frame_length: int = ARTICLE.frame_length,
                 hop_length: int = ARTICLE.hop_length, pre_emphasis: float = ARTICLE.pre_emphasis,
                 compression: str = ARTICLE.compression, scaling: str = ARTICLE.scaling,
                 range_db: float = ARTICLE.range_db):
        # Checks the values.
        FrontEndSettings(sample_rate_hz, frame_length, hop_length, pre_emphasis, compression, scaling, range_db)
        self.sample_rate_hz, self.frame_length, self.hop_length = sample_rate_hz, frame_length, hop_length
        self.pre_emphasis, self.compression, self.scaling = pre_emphasis, compression, scaling
        self.range_db = range_db

    @property
    def n_bins(self) -> int:
        """The number of frequency bins, F."""
        return self.frame_length // 2 + 1

    def emphasis(self) -> np.ndarray:
        """Compute the factor by which pre-emphasis multiplies the magnitudes of each bin: float32 array `[F]`."""
        turns = np.arange(self.n_bins) / self.frame_length
        return np.abs(1.0 - self.pre_emphasis * np.exp(-2j * np.pi * turns)).astype(np.float32)

    def spectrogram(self, signals: np.ndarray) -> np.ndarray:
        """Compute the pre-emphasised STFT of signals `[..., N]`: complex64 `[..., T, F]`."""
        frame, hop = self.frame_length, self.hop_length
        signals = np.asarray(signals, np.float32)
        # Every sample lies in frame / hop frames, those at the edges included.
        n_frames = 1 + (signals.shape[-1] + frame - hop - 1) // hop
        padded = np.zeros((*signals.shape[:-1], (n_frames - 1) * hop + frame), np.float32)
        emphasised = padded[..., frame - hop : frame - hop + signals.shape[-1]]
        emphasised[...] = signals
        emphasised[..., 1:] -= np.float32(self.pre_emphasis) * signals[..., :-1]
        frames = np.lib.stride_tricks.sliding_window_view(padded, frame, axis=-1)[..., ::hop, :]
        return np.fft.rfft(frames * self._window().astype(np.float32))

    def magnitudes(self, signals: np.ndarray) -> np.ndarray:
        """Compute the magnitudes of signals `[..., N]`: float32 `[..., T, F]`."""
        return np.maximum(np.abs(self.spectrogram(signals)), np.float32(MIN_MAGNITUDE))

    def synthesise(self, spectrogram: np.ndarray, length: int) -> np.ndarray:
        """Turn spectrograms back into signals: the exact inverse of `spectrogram`.

        Args:
            spectrogram: complex array `[..., T, F]`.
            length: N, the samples of each signal.

        Returns:
            float32 array `[..., N]`.
        """
        frame, hop = self.frame_length, self.hop_length
        frames = np.fft.irfft(spectrogram, frame)
        frames *= self.dual_window().astype(frames.dtype)
        n_frames = frames.shape[-2]
        signals = np.zeros((*frames.shape[:-2], n_frames + frame // hop - 1, hop), frames.dtype)
        for part in range(frame // hop):  # the part-th hop of frame t lands in hop t + part of the signal
            signals[..., part : part + n_frames, :] += frames[..., part * hop : (part + 1) * hop]
        signals = self._without_emphasis(signals[..., frame // hop - 1 :, :])
        return signals.reshape(*frames.shape[:-2], -1)[..., :length].astype(np.float32)

    def features(self, magnitudes: np.ndarray) -> np.ndarray:
        """Compress and scale the magnitudes of one utterance `[T, F]` to the network's input, float32 `[T, F]`."""
        features = self.compress(magnitudes, magnitudes.max())
        if self.scaling == "min_max":
            return (features - features.min()) / max(np.ptp(features), np.float32(1e-6))
        return (features - features.mean()) / max(features.std(), np.float32(1e-6))

    def compress(self, magnitudes: np.ndarray, peak: float) -> np.ndarray:
        """Compress magnitudes relative to the peak of their utterance.

        Args:
            magnitudes: float32, of any shape.
            peak: largest magnitude of the utterance.

        Returns:
            float32, of the same shape; silence stays zero with "sqrt" and is `-range_db` with "log".
        """
        relative = magnitudes / np.float32(max(peak, 1e-12))
        if self.compression == "sqrt":
            return np.sqrt(relative)
        return np.float32(20) * np.log10(np.maximum(relative, np.float32(10 ** (-self.range_db / 20))))

    def dual_window(self) -> np.ndarray:
        """Return the window of the synthesis, float64 `[frame_length]`."""
        window = self._window()
        overlap = (window**2).reshape(-1, self.hop_length).sum(axis=0)  # the same at each hop
        return window / np.tile(overlap, self.frame_length // self.hop_length)

    def _window(self) -> np.ndarray:
        """Return the periodic Hann window, float64 `[frame_length]`."""
        return 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(self.frame_length) / self.frame_length)

    def _without_emphasis(self, hops: np.ndarray) -> np.ndarray:
        """Undo pre-emphasis, y(n) = x(n) + a y(n-1), in consecutive hops `[..., H, hop_length]` of signals."""
        steps = np.arange(self.hop_length)
        lags = steps[:, None] - steps
        response = np.where(lags >= 0, self.pre_emphasis ** np.maximum(lags, 0), 0.0)
        signals = hops @ response.T.astype(hops.dtype)
        decay = (self.pre_emphasis ** (steps + 1)).astype(hops.dtype)
        for hop in range(1, hops.shape[-2]):
            signals[..., hop, :] += signals[..., hop - 1, -1:] * decay
        return signals

"""Samples `[n, C]` become an M4A file: AAC, encoded with FFmpeg's libraries."""

from typing import BinaryIO

import numpy as np

from lab41_sce.audio.ffmpeg_errors import ffmpeg_errors

M4A_RATES_HZ = (7350, 8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000, 64000, 88200, 96000)  # of AAC
BITS_PER_SECOND = 96_000  # of a channel
LAYOUTS = {1: "mono", 2: "stereo"}


class M4AEncoder:
    """Encode samples part by part; the interface is that of `soundfile.SoundFile`.

    Args:
        file: an open file that is empty; it is not closed.
        sample_rate_hz: one of `M4A_RATES_HZ`.
        n_channels: C, 1 or 2. AAC filters the bass channel of more.

    Attributes:
        comment: stored in the header; set before the first part.

    Raises:
        ValueError: M4A files are not written with so many channels.
    """

    format = "M4A"

    @ffmpeg_errors()
    def __init__(self, file: BinaryIO, sample_rate_hz: int, n_channels: int):
        import av

        if n_channels not in LAYOUTS:
            raise ValueError(f"{n_channels} channels are more than the 2 of an M4A file")
        self.comment = ""
        self._rate_hz, self._layout = sample_rate_hz, LAYOUTS[n_channels]
        self._container = av.open(file, "w", format="ipod")  # FFmpeg's name of M4A
        self._stream = self._container.add_stream("aac", rate=sample_rate_hz, layout=self._layout)
        self._stream.bit_rate = BITS_PER_SECOND * n_channels
        self._n_samples, self._closed = 0, False

    @ffmpeg_errors()
    def write(self, samples: np.ndarray) -> None:
        """Encode the next samples, float32 `[n, C]`."""
        import av

        if not len(samples):
            return
        if self.comment:
            self._container.metadata["comment"] = self.comment
        planes = np.ascontiguousarray(samples.T, np.float32)
        frame = av.AudioFrame.from_ndarray(planes, "fltp", self._layout)
        frame.sample_rate, frame.pts = self._rate_hz, self._n_samples
        self._n_samples += len(samples)
        self._container.mux(self._stream.encode(frame))

    @ffmpeg_errors()
    def close(self) -> None:
        """Encode what is left, and write the index; further calls do nothing."""
        if not self._closed:
            self._closed = True
            try:
                if self._n_samples:
                    self._container.mux(self._stream.encode(None))
            finally:
                self._container.close()

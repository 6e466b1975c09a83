"""The files of one mixture, its references and its voices become signals of one rate and one length.

The rate is that of the mixture; other files are resampled to it. Lengths may differ by 0.1 s, as those of systems that
return whole frames do, and those of M4A files by a frame more; all signals are then cut to the shortest. Long signals
are read in blocks `[files, n]`.
"""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import soxr

from lab41_sce import audio
from lab41_sce.audio.recording import Recording
from lab41_sce.errors import UserError

LONG_SECONDS = 60.0  # longer signals are read in blocks
BLOCK_SECONDS = 30.0
MAX_DIFFERENCE_SECONDS = 0.1
AAC_FRAME = 1024  # samples


class MixtureFiles:
    """Hold the files of one mixture, the mixture first, and what their headers state.

    Attributes:
        sample_rate_hz: of the mixture.
        is_long: whether the mixture is longer than `LONG_SECONDS`, and is to be read in blocks.
        remarks: a sentence for each file that is resampled.

    Raises:
        UserError: a file cannot be read.
    """

    def __init__(self, files: Sequence[Path]):
        self.files, seconds, rates_hz = files, [], []
        for path in files:
            with audio.Decoder(path, whole=False) as decoder:
                rates_hz.append(decoder.sample_rate_hz)
                seconds.append(decoder.n_samples / decoder.sample_rate_hz)
        self.sample_rate_hz, self.is_long = rates_hz[0], seconds[0] > LONG_SECONDS
        self.remarks = [f"{path} has {rate_hz} Hz and is resampled to the {self.sample_rate_hz} Hz of {files[0].name}."
                        for path, rate_hz in zip(files, rates_hz, strict=True) if rate_hz != self.sample_rate_hz]

    def _check_lengths(self, seconds: Sequence[float]) -> None:
        """Raise UserError, which names the file, if a file is much longer or shorter than the mixture."""
        padding = [AAC_FRAME / self.sample_rate_hz * (path.suffix.lower() == ".m4a") for path in self.files]
        differences = [abs(length - seconds[0]) - added for length, added in zip(seconds, padding, strict=True)]
        if max(differences) > MAX_DIFFERENCE_SECONDS:
            place = int(np.argmax(differences))
            raise UserError(f"{self.files[place]} and {self.files[0].name} have different lengths, "
                            f"{seconds[place]:.2f} s and {seconds[0]:.2f} s; give files whose lengths differ by at "
                            f"most {MAX_DIFFERENCE_SECONDS} s.")

    def read(self) -> np.ndarray:
        """Read all signals, float32 `[files, N]`.

        Raises:
            UserError: a file cannot be read, or the lengths differ by more than allowed.
        """
        signals = [audio.read_mono(path, self.sample_rate_hz) for path in self.files]
        self._check_lengths([len(signal) / self.sample_rate_hz for signal in signals])
        shortest = min(map(len, signals))
        return np.stack([signal[:shortest] for signal in signals])

    def blocks(self) -> Iterator[np.ndarray]:
        """Read all signals in blocks of `BLOCK_SECONDS`, float32 `[files, n]`; errors as in `read`."""
        length = round(BLOCK_SECONDS * self.sample_rate_hz)
        with ExitStack() as stack:
            decoders = [stack.enter_context(audio.Decoder(path, "mix")) for path in self.files]
            self._check_lengths([decoder.n_samples / decoder.sample_rate_hz for decoder in decoders])
            streams = [_Stream(decoder, self.sample_rate_hz) for decoder in decoders]
            while True:
                parts = [stream.read(length) for stream in streams]
                shortest = min(map(len, parts))
                if shortest:
                    yield np.stack([part[:shortest] for part in parts])
                if shortest < length:
                    return


class _Stream:
    """Read one file at a sample rate, part after part."""

    def __init__(self, decoder: audio.Decoder, sample_rate_hz: int):
        self._recording = Recording(decoder, decoder.sample_rate_hz, str(decoder.path))
        self._position, self._ready = 0, np.empty(0, np.float32)
        self._resampler = (None if decoder.sample_rate_hz == sample_rate_hz else
                           soxr.ResampleStream(decoder.sample_rate_hz, sample_rate_hz, 1, "float32", "HQ"))

    def read(self, length: int) -> np.ndarray:
        """Return the next samples, `[length]`; fewer at the end of the file."""
        parts, total = [self._ready], len(self._ready)
        while total < length and self._position < self._recording.n_samples:
            stop = min(self._position + length, self._recording.n_samples)
            part = self._recording.read(self._position, stop)[0]
            self._position = stop
            if self._resampler:
                part = self._resampler.resample_chunk(part, last=stop == self._recording.n_samples)
            parts.append(part)
            total += len(part)
        samples = np.concatenate(parts)
        self._ready = samples[length:].copy()
        return samples[:length]

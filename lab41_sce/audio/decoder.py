"""An audio file becomes samples `[n, C]`, float32, between any two places, exactly as if it had been decoded whole.

libsndfile 1.2.2 seeks exactly in formats without memory (WAV, FLAC, AIFF, ...). In an open Vorbis stream, seeks forward
end a block too early or too late. Opus and MP3 decoders need the frames before to give the same samples. GSM and some
ADPCM files cannot seek. All of these are decoded from the front, and the last part is kept, because windows overlap.
So are the files that libsndfile cannot open and that FFmpeg can (`media_file.py`).
"""

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from lab41_sce.audio.call_channels import CallChannels
from lab41_sce.audio.media_file import ONE_STREAM, MediaFile
from lab41_sce.audio.mixing import mix, mixing_weights
from lab41_sce.audio.mp3_length import ENCODER_PADDING, count_mp3_samples
from lab41_sce.audio.stated_length import check_parts, disagreement, open_with_wrong_size
from lab41_sce.errors import UserError
from lab41_sce.quiet import held_stderr, is_quiet

BLOCK_SAMPLES = 2**16  # decoded at once
MAX_HEADER_SAMPLES = 2**48  # libsndfile reports more than this if the header states no length
NO_LENGTH = ("{} does not state its length, as happens with streams and interrupted recordings; convert it to WAV or "
             "export it again.")
COUNTED_SAMPLES = 2**10  # decoded at once where the last block may be damaged
MIN_RATE_HZ, MAX_RATE_HZ = 1000, 1_000_000
MAX_CHANNELS = 64  # that are separated at once


class Decoder:
    """Decode an audio file between any two samples.

    Args:
        path: a file that libsndfile (WAV, FLAC, OGG, MP3, ...) or FFmpeg (M4A, MP4, WebM, ...) can decode.
        channels: "each" for all channels, "mix" for one channel as `mixing_weights` mixes it, or the number of one
            channel, from 1.
        whole: whether the file is examined up to its end; False for a short excerpt.
        stream: the number of the stream of sound in a file with several, from 1.

    Attributes:
        sample_rate_hz: in Hz.
        n_channels: C, of the samples that `read` returns.
        n_samples: samples of a channel that can be decoded; with `whole=False`, those that the header states.
        notes: sentences about a header that disagrees with the contents, about damaged parts, about further streams of
            sound, and about channels that cancel each other or hold a person each.

    Raises:
        UserError: the file is missing, a directory, a pipe, an address, not audio, encrypted or empty, it has no such
            channel or stream, its header states no length or a rate below 1 kHz or above 1 MHz, or it contains
            several recordings.
    """

    def __init__(self, path: str | Path, channels: str | int = "each", whole: bool = True, stream: int = 1):
        self.path, self.n_channels, self._stream = Path(path), 0, stream
        self.notes: list[str] = []
        # In sequential files, the part that was decoded last is kept; it ends at the position.
        self._position = self._kept_start = 0
        self._kept = np.empty((0, 0), np.float32)
        _check_path(self.path)
        self._open()
        self.sample_rate_hz, self.n_channels = self._file.samplerate, self._file.channels
        if not MIN_RATE_HZ <= self.sample_rate_hz <= MAX_RATE_HZ:
            raise UserError(f"{path} has a sample rate of {self.sample_rate_hz} Hz; give a file with {MIN_RATE_HZ} to "
                            f"{MAX_RATE_HZ} Hz.")
        self._sequential = (self._file.format in ("OGG", "MP3") or "MPEG" in self._file.subtype
                            or not self._file.seekable())
        self._weights: np.ndarray | None = None  # of the channels; None for all of them
        self.n_samples = self._file.frames
        if whole:
            check_parts(self.path, self._file)
            with self._quiet():
                self.n_samples = self._count_samples()
            if not isinstance(self._file, MediaFile) or self._file.has_own_length:
                note = disagreement(self.path, self._file, self.n_samples)
                self.notes += [note] if note else []
        elif self.n_samples > MAX_HEADER_SAMPLES:
            raise UserError(NO_LENGTH.format(path))
        elif isinstance(self._file, MediaFile) and not self.n_samples:
            self.n_samples = self._count_samples()
        if isinstance(self._file, MediaFile) and self._file.n_streams > 1:
            self.notes.append(f"the file has {self._file.n_streams} streams of sound, and stream {stream} is used; "
                              "choose another with --stream N")
        if not self.n_samples:
            raise UserError(f"{path} contains no samples; give a file that contains audio.")
        self._select(channels)

    def __enter__(self) -> "Decoder":
        """Return the decoder."""
        return self

    def __exit__(self, *_: Any) -> None:
        """Close the file."""
        self._file.close()

    def read(self, start: int, stop: int) -> np.ndarray:
        """Decode the samples from `start` to `stop - 1`.

        Args:
            start: the first sample.
            stop: the sample after the last one.

        Returns:
            float32 `[C, n]`, `n = stop - start`, or fewer samples where the file ends earlier.

        Raises:
            UserError: the file is damaged.
        """
        with decodable(self.path), self._quiet():
            if not self._sequential:
                self._file.seek(min(start, self._file.frames))
                return self._decode(stop - start)
            if start < self._kept_start:
                self._open()
            if start > self._position:
                self._skip(start - self._position)
            samples = self._kept[:, start - self._kept_start : max(stop - self._kept_start, 0)]
            if stop > self._position:
                samples = np.concatenate([samples, self._decode(stop - self._position)], axis=1)
                self._kept, self._kept_start, self._position = samples, start, start + samples.shape[1]
            return samples

    def _quiet(self) -> contextlib.AbstractContextManager[None]:
        """Discard the lines of libmpg123 1.32, which reports errors in sound MP3 files, too."""
        return _without_mpg123() if self._file.format == "MP3" else contextlib.nullcontext()

    def _open(self) -> None:
        """Open the file at its first sample."""
        with decodable(self.path):
            self._file = open_file(self.path, self._stream)
        self._position = self._kept_start = 0
        self._kept = np.empty((self.n_channels or self._file.channels, 0), np.float32)

    def _skip(self, n_samples: int) -> None:
        """Decode samples that are not needed."""
        while n_samples > 0 and (n_decoded := len(self._file.read(min(n_samples, BLOCK_SAMPLES)))):
            n_samples -= n_decoded
            self._position += n_decoded
        self._kept, self._kept_start = self._kept[:, :0], self._position

    def _decode(self, n_samples: float) -> np.ndarray:
        """Decode the next samples, `[C, n]`; blocks are mixed one by one, since a file may have 1024 channels."""
        parts = [np.empty((self.n_channels, 0), np.float32)]
        for block in self._blocks(n_samples):
            parts.append(block.T if self._weights is None else mix(block.T, self._weights)[None])
        return np.concatenate(parts, axis=1)

    def _blocks(self, n_samples: float = np.inf) -> Iterator[np.ndarray]:
        """Decode the next samples in blocks `[n, C]` of all channels; a header can state any length."""
        while n_samples > 0 and len(block := self._file.read(int(min(n_samples, BLOCK_SAMPLES)), dtype="float32",
                                                            always_2d=True)):
            yield block
            n_samples -= len(block)

    def _select(self, channels: str | int) -> None:
        """Let `read` return all channels, a mix or one channel."""
        n_channels = self.n_channels
        if channels == "each":
            if n_channels > MAX_CHANNELS:
                raise UserError(f"{self.path} has {n_channels} channels, more than {MAX_CHANNELS}; choose one of them, "
                                "or mix them (--channels mix).")
            return
        if channels != "mix":
            if not 1 <= int(channels) <= n_channels:
                seen, possible = (("1 channel", "1") if n_channels == 1 else
                                  (f"{n_channels} channels", f"a number from 1 to {n_channels}"))
                raise UserError(f"{self.path} has {seen}, so there is no channel {channels}; give {possible}, mix or "
                                "each, like this: --channels mix.")
            self._weights = (np.arange(n_channels) == int(channels) - 1).astype(np.float32)
        elif n_channels > 1:
            # Infinite samples are refused where they are read.
            with decodable(self.path), self._quiet(), np.errstate(over="ignore", invalid="ignore"):
                call = CallChannels(self.sample_rate_hz)
                self._weights = mixing_weights(call.measured(self._blocks()) if n_channels == 2 else self._blocks())
            if self._weights.max() == 1:
                self.notes.append(f"the channels cancel each other; channel {self._weights.argmax() + 1}, the loudest, "
                                  "is used instead of their mean")
            if call.hold_one_person_each():
                self.notes.append("each channel seems to hold another person, as in a recorded call; --channels "
                                  "speakers writes each channel as the voice of a person")
        self.n_channels = 1
        self._open()

    def _count_samples(self) -> int:
        """Count the samples of a channel that can be decoded.

        MP3 headers can state more than the file contains, and a file that was cut states what it had before.
        """
        stated, mp3 = self._file.frames, self._file.format == "MP3"
        if isinstance(self._file, MediaFile):
            n_samples = self._file.count()
            if self._file.n_damaged:
                self.notes.append(f"the file is damaged: {self._file.n_damaged} of its packets cannot be decoded and "
                                  "are left out")
            self._open()
            return n_samples
        if stated > MAX_HEADER_SAMPLES or mp3 and stated + ENCODER_PADDING < count_mp3_samples(self.path.read_bytes()):
            raise UserError(NO_LENGTH.format(self.path))
        if self._file.format == "OGG":
            return stated
        if not self._sequential:
            try:
                self._file.seek(max(stated - 1, 0))
                if len(self._file.read(1)):
                    self._file.seek(0)
                    return stated
            except soundfile.LibsndfileError:
                pass
            self._open()
        n_samples, block = 0, np.empty((COUNTED_SAMPLES, self._file.channels), np.float32)
        with contextlib.suppress(soundfile.LibsndfileError):
            while n_read := len(self._file.read(out=block)):
                n_samples += n_read
        if stated and not n_samples:
            raise UserError(f"{self.path} is not audio that can be decoded (its first samples are damaged, or "
                            f"libsndfile cannot read {self._file.subtype_info}); give a WAV, FLAC, OGG, MP3 or M4A "
                            "file.")
        self._open()
        return n_samples


def open_file(path: Path, stream: int = 1) -> Any:
    """Open a file with libsndfile, or with FFmpeg if libsndfile cannot open it or if a further stream is wanted.

    Raises:
        soundfile.LibsndfileError: neither can open the file.
        UserError: as in `MediaFile`.
    """
    refusal: Exception = UserError(ONE_STREAM.format(path))
    if stream == 1:
        try:
            file = _open_with_libsndfile(path)
            return open_with_wrong_size(path, file) or file
        except soundfile.LibsndfileError as error:
            refusal = error
    try:
        return MediaFile(path, stream)
    except ValueError:
        with open(path, "rb") as file:
            if file.read(8)[4:] == b"ftyp":  # MP4 and its kin, whose index is written at the end
                refusal = UserError(f"{path} lacks its index, as after an interrupted recording or copy, and cannot be "
                                    "decoded; copy it again.")
        raise refusal from None


def _open_with_libsndfile(path: Path) -> soundfile.SoundFile:
    """Open a file without the lines that libmpg123 writes about files that are, or may be, MP3."""
    with _without_mpg123():
        try:
            return soundfile.SoundFile(path)
        except soundfile.LibsndfileError as error:
            refusal = error
    raise refusal


def _without_mpg123() -> contextlib.AbstractContextManager[None]:
    """Discard the lines of libmpg123, unless the user wants the lines of libraries."""
    return held_stderr("libmpg123", "Warning: Xing") if is_quiet() else contextlib.nullcontext()


def _check_path(path: Path) -> None:
    """Raise UserError unless a path is a file with contents."""
    if not path.exists():
        if address := re.match(r"([a-z][a-z0-9+.-]+):/+(.+)", str(path), re.IGNORECASE):
            raise UserError(f"{address[1]}://{address[2]} is an address; download the file first, for example with "
                            f"'curl -LO {address[1]}://{address[2]}', and give the path of the file.")
        raise UserError(f"{path}: no such file; give the path of an audio file.")
    if path.is_dir():
        raise UserError(f"{path} is a directory; give the path of one audio file.")
    if not path.is_file():
        raise UserError(f"{path} is a pipe or a device; save the audio to a file and give the path of that file.")
    if not path.stat().st_size:
        raise UserError(f"{path} is empty; give a file that contains audio.")


@contextlib.contextmanager
def decodable(path: str | Path) -> Iterator[None]:
    """Turn the errors of libsndfile while it decodes a file into one UserError that names the file."""
    try:
        yield
    except UnicodeEncodeError:
        raise UserError(f"the name of {path} is not valid UTF-8, so the file cannot be opened; rename it.") from None
    except (soundfile.LibsndfileError, TypeError, ValueError) as error:
        reason = str(error).rstrip(".")
        raise UserError(f"{path} is not audio that can be decoded ({reason}); "
                        "give a WAV, FLAC, OGG, MP3 or M4A file.") from None

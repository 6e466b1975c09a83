"""A file that libsndfile cannot open becomes samples `[n, C]`: M4A, MP4, MOV, WebM, Matroska, WMA, AMR and others.

PyAV reads the container and decodes one stream of sound with FFmpeg's libraries; pictures are not decoded. The samples
are those of `ffmpeg -i FILE`: priming samples and edit lists are obeyed. A frame can depend on all frames before
it, because AAC decoders fill bands with random numbers in sequence. A file is therefore decoded from its start.
"""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from lab41_sce.audio.ffmpeg_errors import ffmpeg_errors
from lab41_sce.audio.samples import as_floats
from lab41_sce.errors import UserError

# FFmpeg's names of the containers that are opened. Playlists (HLS, concat), which name other files, are not among them.
CONTAINERS = ("mov", "matroska", "asf", "aac", "amr", "caf", "avi", "mpegts", "mpeg", "flv", "ac3", "eac3", "ogg", "wv",
              "ape", "wav")
ENCRYPTED_TAGS = ("drms", "enca", "aavd")  # sample entries of protected MP4 files
MIN_PACKED_CHANNELS = 8  # PyAV 18.1 reads beyond the last plane of a frame with 8 planes or more
ONE_STREAM = "{} has one stream of sound; leave out --stream."
ENCRYPTED = " is encrypted (copy-protected); give a file without protection."


class MediaFile:
    """Decode one stream of sound from its start; the interface is that of `soundfile.SoundFile`.

    Args:
        path: the file.
        stream: the number of the stream among those of sound, from 1.

    Attributes:
        samplerate: in Hz.
        channels: C.
        frames: samples of a channel that the header states; 0 if it states no length, as recordings of browsers.
        has_own_length: whether `frames` is the length of this stream, not that of the longest in the file.
        n_streams: streams of sound in the file.
        n_damaged: packets that could not be decoded so far.
        comment: from the header.

    Raises:
        ValueError: FFmpeg does not recognise the file.
        UserError: the file has no such stream, or its sound is encrypted or cannot be decoded.
    """

    format = subtype = subtype_info = "FFmpeg"
    extra_info = ""

    @ffmpeg_errors()
    def __init__(self, path: Path, stream: int):
        import av

        self._path = path
        # "file:" keeps FFmpeg from taking a name such as "concat:a" for a protocol.
        self._container = av.open(f"file:{path}", metadata_errors="replace", container_options={
            "format_whitelist": ",".join(CONTAINERS), "protocol_whitelist": "file"})
        self.comment = self._container.metadata.get("comment", "")
        sounds = self._container.streams.audio
        self.n_streams, self.n_damaged = len(sounds), 0
        if not sounds:
            raise UserError(f"{path} has no sound; give a file that contains audio.")
        if stream > len(sounds):
            if len(sounds) == 1:
                raise UserError(ONE_STREAM.format(path))
            raise UserError(f"{path} has {len(sounds)} streams of sound and no stream {stream}; choose --stream 1 to "
                            f"{len(sounds)}.")
        self._sound = sounds[stream - 1]
        for other in self._container.streams:
            if other is not self._sound and hasattr(other, "discard"):  # since PyAV 18
                other.discard = av.stream.Discard.all
        # PyAV 18.1 decodes tags as ASCII, but those of WAV are numbers. A stream without a decoder has no attributes.
        with contextlib.suppress(UnicodeDecodeError, AttributeError):
            if self._sound.codec_tag in ENCRYPTED_TAGS:
                raise UserError(f"{path}{ENCRYPTED}")
        self._decoded = self._frames()
        first = next(self._decoded, None)
        if first is None:
            raise UserError(f"{path} has sound that cannot be decoded: damaged, empty, encrypted or of an unknown "
                            "kind; give another copy, or a WAV file.")
        # The header of HE-AAC can state half of the rate.
        self.samplerate, self.channels = first.sample_rate, first.layout.nb_channels
        self._packer = av.AudioResampler(format="flt")
        self._waiting = self._samples(first)
        self.has_own_length = bool(self._sound.duration) or len(self._container.streams) == 1
        seconds = (float(self._sound.duration * self._sound.time_base) if self._sound.duration and self._sound.time_base
                   else (self._container.duration or 0) / av.time_base)
        self.frames = round(seconds * self.samplerate)

    def close(self) -> None:
        """Close the file."""
        self._container.close()

    def seekable(self) -> bool:
        """Return False: the file is decoded from its start."""
        return False

    @ffmpeg_errors()
    def read(self, n_samples: int, dtype: str = "float32", always_2d: bool = True) -> np.ndarray:
        """Decode the next samples: float32 `[n, C]`, fewer at the end of the file."""
        parts, n_missing = [self._waiting], n_samples - len(self._waiting)
        while n_missing > 0 and (frame := next(self._decoded, None)):
            parts.append(self._samples(frame))
            n_missing -= len(parts[-1])
        samples = np.concatenate(parts)
        self._waiting = samples[n_samples:]
        return samples[:n_samples]

    @ffmpeg_errors()
    def count(self) -> int:
        """Count the samples of a channel from here to the end, which decodes them."""
        return len(self._waiting) + sum(len(self._samples(frame)) for frame in self._decoded)

    def _frames(self) -> Iterator[Any]:
        """Decode the frames of the stream, each an `av.AudioFrame`, and leave out damaged packets."""
        import av

        packets = self._container.demux(self._sound)
        while True:
            try:
                packet = next(packets)
                if hasattr(packet, "has_sidedata") and packet.has_sidedata("encryption_info"):  # since PyAV 17
                    raise UserError(f"{self._path}{ENCRYPTED}")
                yield from packet.decode()
            except StopIteration:
                return
            except (av.error.FFmpegError, IndexError, AttributeError):
                # PyAV 18.1: IndexError at a stream that begins later in the file, AttributeError without a decoder
                self.n_damaged += 1

    def _samples(self, frame: Any) -> np.ndarray:
        """Convert an `av.AudioFrame` to float32 `[n, C]`."""
        if (frame.sample_rate, frame.layout.nb_channels) != (self.samplerate, self.channels):
            raise UserError(f"{self._path} changes from {self.channels} channels at {self.samplerate} Hz to "
                            f"{frame.layout.nb_channels} channels at {frame.sample_rate} Hz; convert it to WAV.")
        if frame.format.is_planar and self.channels >= MIN_PACKED_CHANNELS:
            packed = [part.to_ndarray().reshape(-1, self.channels) for part in self._packer.resample(frame)]
            return np.concatenate([np.empty((0, self.channels), np.float32), *packed])
        samples = as_floats(frame.to_ndarray()).astype(np.float32)
        return samples.T if frame.format.is_planar else samples.reshape(-1, self.channels)

"""Files of many containers, as phones, meeting tools and recorders write them, made with PyAV for the tests."""

from fractions import Fraction

import av
import numpy as np
import soundfile

from lab41_sce import audio
from lab41_sce.examples import EXAMPLES

# name of the file: codec and sample rate in Hz
KINDS = {
    "aac.m4a": ("aac", 44100), "video.mp4": ("aac", 48000), "opus.webm": ("libopus", 48000),
    "amr.3gp": ("libopencore_amrnb", 8000), "pcm.mov": ("pcm_s16le", 44100), "two_streams.mkv": ("aac", 44100),
    "wma.wma": ("wmav2", 44100), "alac.caf": ("alac", 44100), "amr.amr": ("libopencore_amrnb", 8000),
    "chapters.m4b": ("aac", 44100), "adts.aac": ("aac", 44100), "mp3.mp4": ("libmp3lame", 44100),
}
FORMATS = {".m4b": "ipod", ".aac": "adts"}  # where FFmpeg does not choose by the suffix


def example(rate_hz, number=0):
    """Return a recording of two people at a rate, float32 `[N]`."""
    signal, own_hz = soundfile.read(EXAMPLES[number], dtype="float32")
    return audio.resample(signal, own_hz, rate_hz)


def write_media(path, codec, rate_hz, signals=None, n_channels=1, **options):
    """Write a file with one stream of sound for each signal, and a picture if its name begins with "video"."""
    signals = [example(rate_hz)] if signals is None else signals
    with av.open(str(path), "w", format=FORMATS.get(path.suffix), container_options=options) as container:
        video = path.name.startswith("video") and container.add_stream("mpeg4", rate=5)
        if video:
            video.width, video.height, video.pix_fmt = 32, 32, "yuv420p"
        layout = {1: "mono", 2: "stereo", 8: "7.1(wide)"}[n_channels]
        sounds = [container.add_stream(codec, rate=rate_hz, layout=layout) for _ in signals]
        if path.name.startswith("chapters"):
            container.set_chapters([{"id": 0, "start": 0, "end": 1000, "time_base": Fraction(1, 1000),
                                     "metadata": {"title": "one"}}])
        for sound, signal in zip(sounds, signals, strict=True):
            if codec != "libopencore_amrnb":
                sound.bit_rate = 96_000
            packed = np.repeat(signal, n_channels)[None]
            frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(packed, np.float32), "flt", layout)
            frame.sample_rate, frame.pts = rate_hz, 0
            container.mux([*sound.encode(frame), *sound.encode(None)])
        if video:
            picture = av.VideoFrame.from_ndarray(np.zeros((32, 32, 3), np.uint8), "rgb24")
            container.mux([*video.encode(picture), *video.encode(None)])
    return path


def decoded(path, stream=0):
    """Decode a stream with PyAV alone, frame by frame: float64 `[C, N]`."""
    with av.open(str(path)) as container:
        frames = [(frame.to_ndarray(), frame) for frame in container.decode(audio=stream)]
    parts = [array if frame.format.is_planar else array.reshape(-1, frame.layout.nb_channels).T
             for array, frame in frames]
    signal = np.concatenate(parts, axis=1)
    return signal / (np.iinfo(signal.dtype).max + 1.0) if signal.dtype.kind == "i" else signal


def lag(signal, reference):
    """Return by how many samples a signal is later than a reference, from the peak of their cross-correlation."""
    n = min(len(signal), len(reference))
    spectra = np.fft.rfft([signal[:n], reference[:n]], 2 * n)
    peak = int(np.fft.irfft(spectra[0] * spectra[1].conj()).argmax())
    return peak if peak < n else peak - 2 * n

"""Audio files with false headers."""

import io

import numpy as np
import soundfile


def files_with_false_headers() -> dict[str, bytes]:
    """Make files by name: most headers promise far more than the file holds."""
    noise = np.random.default_rng(0).standard_normal(8000) / 10

    def changed(format, place, content):
        file = io.BytesIO()
        soundfile.write(file, noise, 8000, format=format)
        data = bytearray(file.getvalue())
        place = place if isinstance(place, int) else data.find(place[0]) + place[1]
        data[place : place + len(content)] = content
        return bytes(data)

    eight_channels = ((1048575 << 44) | (7 << 41) | (15 << 36) | 2**36 - 1).to_bytes(8, "big")  # of 6.9e10 samples
    return {
        "size.wav": changed("WAV", (b"data", 4), b"\xff\xff\xff\xf0"), "size.flac": changed("FLAC", 18, eight_channels),
        "samples.flac": changed("FLAC", 22, b"\xff\xff\xff\xff"),
        "size.w64": changed("W64", (b"data", 16), (2**60).to_bytes(8, "little")),
        "size.rf64": changed("RF64", (b"ds64", 16), 2 * (2**60).to_bytes(8, "little")),
        "size.au": changed("AU", 8, b"\xff\xff\xff\xf0"),
        "size.aiff": changed("AIFF", (b"COMM", 10), b"\xff\xff\xff\xf0"),
        "none.wav": changed("WAV", 22, b"\0\0"), "many.wav": changed("WAV", 22, b"\xff\xff"),
        "rate.wav": changed("WAV", 24, b"\xff\xff\xff\x7f"), "empty.wav": b"",
        "random.ogg": np.random.default_rng(1).bytes(5000), "truncated.flac": changed("FLAC", 0, b"")[:2000]}

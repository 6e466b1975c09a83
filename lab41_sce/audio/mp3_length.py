"""The bytes of an MP3 file become its number of samples, counted frame by frame.

Without a Xing header libsndfile estimates the length from the first frame alone. The count shows whether that
estimate is too short.
"""

import re

ENCODER_PADDING = 6 * 1152  # samples that encoders add and libsndfile removes
KBIT_PER_SECOND = {
    True: (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 0),  # MPEG 1
    False: (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160, 0),  # MPEG 2 and 2.5
}
# The first three bytes of a header: layer III of MPEG 2.5, 2 or 1, a bitrate and a sample rate that exist
FRAME = re.compile(rb"\xff[\xe2\xe3\xf2\xf3\xfa\xfb][" + b"".join(
    re.escape(bytes([byte])) for byte in range(0x10, 0xF0) if byte >> 2 & 3 != 3) + rb"](?=.)", re.DOTALL)
TAGS = (b"ID3", b"TAG", b"APE")  # what may follow the last frame
LAST_BYTES = 128  # at the end of a file, which hold no tag with a picture
SAMPLE_RATES_HZ = (44100, 48000, 32000)  # of MPEG 1; MPEG 2 has half, MPEG 2.5 a quarter


def count_mp3_samples(data: bytes) -> int:
    """Add up the samples of all MPEG layer III frames in a file's bytes.

    Args:
        data: the contents of the file.

    Returns:
        Samples of one channel, encoder padding included.
    """
    place = total = 0
    while data[place : place + 3] == b"ID3":  # pictures and texts in a tag can look like frames
        place += 10 + sum((byte & 127) << shift
                          for byte, shift in zip(data[place + 6 : place + 10], (21, 14, 7, 0), strict=True))
    while header := FRAME.search(data, place):
        version, third = header[0][1] >> 3 & 3, header[0][2]
        kbit = KBIT_PER_SECOND[version == 3][third >> 4]
        samples = 1152 if version == 3 else 576
        rate_hz = SAMPLE_RATES_HZ[third >> 2 & 3] >> {3: 0, 2: 1, 0: 2}[version]
        place = header.start() + samples // 8 * 1000 * kbit // rate_hz + (third >> 1 & 1)
        if FRAME.match(data, place) or place >= len(data) - LAST_BYTES or data[place : place + 3] in TAGS:
            total += samples
        else:  # of a picture in a tag at the end
            place = header.start() + 1
    return total

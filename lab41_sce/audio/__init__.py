"""Audio files are read, written and resampled; a recording is read in parts, in windows."""

from lab41_sce.audio.files import (
    FULL_SCALE,
    count_samples,
    decodable,
    decode,
    open_file,
    read,
    read_excerpt,
    read_mono,
    resample,
    to_int16,
    write,
    writers,
)

__all__ = ["FULL_SCALE", "count_samples", "decodable", "decode", "open_file", "read", "read_excerpt", "read_mono",
           "resample", "to_int16", "write", "writers"]

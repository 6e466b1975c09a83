"""Audio files become signals and signals become audio files; a recording is read in parts."""

from lab41_sce.audio.decoder import Decoder
from lab41_sce.audio.reading import load_audio, read, read_excerpt, read_mono, resample, resample_parts
from lab41_sce.audio.writing import FULL_SCALE, check_format, open_writers, to_int16, write

__all__ = ["Decoder", "FULL_SCALE", "check_format", "load_audio", "open_writers", "read", "read_excerpt", "read_mono",
           "resample", "resample_parts", "to_int16", "write"]

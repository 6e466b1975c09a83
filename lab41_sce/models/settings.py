"""The settings of the front end; the defaults are those of the article (section "Experiments")."""

from dataclasses import dataclass

from lab41_sce.errors import UserError
from lab41_sce.setting import check_fields, setting


@dataclass
class FrontEndSettings:
    """How signals become spectrograms and network input (`lab41_sce/models/front_end.py`)."""

    sample_rate_hz: int = setting(10000, "Sample rate of every signal", unit="Hz", at_least=1)
    frame_length: int = setting(512, "Length of a frame and of the FFT", unit="samples", at_least=2)
    hop_length: int = setting(256, "Distance between frames; frame_length must be a multiple of it", unit="samples",
                              at_least=1)
    pre_emphasis: float = setting(0.95, "Coefficient of the first-order difference; 0: no pre-emphasis", at_least=0.0,
                                  below=1.0)
    compression: str = setting("sqrt", "Compression of the magnitudes: sqrt, or log for decibels",
                               choices=("sqrt", "log"))
    scaling: str = setting("min_max", "Scaling over the utterance: min_max to the range 0 to 1, standard to zero mean "
                           "and unit variance", choices=("min_max", "standard"))
    range_db: float = setting(60.0, "Floor of the log compression below the peak of the utterance", unit="dB",
                              at_least=1.0)

    def __post_init__(self) -> None:
        """Raise UserError where a value is not possible, also for a front end that is built without a configuration."""
        check_fields(FrontEndSettings, vars(self), "front_end")
        if self.frame_length % self.hop_length or self.frame_length < 2 * self.hop_length:
            raise UserError(f"front_end.hop_length={self.hop_length} is not possible; it must divide "
                            f"front_end.frame_length={self.frame_length} at least twice.")

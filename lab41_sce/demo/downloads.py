"""A result becomes files in the visitor's folder: sounds to play, and the files that the page offers for download.

    mixture.wav, voice_1.wav, ..., true_1.wav, ...    16 bits, one scale for all
    separation.json, speakers.rttm                    who speaks when, as `lab41-sce separate` writes it
    labels.txt                                        who speaks when, for Audacity
    voices.zip                                        the voices and these three files
"""

import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from lab41_sce import atomic_write, audio
from lab41_sce.audio.recording import Recording
from lab41_sce.demo.results import Result
from lab41_sce.demo.sounds import Sound
from lab41_sce.separation.activity import Segments
from lab41_sce.separation.output_paths import JSON, RTTM
from lab41_sce.separation.voice_files import write_extras

MAX_PEAK = 0.99  # of full scale
MIXTURE, ZIP, LABELS = "mixture.wav", "voices.zip", "labels.txt"
DOWNLOADS = {ZIP: "All voices (ZIP)", "separation.json": "JSON", "speakers.rttm": "RTTM",
             LABELS: "Labels for Audacity"}


def write_preview(sound: Sound, folder: Path) -> None:
    """Write a sound, before it is separated, to a folder."""
    audio.write(folder / MIXTURE, sound.signal * _scale(sound.signal), sound.sample_rate_hz, "PCM_16")


def write_result(result: Result, folder: Path) -> None:
    """Write all files of a result to a folder."""
    sound, sources = result.sound, result.sound.sources
    named = {MIXTURE: sound.signal, **{voice_file(index): voice for index, voice in enumerate(result.voices)}}
    if sources is not None:
        named |= {true_file(index): source for index, source in enumerate(sources)}
    scale = _scale(*named.values())
    for name, signal in named.items():
        audio.write(folder / name, signal * scale, sound.sample_rate_hz, "PCM_16")
    voices = [folder / voice_file(index) for index in range(len(result.voices))]
    extras = {JSON: folder / "separation.json", RTTM: folder / "speakers.rttm"}
    write_extras(extras, result.separation, Recording(sound.signal[None], sound.sample_rate_hz, sound.name), voices)
    atomic_write.write_text(folder / LABELS, audacity_labels(result.separation.activity.segments(), result.names))
    with zipfile.ZipFile(folder / ZIP, "w") as archive:
        for file in (*voices, *extras.values(), folder / LABELS):
            archive.write(file, file.name)


def voice_file(index: int) -> str:
    """Return the name of the file of a voice, by its index from 0."""
    return f"voice_{index + 1}.wav"


def true_file(index: int) -> str:
    """Return the name of the file of a source of a made mixture, by its index from 0."""
    return f"true_{index + 1}.wav"


def audacity_labels(segments: Segments, names: Sequence[str]) -> str:
    """Format segments as a label track of Audacity: start, end (seconds) and name in each line, ordered by start.

    Args:
        segments: see `SpeakerActivity.segments`.
        names: of the voices.
    """
    rows = sorted((start, end, name) for name, of_voice in zip(names, segments, strict=True)
                  for start, end in of_voice)
    return "".join(f"{start:.3f}\t{end:.3f}\t{name}\n" for start, end, name in rows)


def _scale(*signals: np.ndarray) -> float:
    """Return the factor that keeps all signals below full scale; 1 if they are."""
    return min(1.0, MAX_PEAK / max(*(np.abs(signal).max(initial=0.0) for signal in signals), 1e-9))

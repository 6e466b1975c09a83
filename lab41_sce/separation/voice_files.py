"""The voices of a recording become files, with JSON and RTTM on request; all files appear together, or none does."""

import itertools
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np

from lab41_sce import atomic_write, audio
from lab41_sce.audio.recording import Recording
from lab41_sce.errors import UserError
from lab41_sce.separation.activity import Segments, rttm
from lab41_sce.separation.channel_voices import ChannelStream
from lab41_sce.separation.output_paths import JSON, RTTM, VOICE_COMMENT, OutputPaths
from lab41_sce.separation.people import voice_names
from lab41_sce.separation.result import Separation
from lab41_sce.separation.staging import CheckPlaces, staged
from lab41_sce.separation.streaming import VoiceStream
from lab41_sce.separation.verdict import verdict

# Draws the pictures among the extra files: (extras by ending, result, recording, files of the voices).
DrawExtras = Callable[[Mapping[str, Path], Separation, Recording, Sequence[Path]], None]


def write_voice_files(stream: VoiceStream | ChannelStream, recording: Recording, outputs: OutputPaths, draw: DrawExtras,
                      check: CheckPlaces, rate_hz: int) -> tuple[Separation, float]:
    """Separate a recording into files, part by part; they are numbered by the start of their speech, or by channel.

    Args:
        stream: separates the recording, or copies its channels.
        recording: the recording, opened from a file.
        outputs: names of the files.
        draw: draws the pictures among the extra files.
        check: raises if a file may not be written; called when all files are complete (`staged`).
        rate_hz: sample rate of the files.

    Returns:
        The result in the order of the files, without the voices, and the largest absolute sample of all voices.

    Raises:
        UserError: the recording cannot be decoded, or a file cannot or may not be written.
    """
    names = voice_names(stream.speakers.people, stream.speakers.n_speakers)
    parts = stream.with_rest() if outputs.rest and isinstance(stream, VoiceStream) else iter(stream)
    parts = audio.resample_parts(parts, recording.sample_rate_hz, rate_hz)
    n_samples = round(recording.n_samples * rate_hz / recording.sample_rate_hz)
    first = next(parts)  # a recording that cannot be decoded leaves no folder
    peak = 0.0
    try:
        with staged(outputs.all(names), check) as temporary:
            voices = [temporary[voice] for voice in outputs.named(names)]
            sounds = [temporary[sound] for sound in outputs.sounds(names)]
            with audio.open_writers(sounds, rate_hz, first.shape[1], n_samples, VOICE_COMMENT) as write:
                for part in itertools.chain([first], parts):
                    write(part)
                    peak = max(peak, float(np.abs(part).max(initial=0.0)))
            separation = stream.result()
            if isinstance(stream, VoiceStream):  # the numbers of channels stay
                order = separation.order_of_speech()
                separation = separation.reordered(order)
                _renumber(voices, order)
            extras = {ending: temporary[extra] for ending, extra in outputs.extras.items()}
            write_extras(extras, separation, recording, voices, sounds[-1] if outputs.rest else None)
            draw(extras, separation, recording, voices)
    except OSError as error:
        raise UserError(f"{Path(recording.name).name}: its voices could not be written to {outputs.folder} "
                        f"({error.strerror}); choose another --out-dir.") from None
    return separation, peak


def _renumber(voices: Sequence[Path], order: Sequence[int]) -> None:
    """Rename files so that the first becomes the one with the first index of `order`, and so on."""
    waiting = [voice.rename(voice.with_name(f"{number}.unordered")) for number, voice in enumerate(voices)]
    for voice, index in zip(voices, order, strict=True):
        waiting[index].rename(voice)


def write_extras(extras: Mapping[str, Path], separation: Separation, recording: Recording,
                 voices: Sequence[Path], rest: Path | None = None) -> None:
    """Write the RTTM and JSON files among `extras`, which are named by their endings.

    Args:
        extras: files to write, by their endings.
        separation: the result.
        recording: the recording.
        voices: files of the voices.
        rest: file of what belongs to no voice.

    Raises:
        UserError: a file cannot be written.
    """
    segments = separation.activity.segments()
    if RTTM in extras:
        atomic_write.write_text(extras[RTTM], rttm(Path(recording.name).stem, segments, separation.names))
    if JSON in extras:
        described = _describe(separation, recording, voices, segments)
        if rest:
            described["rest"] = rest.name
        atomic_write.write_text(extras[JSON], json.dumps(described, indent=2))


def _describe(separation: Separation, recording: Recording, voices: Sequence[Path], segments: Segments) -> dict:
    """Collect the contents of the JSON file: times in seconds, confidence 0 to 1 or None, similarity as cosines."""
    confidence, *by_second = (None if math.isnan(value) else round(value, 3) for value in (
        separation.confidence, *separation.activity.confidence_by_second().tolist()))
    described = {
        "file": Path(recording.name).name, "seconds": recording.seconds, "speakers": separation.n_speakers,
        "confidence": confidence, "low_confidence": separation.low_confidence, "confidence_by_second": by_second,
        "voices": [{"file": voice.name, **({} if name.isdecimal() else {"name": name}),
                    "speaks": [[round(time, 3) for time in pair] for pair in of_voice]}
                   for voice, name, of_voice in zip(voices, separation.names, segments, strict=True)]}
    if separation.count:
        described["count"] = {"why": str(separation.count), "cluster_variances": separation.count.cluster_variances,
                              "probabilities": separation.count.probabilities}
    if separation.people:
        first = separation.people[0]
        described["enrolled"] = {"found": first.present, "similarity": first.similarity}
        described["people"] = [asdict(person) | {"voice": None if person.voice is None else voices[person.voice].name}
                               for person in separation.people]
    return described


def summarise(separation: Separation, first_voice: Path, peak: float, leftovers: Sequence[Path]) -> list[str]:
    """Explain a result in sentences: number of people, confidence, enrolled person, clipping, files of earlier calls.

    Args:
        separation: the result to explain.
        first_voice: file of the first voice.
        peak: largest absolute sample of all voices.
        leftovers: see `OutputPaths.leftovers`.
    """
    sentences = [line] if (line := verdict(separation, "give --speakers {}")) else []
    for person in separation.people:
        if person.name:
            sentences.append(f"{person}")
        else:
            subject = "the first voice is" if person.present else "none of the voices is"
            sentences.append(f"{subject} that of the enrolled person ({person.evidence})")
    if round(peak, 2) > 1:
        clipped = ("the file is clipped; add --format wav to avoid this" if first_voice.suffix == ".flac"
                   else "players may clip it")
        sentences.append(f"a voice has a peak of {peak:.2f} times full scale: {clipped}")
    if leftovers:
        sentences.append(f"these files may be from an earlier call: {', '.join(map(str, leftovers))}")
    return sentences

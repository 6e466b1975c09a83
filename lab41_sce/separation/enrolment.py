"""The recordings in which people talk alone become the descriptions of their voices, by name."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from lab41_sce.audio.recording import Recording
from lab41_sce.errors import UserError
from lab41_sce.separation.voice_description import VoiceDescription
from lab41_sce.separation.voice_names import check_names


def describe_people(people: Mapping[str, Any], sample_rate_hz: int,
                    describe: Callable[[Sequence[Recording]], VoiceDescription]) -> dict[str, VoiceDescription]:
    """Describe people.

    Args:
        people: by name, each with a list of files, of `Recording` or of signals `[N]`, or with a description. A single
            person may have an empty name.
        sample_rate_hz: of the signals.
        describe: describes the voice in some recordings.

    Raises:
        UserError: the people are not given by name, a name is not possible, a person has no recordings, or a recording
            cannot be used.
    """
    if not isinstance(people, Mapping) or not all(isinstance(name, str) for name in people):
        raise UserError('Enrolled people are given by name; give, for example, {"Ann": ["ann.wav"]}.')
    if [*people] != [""]:
        check_names(people)
    described = {}
    for name, sources in people.items():
        if not isinstance(sources, VoiceDescription):
            if not isinstance(sources, (list, tuple)) or not sources:
                raise UserError(f"{name or 'the enrolled person'} has no list of recordings; give, for example, "
                                '{"Ann": ["ann.wav"]}.')
            sources = describe([_open(source, sample_rate_hz) for source in sources])
        described[name] = sources
    return described


def _open(source: Any, sample_rate_hz: int) -> Recording:
    """Open a file, a `Recording` or a signal."""
    if isinstance(source, (str, Path)):
        return Recording.open(source, "mix")
    return source if isinstance(source, Recording) else Recording.of(source, sample_rate_hz)

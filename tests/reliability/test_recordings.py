"""Sound files of every format that libsndfile writes, whole and damaged: read exactly, or with a sentence.

Round trips: any part of a file equals that part of the whole file. Damaged files: cut, joined, with another size in the
header, with bytes changed. Each ends in all the sound that can be decoded, or in one clear error message.
"""

import io

import numpy as np
import pytest
import soundfile

from lab41_sce import audio
from lab41_sce.audio.recording import Recording
from lab41_sce.errors import UserError
from reliability.campaign import Lost

pytestmark = pytest.mark.torture(part="recordings")
RATES_HZ, N_SECONDS, N_SEEKS = (8000, 16000, 44100, 48000), 4.0, 12
MAX_ROUNDING = 1e-6  # libmpg123 rounds by the number of samples that a call asks for
DAMAGES = ("cut", "joined", "doubled size", "a third of the size", "changed bytes", "trailing bytes", "empty")


def sound(rate_hz, n_channels, rng):
    """Return tones with noise, float32 `[N, C]`."""
    time = np.arange(round(N_SECONDS * rate_hz)) / rate_hz
    tones = np.sin(2 * np.pi * np.outer(time, 200 + 90 * np.arange(n_channels)))
    return (0.3 * tones + 0.03 * rng.standard_normal(tones.shape)).astype(np.float32)


def formats(rates_hz):
    """List (container, codec, rate in Hz, contents) of all that libsndfile can write."""
    rng = np.random.default_rng(0)
    # RAW has no header; SD2 writes a second file beside the first.
    for container in sorted(set(soundfile.available_formats()) - {"RAW", "SD2"}):
        for codec in sorted(soundfile.available_subtypes(container)):
            for rate_hz in rates_hz:
                for n_channels in (1, 2):
                    file = io.BytesIO()
                    try:
                        soundfile.write(file, sound(rate_hz, n_channels, rng), rate_hz, codec, format=container)
                    except (soundfile.LibsndfileError, ValueError, TypeError):
                        continue  # libsndfile does not write this combination
                    yield container, codec, rate_hz, file.getvalue()


def test_round_trips_and_seeks(campaign, quick, tmp_path):
    refused = set()
    for container, codec, rate_hz, contents in formats(RATES_HZ[1:2] if quick else RATES_HZ):
        path = tmp_path / f"sound.{container.lower()}"
        path.write_bytes(contents)

        def case(path=path, container=container, codec=codec, written_hz=rate_hz):
            try:
                whole, _ = audio.read(path)
            except UserError as error:
                assert "decoded" in str(error), error
                refused.add(f"{codec} in {container}")
                return
            recording, rng = Recording.open(path), np.random.default_rng(1)
            if recording.n_samples != whole.shape[1] or recording.n_samples < 0.97 * N_SECONDS * written_hz:
                raise Lost(f"{container} {codec}: {recording.n_samples} samples")
            for start in rng.integers(0, recording.n_samples - 3000, N_SEEKS):
                stop = int(start + rng.integers(1, 3000))
                difference = np.abs(recording.read(int(start), stop) - whole[:, start:stop]).max()
                if difference > (MAX_ROUNDING if codec.startswith("MPEG") else 0):
                    raise Lost(f"{container} {codec}, from {start} to {stop}: {difference}")

        campaign.run(case)
    campaign.record("Formats of libsndfile, at random places",
                    f"{N_SEEKS} places in each; refused in a sentence: {', '.join(sorted(refused)) or 'none'}")


def damaged(contents, damage, rng):
    """Return the contents of a file after a damage."""
    changed = bytearray(contents)
    if damage == "cut":
        return contents[: int(len(contents) * rng.uniform(0.02, 0.98))]
    if damage == "joined":
        return contents + contents
    if damage == "trailing bytes":
        return contents + rng.bytes(5000)
    if damage == "empty":
        return b""
    if damage == "changed bytes":
        for place in rng.integers(0, len(changed), 20):
            changed[place] = rng.integers(256)
        return bytes(changed)
    place = contents.find(b"data") + 4
    if place >= 4:
        size = int.from_bytes(contents[place : place + 4], "little")
        factor = 2 if damage == "doubled size" else 1 / 3
        changed[place : place + 4] = min(int(size * factor), 2**32 - 1).to_bytes(4, "little")
    return bytes(changed)


def test_damaged_files(campaign, quick, tmp_path):
    kept = {"WAV": ("PCM_16", "FLOAT", "IMA_ADPCM", "GSM610"), "FLAC": ("PCM_16",), "OGG": ("VORBIS", "OPUS"),
            "MP3": ("MPEG_LAYER_III",), "AIFF": ("PCM_16",), "AU": ("PCM_16",), "CAF": ("PCM_16",), "W64": ("PCM_16",)}
    rng = np.random.default_rng(2)
    for container, codec, rate_hz, contents in formats(RATES_HZ[:1] if quick else RATES_HZ[:3]):
        if codec not in kept.get(container, ()):
            continue
        for damage in DAMAGES:
            path = tmp_path / "sound"
            path.write_bytes(damaged(contents, damage, rng))

            def case(path=path, damage=damage, name=f"{container} {codec}", rate_hz=rate_hz):
                try:
                    recording = Recording.open(path)
                    samples = recording.read(0, recording.n_samples)
                except UserError as error:
                    assert len(str(error).splitlines()) == 1, error
                    return
                if damage in ("cut", "doubled size", "a third of the size") and not recording.notes:
                    stated = abs(recording.n_samples - N_SECONDS * rate_hz)
                    assert stated < 0.03 * N_SECONDS * rate_hz, f"{name}, {damage}: {samples.shape} without a word"
                if damage == "joined" and not recording.notes:
                    assert samples.shape[1] > 1.5 * N_SECONDS * rate_hz, f"{name}: half without a word"

            campaign.run(case)
    campaign.record("Damaged sound files", ", ".join(DAMAGES))

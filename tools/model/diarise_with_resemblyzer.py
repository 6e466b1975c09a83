"""Find who speaks when with Resemblyzer and spectral clustering, as a baseline; write an RTTM file for each recording.

    python -m venv /tmp/resemblyzer
    /tmp/resemblyzer/bin/pip install resemblyzer==0.1.4 spectralcluster==0.2.22 "setuptools<81"
    python tools/model/score_conversations.py $LIBRISPEECH results/model --audio RECORDINGS
    /tmp/resemblyzer/bin/python tools/model/diarise_with_resemblyzer.py RECORDINGS RTTM
    python tools/model/score_conversations.py $LIBRISPEECH RESULTS --found RTTM

Each recording `N.wav` has its number of speakers in `N.txt`. Resemblyzer computes an embedding of 1.6 s twice a
second (its model comes with the package). Spectral clustering (Wang et al., arXiv 1710.10468, the settings of its
authors) divides the embeddings of frames with speech among the speakers. Speech is found by the detector of WebRTC
that Resemblyzer uses itself. It gives one speaker at a time, so it misses the second voice of overlapping speech.
"""

import sys
from pathlib import Path

import numpy as np
import soundfile
import webrtcvad
from resemblyzer import VoiceEncoder
from scipy.ndimage import binary_closing, binary_opening
from spectralcluster import configs

RATE_HZ, FRAME_SECONDS, EMBEDDINGS_A_SECOND = 16000, 0.03, 2
PAUSE_SECONDS, SOUND_SECONDS = 0.3, 0.2


def speech_frames(signal: np.ndarray) -> np.ndarray:
    """Mark the frames of 30 ms with speech, bool `[T]`."""
    detector, length = webrtcvad.Vad(3), round(FRAME_SECONDS * RATE_HZ)
    samples = (32767 * signal).astype(np.int16)
    found = [detector.is_speech(samples[start : start + length].tobytes(), RATE_HZ)
             for start in range(0, len(samples) - length + 1, length)]
    pause, sound = (np.ones(round(seconds / FRAME_SECONDS)) for seconds in (PAUSE_SECONDS, SOUND_SECONDS))
    return binary_opening(binary_closing(np.pad(found, len(pause)), pause)[len(pause) : -len(pause)], sound)


def main() -> None:
    """Diarise every recording of a folder."""
    recordings, results = map(Path, sys.argv[1:])
    results.mkdir(parents=True, exist_ok=True)
    encoder = VoiceEncoder("cpu", verbose=False)
    for file in sorted(recordings.glob("*.wav")):
        if (results / f"{file.stem}.rttm").exists():
            continue
        signal, rate_hz = soundfile.read(file, dtype="float32")
        assert rate_hz == RATE_HZ
        n_speakers = int(file.with_suffix(".txt").read_text())
        speech = speech_frames(signal)
        _, embeddings, places = encoder.embed_utterance(signal, return_partials=True, rate=EMBEDDINGS_A_SECOND)
        middles = np.array([(place.start + place.stop) / 2 / RATE_HZ for place in places])
        in_speech = speech[np.minimum((middles / FRAME_SECONDS).astype(int), len(speech) - 1)]
        clusterer = configs.icassp2018_clusterer
        clusterer.min_clusters = clusterer.max_clusters = n_speakers
        labels = clusterer.predict(embeddings[in_speech])
        frames_seconds = (np.arange(len(speech)) + 0.5) * FRAME_SECONDS
        after = np.searchsorted(middles[in_speech], frames_seconds).clip(1, in_speech.sum() - 1)
        nearer_before = frames_seconds - middles[in_speech][after - 1] < middles[in_speech][after] - frames_seconds
        voice = np.where(speech, labels[after - nearer_before], -1)
        edges = np.flatnonzero(np.diff(np.concatenate([[-1], voice, [-1]])))
        lines = [f"SPEAKER {file.stem} 1 {start * FRAME_SECONDS:.3f} {(end - start) * FRAME_SECONDS:.3f} <NA> <NA> "
                 f"voice_{voice[start] + 1} <NA> <NA>\n"
                 for start, end in zip(edges[:-1], edges[1:], strict=True) if voice[start] >= 0]
        (results / f"{file.stem}.rttm").write_text("".join(lines), "utf-8")
        print(file.stem, flush=True)


if __name__ == "__main__":
    main()

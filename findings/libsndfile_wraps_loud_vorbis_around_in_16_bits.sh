#!/usr/bin/env bash
# soundfile 0.14.0 with libsndfile 1.2.2: `soundfile.read(path, dtype="int16")` of an Ogg Vorbis file of a loud voice,
# whose peak was 0.99 of full scale before it was encoded.
# Expected: the nearest 16-bit numbers. As after any lossy encoder, some decoded peaks lie above full scale; they
# become 32767 or -32768, as those of the same voice in an MP3 file do. soundfile asks libsndfile to limit, in every
# file.
# Seen: they wrap around. A sample of 1.01 becomes -0.99: a click of twice the full scale, here 243 of them in two
# seconds, and an error 9 dB below the voice. Read as floats, the same file is sound. libsndfile rounds Vorbis to
# integers without a limit, whatever is asked.
# Met where a loader of a corpus keeps 16-bit samples to save memory, with recordings normalised to full scale.
# Way out: read floats, limit them, then convert.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet soundfile==0.14.0 numpy==2.4.6
cat > "$folder/loud.py" <<'PYTHON'
import sys

import numpy as np
import soundfile

RATE_HZ = 16_000
time = np.arange(2 * RATE_HZ) / RATE_HZ
cycles = np.cumsum(150 + 10 * np.sin(2 * np.pi * 5 * time)) / RATE_HZ  # of a voice of 150 Hz with vibrato
voice = sum(np.sin(2 * np.pi * number * cycles) / number for number in range(1, 12))
voice *= 0.99 / np.abs(voice).max()


def compare(format, subtype):
    """Return the decoded peak, the number of 16-bit samples off by more than full scale, and their error in dB."""
    path = f"{sys.argv[1]}/voice.{format.lower()}"
    with soundfile.SoundFile(path, "w", RATE_HZ, 1, subtype, format=format) as file:
        file.write(voice)
    decoded = soundfile.read(path)[0]
    error = soundfile.read(path, dtype="int16")[0] / 32768 - np.clip(decoded, -1, 1)
    return (float(np.abs(decoded).max()), int((np.abs(error) > 1).sum()),
            float(10 * np.log10(np.mean(error**2) / np.mean(voice**2) + 1e-20)))


seen = {subtype: compare(format, subtype)
        for format, subtype in (("WAV", "PCM_16"), ("MP3", "MPEG_LAYER_III"), ("OGG", "VORBIS"))}
print("soundfile", soundfile.__version__, soundfile.__libsndfile_version__)
for subtype, (peak, wrapped, error_db) in seen.items():
    print(f"{subtype}: decoded peak {peak:.3f}; as int16, {wrapped} of {len(voice)} samples wrap around, "
          f"error {error_db:.0f} dB")
(_, of_wav, _), (mp3_peak, of_mp3, mp3_db), (vorbis_peak, of_vorbis, vorbis_db) = seen.values()
sys.exit(not (of_wav == of_mp3 == 0 and of_vorbis > 20 and min(mp3_peak, vorbis_peak) > 1 and mp3_db < -80
              and vorbis_db > -20))
PYTHON
"$folder/venv/bin/python" "$folder/loud.py" "$folder"

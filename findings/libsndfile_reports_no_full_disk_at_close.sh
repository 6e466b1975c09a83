#!/usr/bin/env bash
# soundfile 0.14.0 with libsndfile 1.2.2: `soundfile.write` where the disk is full before the end of the file. (A limit of
# the size of a file stands for the full disk.)
# Expected: an error for every format, since the file is not complete.
# Seen: FLAC, OGG and MP3 files whose last bytes do not fit are written without an error, and end early. Their encoders
# write the last samples when the file is closed, and closing reports no failure. WAV files raise an error, without a text.
# A program that writes to a temporary file and then renames it replaces a complete recording by an incomplete one.
# Way out: write through a Python file object, whose own errors are raised, or compare the length after closing.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet soundfile==0.14.0 numpy==2.4.6
cat > "$folder/full.py" <<'PYTHON'
import os
import resource
import signal
import sys

import numpy as np
import soundfile

RATE_HZ = 16_000
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # a write beyond the limit fails, as on a full disk
noise = np.random.default_rng(0).standard_normal(30 * RATE_HZ) / 5


def write(path, most_bytes):
    """Write the noise where a file cannot have more bytes; return the error, or None, and the bytes written."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (most_bytes, resource.RLIM_INFINITY))
    try:
        soundfile.write(path, noise, RATE_HZ)
        error = None
    except soundfile.LibsndfileError as raised:
        error = raised
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)
    return error, os.path.getsize(path)


print("soundfile", soundfile.__version__, soundfile.__libsndfile_version__)
silent = {}
for suffix in ("wav", "flac", "ogg", "mp3"):
    path = os.path.join(sys.argv[1], f"noise.{suffix}")
    _, whole = write(path, resource.RLIM_INFINITY)
    error, size = write(path, whole - 1)
    silent[suffix] = error is None
    print(f"{suffix}: {size} of {whole} bytes, error {error!r}")
sys.exit(silent != {"wav": False, "flac": True, "ogg": True, "mp3": True})
PYTHON
"$folder/venv/bin/python" "$folder/full.py" "$folder"

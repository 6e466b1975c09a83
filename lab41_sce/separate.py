"""Separate recordings from the command line.

    python -m lab41_sce.separate mixture.wav --model runs/reproduce --speakers 2 --out-dir voices

writes voices/mixture_1.wav and voices/mixture_2.wav, in the input's format and sample rate.
"""

import argparse
import itertools
import sys
from pathlib import Path

from tqdm import tqdm

from lab41_sce import audio
from lab41_sce.errors import UserError
from lab41_sce.recordings import Recording

MOST_SPEAKERS = 10  # models are trained on two or three


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser("python -m lab41_sce.separate", description="Write one file for each speaker.")
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE", help="recordings (WAV, FLAC, OGG, MP3)")
    parser.add_argument("--model", required=True, type=Path, metavar="RUN_OR_FILE",
                        help="folder of a run, or a .keras file")
    parser.add_argument("--speakers", default=2, type=int, help="how many people talk (default: 2)")
    parser.add_argument("--out-dir", default=Path("."), type=Path, metavar="DIR", help="for the voices (default: here)")
    parser.add_argument("--channels", default="mix", type=_channels, metavar="mix|each|N",
                        help="separate the mean of the channels (default), each with the masks of the mean, or one")
    parser.add_argument("--plot", action="store_true", help="write the spectrograms, too, as PNG")
    parser.add_argument("--force", action="store_true", help="replace files that exist")
    return parser.parse_args(arguments)


def _channels(text: str) -> str | int:
    """Read the argument of --channels."""
    if text not in ("mix", "each") and not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is neither mix nor each nor a number")
    return int(text) if text.isdecimal() else text


def plan(path: Path, n_speakers: int, out_dir: Path, plot: bool) -> list[Path]:
    """List the files that separating a recording writes: a voice for each speaker, and the picture if wanted."""
    suffix = path.suffix.lower() if path.suffix.lower() in (".flac", ".ogg", ".mp3") else ".wav"
    voices = [out_dir / f"{path.stem}_{number}{suffix}" for number in range(1, n_speakers + 1)]
    return [*voices, out_dir / f"{path.stem}_spectrograms.png"] if plot else voices


def check_outputs(files: list[Path], outputs: list[Path], force: bool) -> None:
    """Raise UserError if an output is written twice, replaces a recording, or exists and must not be replaced."""
    places = [output.resolve() for output in outputs]
    for output, place in zip(outputs, places):
        if places.count(place) > 1 or place in [file.resolve() for file in files]:
            raise UserError(f"{output} would be written twice or replace a recording; separate recordings of one name "
                            "apart, and choose another --out-dir.")
        if output.exists() and not force:
            raise UserError(f"{output} exists already; add --force to replace it, or choose another --out-dir.")


def separate_file(separator, path: Path, n_speakers: int, out_dir: Path, plot: bool, take: str | int) -> list[Path]:
    """Separate one file into `<out_dir>/<name>_<number>` and its suffix.

    Args:
        separator: a `Separator`.
        path: the recording.
        n_speakers: S.
        out_dir: folder, made if it is not there.
        plot: also write `<name>_spectrograms.png`.
        take: which channels, see `Recording`.

    Returns:
        The files written.

    Raises:
        UserError: the recording cannot be read, or a file cannot be written.
    """
    recording = Recording.open(path, take)
    outputs = plan(path, n_speakers, out_dir, plot)
    parts = separator.stream(recording, n_speakers)
    first = next(parts)  # before anything is written
    try:
        out_dir.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"--out-dir {out_dir} cannot be made ({error.strerror}); choose another folder.") from None
    rate_hz, voices = recording.sample_rate_hz, outputs[:n_speakers]
    subtype = "FLOAT" if voices[0].suffix == ".wav" else None  # float: a voice may peak above the mixture
    seconds = recording.n_samples / rate_hz
    with (audio.writers(voices, rate_hz, recording.n_channels, subtype) as files,
          tqdm(total=round(seconds), desc=path.name, unit=" s", leave=False, disable=seconds < 60) as bar):
        for part in itertools.chain([first], parts):
            for file, voice in zip(files, part, strict=True):
                file.write(voice.T)
            bar.update(part.shape[-1] / rate_hz)
    if plot:
        from lab41_sce import figures

        panels = {file.name: audio.read(file)[0].mean(axis=0) for file in (path, *voices)}
        figures.save(figures.spectrograms(panels, rate_hz), outputs[-1])
    return outputs


def main(arguments: list[str] | None = None) -> int:
    """Separate every file; return 0, or 1 if something could not be done, after one sentence about it."""
    options = parse(arguments)
    failed = False
    try:
        if not 1 <= options.speakers <= MOST_SPEAKERS:
            raise UserError(f"--speakers {options.speakers} is not possible; ask for 1 to {MOST_SPEAKERS}.")
        if options.out_dir.exists() and not options.out_dir.is_dir():
            raise UserError(f"--out-dir {options.out_dir} is a file; choose another folder.")
        outputs = [output for path in options.files
                   for output in plan(path, options.speakers, options.out_dir, options.plot)]
        check_outputs(options.files, outputs, options.force)
        from lab41_sce.separation import Separator  # imports TensorFlow: after what can be told at once

        separator = Separator.load(options.model)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    for path in tqdm(options.files, "separating", unit=" files", disable=len(options.files) == 1):
        try:
            for output in separate_file(separator, path, options.speakers, options.out_dir, options.plot,
                                        options.channels):
                tqdm.write(str(output))
        except UserError as error:
            failed = True
            tqdm.write(f"error: {error}", file=sys.stderr)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())

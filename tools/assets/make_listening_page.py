"""Separate six mixtures of synthetic speech with the shipped model, and write the page on which they can be heard.

    python tools/assets/make_listening_page.py

Three of the mixtures are the package's examples. The other three are the best, the median and the worst of 40 mixtures
of two speakers, drawn at random from the embedded corpus, so that the page does not show good results only.

Written are `docs/listen.md` and, in `docs/listen/`, the mixtures and voices (MP3) and a spectrogram of each (PNG).
"""

import io
from pathlib import Path
from typing import NamedTuple

import numpy as np
import soundfile
from make_examples import PEAK, RATE_HZ, UTTERANCES, load, overlap
from PIL import Image
from tqdm import tqdm

import lab41_sce as sce
from lab41_sce.data.corpus import EMBEDDED_ROOT
from lab41_sce.evaluation.metrics import best_pairs, si_sdr_improvement, si_sdr_matrix
from lab41_sce.reporting.sound_figures import spectrograms

DOCS = Path(__file__).parents[2] / "docs"
FOLDER = DOCS / "listen"
N_DRAWN, SEED = 40, 0
MAX_WIDTH, N_COLOURS = 1000, 64  # of the pictures
MP3_COMPRESSION = 0.2  # 0 to 1; with 0.4, the default, three voices do not add up to the mixture within 1 %
TITLES = {"mixture": "A woman and a man", "two_women": "Two women", "three_people": "Three people"}
PAGE = """# Listen

Six mixtures, and the voices that the shipped model separates from them. The number of speakers was given. All speakers
are synthetic voices of the package's embedded corpus; the model was trained on none of them.

The first three mixtures are the examples of the package. The last three are the best, the median and the worst of
{n_drawn} mixtures of two speakers that were drawn at random, by the improvement of the scale-invariant
signal-to-distortion ratio (SI-SDR). `tools/assets/make_listening_page.py` writes this page.
"""
SECTION = """
## {title}

SI-SDR improvement: **{improvement:.1f} dB**, the mean of {n_voices} voices.

| sound | player |
| --- | --- |
{players}

![Spectrograms of the mixture and of its voices](listen/{name}.png)
"""
PLAYER = ('| [{label}](listen/{file}) '
          '| <audio controls preload="none" src="listen/{file}" aria-label="{title}: {label}"></audio> |')


class Separated(NamedTuple):
    """A mixture `[N]`, its voices `[S, N]` in the order of the sources, and the improvement in dB."""

    mixture: np.ndarray
    voices: np.ndarray
    improvement: float


def separate(separator: sce.Separator, sources: np.ndarray) -> Separated:
    """Mix sources `[S, N]`, and separate and score them."""
    sources = PEAK * sources / np.abs(sources.sum(axis=0)).max()
    mixture = sources.sum(axis=0)
    voices = separator.separate(mixture, RATE_HZ, len(sources)).voices
    voices = voices[best_pairs(si_sdr_matrix(sources, voices))[1]]
    return Separated(mixture, voices, si_sdr_improvement(sources, mixture, voices))


def draw_pairs() -> list[tuple[str, str]]:
    """Draw sentences of two different speakers for each mixture."""
    rng = np.random.default_rng(SEED)
    names = {speaker.name: sorted(path.stem for path in speaker.rglob("*.ogg"))
             for speaker in sorted((EMBEDDED_ROOT / "synthetic").iterdir())}
    pairs = [rng.choice([*names], 2, replace=False) for _ in range(N_DRAWN)]
    return [tuple(str(rng.choice(names[speaker])) for speaker in pair) for pair in pairs]


def write(name: str, title: str, separated: Separated) -> str:
    """Write the sounds and the picture of a mixture; return its section of the page."""
    mixture, voices, improvement = separated
    sounds = {"mixture": mixture} | {f"voice {number}": voice for number, voice in enumerate(voices, start=1)}
    players = []
    for label, signal in sounds.items():
        file = f"{name}_{label.replace(' ', '_')}.mp3"
        soundfile.write(FOLDER / file, signal, RATE_HZ, format="MP3", compression_level=MP3_COMPRESSION)
        players.append(PLAYER.format(label=label, file=file, title=title))
    drawn = io.BytesIO()
    spectrograms(sounds, RATE_HZ).savefig(drawn, format="png")
    picture = Image.open(drawn).convert("RGB")
    picture.thumbnail((MAX_WIDTH, picture.height))
    picture.quantize(N_COLOURS).save(FOLDER / f"{name}.png", optimize=True)
    return SECTION.format(title=title, name=name, improvement=improvement, n_voices=len(voices),
                          players="\n".join(players))


def main() -> None:
    """Make the files and the page."""
    separator = sce.Separator.from_pretrained()
    FOLDER.mkdir(exist_ok=True)
    sections = [write(name, TITLES[name], separate(separator, overlap(map(load, UTTERANCES[name])))) for name in TITLES]
    drawn = [separate(separator, overlap(map(load, pair))) for pair in tqdm(draw_pairs(), "separating")]
    ranked = sorted(drawn, key=lambda separated: -separated.improvement)
    for name, place in (("best", 0), ("median", N_DRAWN // 2), ("worst", N_DRAWN - 1)):
        sections.append(write(name, f"The {name} of {N_DRAWN}", ranked[place]))
    (DOCS / "listen.md").write_text(PAGE.format(n_drawn=N_DRAWN) + "".join(sections), "utf-8")
    print(f"docs/listen: {sum(path.stat().st_size for path in FOLDER.iterdir()) / 1e6:.1f} MB")


if __name__ == "__main__":
    main()

"""LibriMix's metadata become the signals of its files, sample by sample; `librimix/` is an excerpt of its metadata."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
from scipy.signal import resample_poly

from lab41_sce.data.librimix import load_librimix
from lab41_sce.errors import UserError

EXCERPT = Path(__file__).parent / "librimix"
UTTERANCES = {"101-1-0001": 9000, "202-1-0001": 30001, "303-1-0001": 20000}  # samples
GAINS = (0.7875413348848695, 1.4352834120507272, 0.3442805985487599)
SEXES = ";ID |SEX| SUBSET\n101  | F | test-clean | 8.0 | A\n202 | M | test-clean\n303 | F | test-clean\n"


@pytest.fixture
def librispeech(tmp_path):
    """Make a LibriSpeech with three utterances of noise, WHAM!'s noise of 0.8 s, and metadata of 2 and 3 sources."""
    rng, paths = np.random.default_rng(0), []
    for name, n_samples in UTTERANCES.items():
        paths.append(f"test-clean/{name.replace('-', '/', 2).rpartition('/')[0]}/{name}.flac")
        write(tmp_path / paths[-1], 0.4 * rng.standard_normal(n_samples))  # loud enough to be cut at full scale
    write(tmp_path / "wham_noise/tt/noise.wav", 0.1 * rng.standard_normal((12800, 2)))
    (tmp_path / "SPEAKERS.TXT").write_text(SEXES)
    for n_speakers in (2, 3):
        row = {"mixture_ID": "_".join(list(UTTERANCES)[:n_speakers])}
        for place in range(n_speakers):
            row |= {f"source_{place + 1}_path": paths[place], f"source_{place + 1}_gain": GAINS[place]}
        row |= {"noise_path": "tt/noise.wav", "noise_gain": 1.7990499862874463}
        pd.DataFrame([row]).to_csv(tmp_path / f"libri{n_speakers}mix_test-clean.csv", index=False)
    return tmp_path


def write(path, signal):
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, np.clip(signal, -0.99, 0.99), 16000, subtype="PCM_16")


def load(folder, n_speakers=2, rate_hz=8000, length="min", mixture="mix_clean", metadata=None):
    return load_librimix(metadata or folder / f"libri{n_speakers}mix_test-clean.csv", folder, folder / "wham_noise",
                         n_speakers, rate_hz, length, mixture)


def as_published(folder, n_speakers, rate_hz, length, mixture):
    """Make mixture and sources as LibriMix's paper and script define them, through files."""
    # The gains of iterrows are float of Python, with which float32 stays float32.
    _, row = next(pd.read_csv(folder / f"libri{n_speakers}mix_test-clean.csv", engine="python").iterrows())
    numbers = range(1, n_speakers + 1)
    signals = [soundfile.read(folder / row[f"source_{number}_path"], dtype="float32")[0] for number in numbers]
    longest = max(map(len, signals))
    noise = soundfile.read(folder / "wham_noise" / row["noise_path"], dtype="float32", stop=longest)[0][:, 0]
    first, fade = noise, np.hanning(16001)
    while len(noise) < longest:
        overlap = noise[-8001:] * fade[8000:] + first[:8001] * fade[:8001]
        noise = np.concatenate([noise[:-8001], overlap, first[8001:]])
    gains = [row[f"source_{number}_gain"] for number in numbers] + [row["noise_gain"]]
    signals = [resample_poly(signal * gain, rate_hz, 16000)
               for signal, gain in zip([*signals, noise[:longest]], gains, strict=True)]
    if length == "min":
        signals = [signal[: min(map(len, signals))] for signal in signals]
    else:
        signals = [np.pad(signal, (0, max(map(len, signals)) - len(signal))) for signal in signals]
    parts = {"mix_clean": signals[:-1], "mix_both": signals, "mix_single": [signals[0], signals[-1]]}[mixture]
    total = np.zeros_like(signals[0])
    for part in parts:
        total += part  # in float32, also of the float64 that cross-fades return
    n_sources = 1 if mixture == "mix_single" else n_speakers
    written = []
    for signal in [total, *signals[:n_sources]]:
        soundfile.write(folder / "written.wav", signal, rate_hz)
        written.append(soundfile.read(folder / "written.wav", dtype="float32")[0])
    return written[0], np.stack(written[1:])


@pytest.mark.parametrize("n_speakers", [2, 3])
@pytest.mark.parametrize("rate_hz", [8000, 16000])
@pytest.mark.parametrize("length", ["min", "max"])
@pytest.mark.parametrize("mixture", ["mix_clean", "mix_both", "mix_single"])
def test_signals_are_those_of_the_published_files(librispeech, n_speakers, rate_hz, length, mixture):
    loaded = load(librispeech, n_speakers, rate_hz, length, mixture).mixtures[0].read()
    signal, sources = as_published(librispeech, n_speakers, rate_hz, length, mixture)
    np.testing.assert_array_equal(loaded.sources, sources)
    # The mixture is the sum of the sources and of a noise, which may round the last bit of float32.
    np.testing.assert_allclose(loaded.signal, signal, atol=1e-7)


def test_speakers_and_sexes_come_from_librispeech(librispeech):
    benchmark = load(librispeech, 3)
    assert benchmark.name == "libri3mix test-clean mix_clean min 8000 Hz"
    assert (benchmark.mixtures[0].speakers, benchmark.mixtures[0].kind) == (("101", "202", "303"), "FMF")
    assert load(librispeech, mixture="mix_single").mixtures[0].kind == "F"
    (librispeech / "SPEAKERS.TXT").unlink()
    assert load(librispeech).mixtures[0].kind == ""


@pytest.mark.parametrize("n_speakers", [2, 3])
def test_the_published_metadata_are_read(tmp_path, n_speakers):
    metadata, info = (pd.read_csv(EXCERPT / f"libri{n_speakers}mix_test-clean{end}.csv") for end in ("", "_info"))
    lines = set()
    for number in range(1, n_speakers + 1):
        for path in metadata[f"source_{number}_path"]:
            write(tmp_path / path, np.zeros(100))
        lines |= {f"{speaker:.0f} | {sex} | test-clean" for speaker, sex in
                  zip(info[f"speaker_{number}_ID"], info[f"speaker_{number}_sex"], strict=True)}
    (tmp_path / "SPEAKERS.TXT").write_text("\n".join(lines))
    mixtures = load(tmp_path, n_speakers, metadata=EXCERPT / f"libri{n_speakers}mix_test-clean.csv").mixtures
    assert [mixture.name for mixture in mixtures] == list(metadata["mixture_ID"])
    sexes = [info[f"speaker_{number}_sex"] for number in range(1, n_speakers + 1)]
    assert [mixture.kind for mixture in mixtures] == ["".join(kind) for kind in zip(*sexes, strict=True)]


def test_a_missing_utterance_is_named(librispeech):
    (librispeech / "test-clean/202/1/202-1-0001.flac").unlink()
    with pytest.raises(UserError, match=r"202-1-0001\.flac is missing; restore the file, or leave out its mixture"):
        load(librispeech)


def test_another_sample_rate_is_refused(librispeech):
    soundfile.write(librispeech / "test-clean/202/1/202-1-0001.flac", np.zeros(900), 8000)
    with pytest.raises(UserError, match=r"202-1-0001\.flac has a sample rate of 8000 Hz, not 16000 Hz"):
        load(librispeech)


def test_a_source_that_ends_early_is_named_once(librispeech, caplog):
    path = librispeech / "test-clean/202/1/202-1-0001.flac"
    path.write_bytes(path.read_bytes()[:20000])
    with pytest.raises(UserError, match=r"202-1-0001\.flac ends after \d+ of \d+ samples; restore the file"):
        load(librispeech).mixtures[0].read()
    assert not caplog.text  # nothing about the part that can be read


def test_noisy_mixtures_need_the_noise(librispeech):
    with pytest.raises(UserError, match="mix_both of LibriMix needs WHAM!'s noise"):
        load_librimix(librispeech / "libri2mix_test-clean.csv", librispeech, None, 2, mixture="mix_both")
    write(librispeech / "wham_noise/tt/noise.wav", np.zeros(8001))
    with pytest.raises(UserError, match=r"noise\.wav is too short"):
        load(librispeech, mixture="mix_both")


@pytest.mark.parametrize("text", ["", "mixture_ID\nx\n", "a,b\n1,2\n"])
def test_another_table_is_no_metadata(librispeech, text):
    (librispeech / "other.csv").write_text(text)
    with pytest.raises(UserError, match=r"other\.csv cannot be read as metadata of Libri2Mix") as caught:
        load(librispeech, metadata=librispeech / "other.csv")
    assert "Index(" not in str(caught.value) and "dtype" not in str(caught.value)


def test_a_repeated_mixture_is_named(librispeech):
    lines = (librispeech / "libri2mix_test-clean.csv").read_text().splitlines()
    (librispeech / "repeated.csv").write_text("\n".join([*lines, lines[1]]))
    with pytest.raises(UserError, match="101-1-0001_202-1-0001 is the name of two mixtures"):
        load(librispeech, metadata=librispeech / "repeated.csv")


def test_three_sources_need_metadata_of_three(librispeech):
    with pytest.raises(UserError, match=r"libri2mix_test-clean\.csv cannot be read as metadata of Libri3Mix"):
        load(librispeech, 3, metadata=librispeech / "libri2mix_test-clean.csv")


def test_a_speaker_without_a_sex_is_named(librispeech):
    (librispeech / "SPEAKERS.TXT").write_text("101 | F | test-clean\n")
    with pytest.raises(UserError, match=r"SPEAKERS\.TXT has no speaker 202"):
        load(librispeech)

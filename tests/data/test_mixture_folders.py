"""Folders of mixtures and sources become a benchmark set; each known set has its layout."""

import numpy as np
import pytest
import soundfile

from lab41_sce.data.mixture_folders import LIBRISPEECH_IDS, WSJ0_IDS, MixtureFolders, find_folders, load_folders
from lab41_sce.errors import UserError

NAME = "050a050s_1.7413_441c020t_-1.7413"


@pytest.fixture
def folders(tmp_path):
    """Make the mixtures a and b of two sources and a noise; return their folders."""
    rng = np.random.default_rng(0)
    for name in ("a", "b"):
        parts = [np.round(0.1 * rng.standard_normal(800) * 2**15) / 2**15 for _ in range(3)]
        for folder, signal in zip(("s1", "s2", "noise", "mix"), [*parts, sum(parts)], strict=True):
            write(tmp_path / folder / f"{name}.wav", signal)
    sources = (tmp_path / "s1", tmp_path / "s2")
    return MixtureFolders(tmp_path / "mix", sources, (*sources, tmp_path / "noise"))


def write(path, signal, rate_hz=8000):
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, signal, rate_hz, subtype="PCM_16")


@pytest.mark.parametrize(("name", "below", "mixture", "sources", "parts"), [
    ("libri2mix", "wav8k/min/test", "mix_clean", ["s1", "s2"], ["s1", "s2"]),
    ("libri3mix", "wav16k/max/dev", "mix_both", ["s1", "s2", "s3"], ["s1", "s2", "s3", "noise"]),
    ("libri2mix", "wav8k/min/test", "mix_single", ["s1"], ["s1", "noise"]),
    ("wsj0_2mix", "2speakers/wav8k/min/tt", "mix", ["s1", "s2"], ["s1", "s2"]),
    ("wsj0_3mix", "3speakers/wav16k/max/cv", "mix", ["s1", "s2", "s3"], ["s1", "s2", "s3"]),
    ("wham", "wav8k/min/tt", "mix_both", ["s1", "s2"], ["s1", "s2", "noise"]),
    ("whamr", "wav8k/min/tt", "mix_both_reverb", ["s1_anechoic", "s2_anechoic"], ["s1_reverb", "s2_reverb", "noise"]),
    ("whamr", "wav8k/min/tt", "mix_clean_anechoic", ["s1_anechoic", "s2_anechoic"], ["s1_anechoic", "s2_anechoic"]),
])
def test_known_sets_are_found_by_their_root_or_by_their_folder(tmp_path, name, below, mixture, sources, parts):
    place = tmp_path / below
    (place / mixture).mkdir(parents=True)
    rate_hz, (length, part) = 16000 if "16k" in below else 8000, below.split("/")[-2:]
    sources, parts = (tuple(place / one for one in names) for names in (sources, parts))
    expected = MixtureFolders(place / mixture, sources, parts)
    for root in (tmp_path, place):
        assert find_folders(name, root, part, rate_hz, length, mixture) == expected


def test_reverberant_sources_of_whamr(tmp_path):
    (tmp_path / "mix_both_reverb").mkdir()
    found = find_folders("whamr", tmp_path, "tt", 8000, "min", "mix_both_reverb", "reverb")
    assert found.sources == (tmp_path / "s1_reverb", tmp_path / "s2_reverb")


@pytest.mark.parametrize(("name", "mixture", "message"), [
    ("wham", "mix_clean", "there is no folder .*wav8k/min/tt/mix_clean; give the root of wham"),
    ("whamr", "mix_both", "whamr has no mixtures mix_both; give one of mix_clean_anechoic, "),
])
def test_a_root_without_the_mixtures(tmp_path, name, mixture, message):
    with pytest.raises(UserError, match=message):
        find_folders(name, tmp_path, "tt", 8000, "min", mixture)


def test_signals_are_those_of_the_files(folders):
    benchmark = load_folders("folders", folders)
    assert (benchmark.sample_rate_hz, [mixture.name for mixture in benchmark.mixtures]) == (8000, ["a", "b"])
    mixture = benchmark.mixtures[1].read()
    for source, folder in zip(mixture.sources, ("s1", "s2"), strict=True):
        written, _ = soundfile.read(folders.mixtures.parent / folder / "b.wav", dtype="float32")
        np.testing.assert_array_equal(source, written)
    np.testing.assert_allclose(mixture.signal, soundfile.read(folders.mixtures / "b.wav")[0], atol=1e-7)
    assert [mixture.name for mixture in load_folders("folders", folders, first=1).mixtures] == ["a"]
    assert [mixture.name for mixture in load_folders("folders", folders, files="b*").mixtures] == ["b"]


@pytest.mark.parametrize(("ids", "name", "speakers"), [
    (WSJ0_IDS, NAME, ("050", "441")),
    (WSJ0_IDS, "01aa0101_0.1_c0ac020a_-0.1", ("01a", "c0a")),
    (LIBRISPEECH_IDS, "4077-13754-0001_5142-33396-0065", ("4077", "5142")),
    (r"([a-z]+)\d", "ann1bob2", ("ann", "bob")),
])
def test_speakers_and_sexes_come_from_the_name_and_a_table(tmp_path, folders, ids, name, speakers):
    for folder in (folders.mixtures, *folders.parts):
        (folder / "a.wav").rename(folder / f"{name}.wav")
        (folder / "b.wav").unlink()
    table = tmp_path / "spkrinfo.txt"
    table.write_text(f";; ID Sex\n{speakers[0].upper()} F CA\n{speakers[1]} | M | CA\n")
    mixture, = load_folders("wsj0_2mix", folders, sexes=table, speaker_ids=ids).mixtures
    assert (mixture.speakers, mixture.kind) == (speakers, "FM")
    assert load_folders("wsj0_2mix", folders, speaker_ids=ids).mixtures[0].kind == ""
    table.write_text(f"{speakers[0]} F\n")
    with pytest.raises(UserError, match=rf"spkrinfo\.txt has no speaker {speakers[1]}"):
        load_folders("wsj0_2mix", folders, sexes=table, speaker_ids=ids)


def test_patterns_that_cannot_be_used_are_refused(folders):
    with pytest.raises(UserError, match=r"has several groups; give a pattern with one group"):
        load_folders("folders", folders, speaker_ids=r"(a)-(b)")
    for pattern in ("", ".", "./", "/a/*.wav"):
        with pytest.raises(UserError, match="is no pattern of names in a folder; give one such as"):
            load_folders("folders", folders, files=pattern)


def test_a_table_needs_ids_in_the_names(tmp_path, folders):
    (tmp_path / "sexes.txt").write_text("a F\n")
    with pytest.raises(UserError, match=r"a\.wav contains 0 ids of speakers, but the mixture has 2 sources"):
        load_folders("folders", folders, sexes=tmp_path / "sexes.txt")
    (tmp_path / "sexes.txt").write_text("no table\n")
    with pytest.raises(UserError, match=r"sexes\.txt has no line that begins with an id and F or M"):
        load_folders("folders", folders, sexes=tmp_path / "sexes.txt")


def test_missing_files_are_named(folders):
    (folders.sources[1] / "b.wav").unlink()
    with pytest.raises(UserError, match=r"s2/b\.wav"):
        load_folders("folders", folders)
    with pytest.raises(UserError, match="there is no folder .*absent"):
        load_folders("folders", MixtureFolders(folders.mixtures, (folders.mixtures / "absent",)))
    with pytest.raises(UserError, match=r"mix contains no file \*\.flac"):
        load_folders("folders", folders, files="*.flac")


def test_files_of_another_rate_or_length_are_named(folders):
    write(folders.sources[1] / "b.wav", np.zeros(801))
    with pytest.raises(UserError, match=r"s2/b\.wav has 801 samples, but .*b\.wav has 800"):
        load_folders("folders", folders)
    write(folders.sources[1] / "b.wav", np.zeros(800), 16000)
    with pytest.raises(UserError, match=r"s2/b\.wav has a sample rate of 16000 Hz, not 8000 Hz"):
        load_folders("folders", folders)


def test_a_mixture_is_the_sum_of_its_parts(folders):
    signal, _ = soundfile.read(folders.sources[0] / "a.wav")
    write(folders.sources[0] / "a.wav", signal + np.where(np.arange(800) == 400, 5 / 2**15, 0))
    with pytest.raises(UserError, match=r"a\.wav is not the sum of s1 \+ s2 \+ noise"):
        load_folders("folders", folders).mixtures[0].read()
    write(folders.sources[0] / "a.wav", signal + np.where(np.arange(800) == 400, 3 / 2**15, 0))  # rounding
    load_folders("folders", folders).mixtures[0].read()
    without_noise = MixtureFolders(folders.mixtures, folders.sources, folders.sources)
    with pytest.raises(UserError, match=r"a\.wav is not the sum of s1 \+ s2: "):
        load_folders("folders", without_noise).mixtures[0].read()
    load_folders("folders", MixtureFolders(folders.mixtures, folders.sources)).mixtures[0].read()  # parts not known


def test_a_mixture_may_be_cut_at_full_scale(folders):
    loud = [np.full(800, 0.7), np.full(800, 0.6), np.zeros(800)]
    for folder, signal in zip((*folders.parts, folders.mixtures), [*loud, np.ones(800)], strict=True):
        write(folder / "a.wav", signal)
    mixture = load_folders("folders", folders).mixtures[0].read()
    assert mixture.signal.max() == pytest.approx(1, abs=1e-4)

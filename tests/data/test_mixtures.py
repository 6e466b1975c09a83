"""Mixtures: levels, randomness that can be repeated, frozen lists."""

import os
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import soundfile
from scipy.signal import lfilter

from lab41_sce.data import librispeech, splits
from lab41_sce.data.evaluation_set import draw_evaluation_set, load_mixture
from lab41_sce.data.frequency_response import TERMS
from lab41_sce.data.noise import Noise
from lab41_sce.data.sampler import TrainingMixtures
from lab41_sce.data.settings import MixtureSettings
from lab41_sce.data.speech import Speech
from lab41_sce.errors import UserError
from lab41_sce.methods.base import magnitudes
from lab41_sce.models.front_end import FrontEnd


@pytest.fixture(scope="module")
def utterances(corpus_root):
    return splits.split(librispeech.load(corpus_root, ["train"]), 2)


@pytest.fixture(scope="module")
def speech(utterances):
    return Speech(utterances, 10000)


def make(speech, utterances, seed=0, noise=None, snr_db=(0, 0), **options):
    table = utterances[utterances["split"] == "train"]
    settings = MixtureSettings(**{"batch_size": 16, "seconds": 1.0} | options)
    return TrainingMixtures(speech, table, splits.trained_speakers(utterances), settings, pre_emphasis=0.95, seed=seed,
                            noise=noise, snr_db=snr_db)


def levels_db(sources):
    return 20 * np.log10(lfilter([1, -0.95], 1, sources)[..., 1:].std(axis=-1))


def test_speakers_differ_and_are_equally_loud(speech, utterances):
    batch = make(speech, utterances, n_speakers=3).batch(0)
    assert batch["sources"].shape == (16, 3, 10000) and batch["sources"].dtype == np.float32
    assert all(len(set(row)) == 3 for row in batch["speaker_ids"])
    np.testing.assert_allclose(levels_db(batch["sources"]), 0, atol=0.01)
    np.testing.assert_allclose(batch["sources"].mean(axis=-1), 0, atol=1e-3)


def test_level_range(speech, utterances):
    levels = levels_db(make(speech, utterances, level_range_db=10).batch(0)["sources"])
    assert -5.01 < levels.min() < -3 and 3 < levels.max() < 5.01


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_same_sex_share(speech, utterances, share):
    mixtures = make(speech, utterances, same_sex=share)
    sexes = utterances.drop_duplicates("speaker").set_index("speaker")["sex"]
    of_number = [sexes[speaker] for speaker in splits.trained_speakers(utterances)]
    same = [of_number[a] == of_number[b] for a, b in mixtures.batch(0)["speaker_ids"]]
    assert np.mean(same) == share


def test_speaker_shares_leave_some_silent(speech, utterances):
    mixtures = make(speech, utterances, speaker_shares={1: 0.25, 3: 0.75}, batch_size=200)
    batch = mixtures.batch(0)
    talking = batch["sources"].any(axis=-1)
    assert batch["sources"].shape[1] == mixtures.n_speakers == 3
    assert set(talking.sum(axis=1)) == {1, 3} and talking[:, 0].all()
    assert 0.15 < np.mean(talking.sum(axis=1) == 1) < 0.35
    assert all(len(set(row)) == 3 for row in batch["speaker_ids"])  # who is silent is somebody, too: a negative


def test_a_curriculum_begins_with_easy_batches(speech, utterances, monkeypatch):
    """Without noise, two speakers at once; later batches are the same as without a curriculum."""
    table = splits.perturb_speed(utterances, [0.9, 1.0])
    options = {"speaker_shares": {1: 0.1, 2: 0.5, 3: 0.4}, "response_db": 6.0, "telephone": 0.5, "snr_db": (0, 5)}
    speech = Speech(table, 10000)
    options["noise"] = Noise(speech, table, kinds=["white", "pink"])
    easy, hard = (make(speech, table, curriculum_batches=number, **options) for number in (2, 0))
    excerpt, names = speech.excerpt, []
    monkeypatch.setattr(speech, "excerpt", lambda name, *place: names.append(name) or excerpt(name, *place))
    for number in (0, 1):
        batch = easy.batch(number)
        assert (batch["sources"].any(axis=-1).sum(axis=1) == 2).all()
        assert not batch["noise"].any() and not batch["responses"].any()
    assert names and not any("@" in name for name in names)  # at the original speed
    for name, values in easy.batch(2).items():
        np.testing.assert_array_equal(values, hard.batch(2)[name])
    names.clear()
    assert hard.batch(0)["noise"].any() and hard.batch(0)["responses"].any() and any("@" in name for name in names)


def test_responses_and_telephones_keep_the_levels(speech, utterances):
    """What the mixture is made of changes, how loud it is does not."""
    plain = make(speech, utterances).batch(0)
    front_end = FrontEnd()
    _, before, _ = magnitudes(front_end, plain)
    for options in ({"response_db": 20.0}, {"telephone": 1.0}):
        batch = make(speech, utterances, **options).batch(0)
        np.testing.assert_array_equal(batch["sources"], plain["sources"])
        _, sources, _ = (np.array(part) for part in magnitudes(front_end, batch))
        np.testing.assert_allclose((sources**2).sum(axis=(2, 3)), (np.array(before) ** 2).sum(axis=(2, 3)), rtol=1e-3)
        assert np.abs(sources - before).max() > 1
    frequencies_hz = np.linspace(0, 5000, front_end.n_bins)
    assert (sources[..., frequencies_hz > 3600] ** 2).sum() < 1e-4 * (sources**2).sum()


def test_batches_depend_on_seed_and_number_only(speech, utterances):
    mixtures = make(speech, utterances, response_db=6.0, telephone=0.5)
    stream = list(mixtures.dataset(start=3).take(3).as_numpy_iterator())
    for number, batch in enumerate(stream, start=3):
        for name, values in mixtures.batch(number).items():
            np.testing.assert_array_equal(batch[name], values)
    assert not np.array_equal(stream[0]["sources"], stream[1]["sources"])
    assert stream[0]["responses"].shape == (16, 2, TERMS + 1)
    assert not np.array_equal(mixtures.batch(0)["sources"], make(speech, utterances, seed=1).batch(0)["sources"])


def test_decoding_on_the_fly_gives_the_same_excerpts(speech, utterances):
    on_disk = Speech(utterances, 10000, in_memory=False)
    name = utterances["utterance"][0]
    assert abs(on_disk.length(name) - speech.length(name)) <= 1
    a, b = speech.excerpt(name, 5000, 8000), on_disk.excerpt(name, 5000, 8000)
    np.testing.assert_allclose(a[200:-200], b[200:-200], atol=2e-3)  # resampling differs at the edges of an excerpt
    assert on_disk.excerpt(name, on_disk.length(name) - 100, 8000)[200:].any() == False  # noqa: E712


@pytest.mark.parametrize("in_memory", [True, False])
def test_faster_speech_is_shorter_and_higher(tmp_path, in_memory):
    soundfile.write(tmp_path / "tone.wav", 0.5 * np.sin(2 * np.pi * 400 * np.arange(32000) / 16000), 16000)
    table = pd.DataFrame({"utterance": ["slow", "fast"], "path": tmp_path / "tone.wav", "speed": [0.8, 1.25],
                          "seconds": [2 / 0.8, 2 / 1.25]})
    speech = Speech(table, 10000, in_memory)
    for name, seconds, pitch_hz in (("slow", 2.5, 320), ("fast", 1.6, 500)):
        assert speech.length(name) == pytest.approx(10000 * seconds, abs=2)
        excerpt = speech.excerpt(name, 2000, 10000)
        assert np.abs(np.fft.rfft(excerpt)).argmax() == pytest.approx(pitch_hz, abs=1)


def test_a_frozen_list_is_determined_by_its_seed(speech, utterances):
    arguments = (speech, utterances, "unseen", 2, 3, 1.5, 0.95)
    table = draw_evaluation_set(*arguments)
    assert table.equals(draw_evaluation_set(*arguments)) and not table.equals(draw_evaluation_set(*arguments, seed=1))
    assert table["kind"].value_counts().to_dict() == {"FF": 3, "FM": 3, "MF": 3, "MM": 3}
    unseen = set(utterances.loc[utterances["split"] == "unseen", "speaker"])
    for _, row in table.iterrows():
        assert {row["speaker_1"], row["speaker_2"]} <= unseen and row["speaker_1"] != row["speaker_2"]
        sources = load_mixture(speech, row).sources
        assert sources.shape == (2, 15000)
        np.testing.assert_allclose(levels_db(sources), 0, atol=0.05)


@pytest.mark.slow
def test_a_frozen_list_is_the_same_in_another_process(corpus_root):
    """Python shuffles its sets anew in every process; nothing may depend on their order."""
    code = ("import sys; from lab41_sce.data import librispeech, splits; "
            "from lab41_sce.data.evaluation_set import *; "
            "table = splits.split(librispeech.load(sys.argv[1], ['train'], check='headers'), 2); "
            "print(draw_evaluation_set(Speech(table, 10000), table, 'unseen', 2, 3, 1.5, 0.95).to_csv())")
    printed = {subprocess.run([sys.executable, "-c", code, corpus_root], env=os.environ | {"PYTHONHASHSEED": seed},
                              capture_output=True, text=True, check=True).stdout for seed in "12"}
    assert len(printed) == 1 and "unseen-FM-0002" in printed.pop()


def test_impossible_kinds_are_left_out_and_impossible_lists_told(speech, utterances):
    women = utterances[utterances["sex"] == "F"]
    assert set(draw_evaluation_set(speech, women, "unseen", 2, 1, 1.5, 0.95)["kind"]) == {"FF"}
    with pytest.raises(UserError, match="60.00 s"):
        draw_evaluation_set(speech, utterances, "unseen", 2, 1, 60.0, 0.95)
    with pytest.raises(UserError, match="'unseen' has too few"):
        draw_evaluation_set(speech, utterances[utterances["split"] != "unseen"], "unseen", 2, 1, 1.5, 0.95)
    with pytest.raises(UserError, match="both sexes"):
        make(speech, women, same_sex=0.5)


@pytest.mark.parametrize(("change", "wanted"), [
    ({"utterance_1": "../elsewhere/1-1-1"}, "no utterance '../elsewhere/1-1-1' in this corpus"),
    ({"length": 10**13}, "is to have 10000000000000 samples"), ({"length": 0}, "0 samples"),
    ({"start_1": -1}, "from -1 on"), ({"gain_1": float("nan")}, "nan times as loud"),
])
def test_a_list_of_another_corpus_is_told(speech, utterances, change, wanted):
    row = draw_evaluation_set(speech, utterances, "unseen", 2, 1, 1.5, 0.95).iloc[0]
    with pytest.raises(UserError, match=wanted):
        load_mixture(speech, row.to_dict() | change)


def test_joined_utterances_make_longer_mixtures(speech, utterances):
    """Excerpts of "a+b" run over from one into the other, and a list may ask for more than an utterance holds."""
    first, second = utterances["utterance"].iloc[:2]
    both, length = f"{first}+{second}", speech.length(first)
    assert speech.length(both) == length + speech.length(second)
    across = speech.excerpt(both, length - 100, 300)
    np.testing.assert_array_equal(across[:100], speech.excerpt(first, length - 100, 100))
    np.testing.assert_array_equal(across[100:], speech.excerpt(second, 0, 200))
    np.testing.assert_array_equal(speech.excerpt(both, length + 50, 80), speech.excerpt(second, 50, 80))
    longest = max(map(speech.length, utterances["utterance"])) / 10000
    options = {"n_speakers": 2, "n_per_kind": 1, "seconds": 1.2 * longest, "pre_emphasis": 0.95}
    with pytest.raises(UserError, match="too few speakers"):
        draw_evaluation_set(speech, utterances, "train", **options)
    [row] = draw_evaluation_set(speech, utterances, "train", join=True, **options).query("kind == 'FM'").to_dict("records")
    mixture = load_mixture(speech, row)
    assert mixture.sources.shape == (2, round(12000 * longest)) and "+" in row["utterance_1"]

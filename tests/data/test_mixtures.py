"""`lab41_sce.data.sampler`: levels, numbers of speakers, and batches that depend on seed and number only."""

import numpy as np
import pytest
from scipy.signal import lfilter

from lab41_sce.data import splits
from lab41_sce.data.corpus import load_corpus
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
    return splits.split(load_corpus(corpus_root, ["train"]), 2)


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


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_same_sex_share_is_that_of_those_who_speak(speech, utterances, share):
    everyone = utterances.assign(split="train")
    mixtures = make(speech, everyone, same_sex=share, speaker_shares={1: 0.2, 2: 0.5, 3: 0.3}, batch_size=100)
    sexes = utterances.drop_duplicates("speaker").set_index("speaker")["sex"]
    of_number = [sexes[speaker] for speaker in splits.trained_speakers(everyone)]
    batch = mixtures.batch(0)
    counts = batch["sources"].any(axis=-1).sum(axis=1)
    assert set(counts) == {1, 2, 3}
    same = [len({of_number[number] for number in numbers[:count]}) == 1
            for numbers, count in zip(batch["speaker_ids"], counts, strict=True) if count > 1]
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
    samples, names = speech.samples, []
    monkeypatch.setattr(speech, "samples", lambda name, *place: names.append(name) or samples(name, *place))
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


@pytest.mark.parametrize("workers", [0, pytest.param(2, marks=pytest.mark.slow)])
def test_batches_depend_on_seed_and_number_only(speech, utterances, workers):
    mixtures = make(speech, utterances, response_db=6.0, telephone=0.5, workers=workers)
    stream = list(mixtures.dataset(start=3).take(3).as_numpy_iterator())
    mixtures.close()
    for number, batch in enumerate(stream, start=3):
        for name, values in mixtures.batch(number).items():
            np.testing.assert_array_equal(batch[name], values)
    assert not np.array_equal(stream[0]["sources"], stream[1]["sources"])
    assert stream[0]["responses"].shape == (16, 2, TERMS + 1)
    assert not np.array_equal(mixtures.batch(0)["sources"], make(speech, utterances, seed=1).batch(0)["sources"])


def test_freeing_a_stream_does_not_wait(speech, utterances):
    """With its own tuning, TensorFlow 2.21 kept whoever freed the stream waiting for up to 41 s (`findings/`)."""
    assert make(speech, utterances).dataset().options().autotune.enabled is False


def test_the_stream_of_a_seed_is_drawn_in_this_order(speech, utterances):
    """Speakers, then an utterance by its share of the speech and a start for each, then all levels."""
    drawn = make(speech, utterances, seed=3, level_range_db=6.0).batch(5)
    table, rng = utterances[utterances["split"] == "train"], np.random.default_rng([3, 5])
    speakers, excerpts = splits.trained_speakers(utterances), []
    for row in range(16):
        numbers = rng.choice(len(speakers), 2, replace=False)
        np.testing.assert_array_equal(drawn["speaker_ids"][row], numbers)
        for number in numbers:
            names = table.loc[table["speaker"] == speakers[number], "utterance"].to_numpy()
            lengths = speech.lengths(names)
            name = names[rng.choice(len(names), p=lengths / lengths.sum())]
            excerpts.append(speech.excerpt(name, rng.integers(max(speech.length(name) - 10000, 0) + 1), 10000))
    levels = 6.0 * (rng.random((16, 2)) - 0.5)
    expected = np.reshape(excerpts, (16, 2, 10000)).astype(float)
    expected -= expected.mean(axis=-1, keepdims=True)
    deviations = (expected[..., 1:] - 0.95 * expected[..., :-1]).std(axis=-1)
    expected *= (10 ** (levels / 20) / deviations)[..., None]
    np.testing.assert_allclose(drawn["sources"], expected, rtol=1e-6, atol=1e-5)


def test_mixtures_of_one_sex_need_speakers_of_both(speech, utterances):
    with pytest.raises(UserError, match="both sexes"):
        make(speech, utterances[utterances["sex"] == "F"], same_sex=0.5)

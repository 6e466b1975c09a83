"""Our mixtures as datasets are the same to the last bit, also in batches and in PyTorch's `DataLoader`."""

import numpy as np
import pandas as pd
import pytest

from lab41_sce.data import splits
from lab41_sce.data.corpus import load_corpus
from lab41_sce.data.datasets import MixtureDataset, TrainingBatches
from lab41_sce.data.evaluation_set import add_noise, frozen_evaluation_set, load_mixture
from lab41_sce.data.noise import Noise
from lab41_sce.data.sampler import TrainingMixtures
from lab41_sce.data.settings import MixtureSettings
from lab41_sce.data.speech import Speech
from lab41_sce.errors import UserError


@pytest.fixture(scope="module")
def noisy(corpus_root, evaluation_set):
    """Return the dataset of four mixtures with noise, and these mixtures."""
    speech, mixtures = evaluation_set
    noise = Noise(speech, splits.split(load_corpus(corpus_root, ["train"]), 2), ["white"])
    mixtures = add_noise(mixtures, noise, (5.0, 5.0))
    dataset = MixtureDataset(frozen_evaluation_set("four", speech, mixtures, noise))
    return dataset, [load_mixture(speech, row, noise) for _, row in mixtures.iterrows()]


@pytest.fixture(scope="module")
def training(corpus_root):
    utterances = splits.split(load_corpus(corpus_root, ["train"]), 2)
    speech, train = Speech(utterances, 10000), utterances[utterances["split"] == "train"]

    def make(noise=None, **settings):
        return TrainingMixtures(speech, train, splits.trained_speakers(utterances),
                                MixtureSettings(batch_size=3, seconds=0.5, **settings), 0.95, seed=7, noise=noise)

    return make, Noise(speech, utterances, ["white"])


def test_frozen_mixtures_are_the_same_to_the_last_bit(noisy):
    dataset, mixtures = noisy
    assert len(dataset) == 4 and dataset.sample_rate_hz == 10000
    for item, mixture in zip(dataset, mixtures, strict=True):
        np.testing.assert_array_equal(item["mixture"], mixture.signal)
        np.testing.assert_array_equal(item["sources"], mixture.sources)
        assert item["mixture"].dtype == item["sources"].dtype == np.float32
    assert [item["kind"] for item in dataset] == ["FF", "FM", "MF", "MM"]
    assert dataset[1]["name"] == "unseen-FM-0000"


def test_batches_stack_the_mixtures_in_their_order(noisy):
    dataset, mixtures = noisy
    first, last = dataset.batches(3)
    np.testing.assert_array_equal(first["mixture"], np.stack([mixture.signal for mixture in mixtures[:3]]))
    np.testing.assert_array_equal(last["sources"], mixtures[3].sources[None])
    assert first["kind"] == ["FF", "FM", "MF"] and len(last["name"]) == 1


def test_mixtures_of_other_lengths_fit_into_no_batch(evaluation_set):
    speech, mixtures = evaluation_set
    dataset = MixtureDataset(frozen_evaluation_set("two", speech, mixtures[:2].assign(length=[9000, 8000])))
    with pytest.raises(UserError, match=r"shapes \(2, 9000\) and \(2, 8000\), so they fit into no batch"):
        [*dataset.batches(2)]
    assert [batch["mixture"].shape for batch in dataset.batches(1)] == [(1, 9000), (1, 8000)]


def test_a_mixture_of_fewer_speakers_has_fewer_sources(evaluation_set):
    speech, mixtures = evaluation_set
    alone = mixtures[:1].assign(utterance_2=np.nan, speaker_2=np.nan, start_2=np.nan, gain_2=np.nan, mixture="alone")
    frozen = frozen_evaluation_set("both", speech, pd.concat([mixtures[:1], alone]))
    assert [len(item["sources"]) for item in MixtureDataset(frozen)] == [2, 1]
    assert [len(listed.speakers) for listed in frozen.mixtures] == [2, 1]


def test_training_batches_are_those_of_our_training(training):
    make, noise = training
    batches, ours = TrainingBatches(make(noise), 4), make(noise)
    for index in (3, 0):
        batch, expected = batches[index], ours.batch(index)
        assert {*batch} == {"mixture", "sources", "speaker_ids", "noise"}
        for name, values in expected.items():
            np.testing.assert_array_equal(batch[name], values)
        np.testing.assert_array_equal(batch["mixture"], expected["sources"].sum(axis=1) + expected["noise"])
    assert len([*batches]) == len(batches) == 4 and batches.sample_rate_hz == 10000


@pytest.mark.parametrize("setting", ["response_db", "telephone"])
def test_mixtures_that_are_filtered_in_the_model_are_refused(training, setting):
    with pytest.raises(UserError, match=f"mixtures.{setting}=0.5"):
        TrainingBatches(training[0](**{setting: 0.5}), 1)


def test_the_loader_of_pytorch_returns_the_same_arrays(noisy, training):
    torch = pytest.importorskip("torch")
    dataset, mixtures = noisy
    loaded = next(iter(torch.utils.data.DataLoader(dataset, batch_size=4)))
    np.testing.assert_array_equal(loaded["mixture"], np.stack([mixture.signal for mixture in mixtures]))
    assert loaded["sources"].dtype == torch.float32 and loaded["kind"] == ["FF", "FM", "MF", "MM"]
    batches = TrainingBatches(training[0](), 3)
    drawn = [*torch.utils.data.DataLoader(batches, batch_size=None, num_workers=2)]
    assert len(drawn) == 3
    for batch, expected in zip(drawn, batches, strict=True):
        for name, values in expected.items():
            np.testing.assert_array_equal(batch[name], values)

"""The deep clustering loss against all pairs of bins, listed; finite differences; rounding; learning."""

from functools import partial

import keras
import numpy as np
import pytest
import tensorflow as tf
from overfit import overfit, tiny_setup, voices

from lab41_sce.methods.deep_clustering import affinity_loss
from lab41_sce.yaml_defaults import with_yaml_defaults


def build(setup, **changes):
    """Build the method with its loss as in the article, but within 40 dB of the peak, and with binary masks."""
    article = {"loss_range_db": 40.0, "weight_power": 0.0, "soft_scale": None}
    return with_yaml_defaults("method/deep_clustering", **article | changes)(setup)


def pairs_loss(embeddings, assignment, weights):
    """Compute the loss from the N x N affinities, as the paper writes it."""
    losses = []
    for v, y, w in zip(embeddings, assignment, weights):
        v, y, w = v.reshape(-1, v.shape[-1]), y.reshape(len(y), -1).T, w.ravel()  # [N, K], [N, S], [N]
        differences = (v @ v.T - y @ y.T) ** 2
        losses.append((differences * np.outer(w, w)).sum() / w.sum() ** 2)
    return np.mean(losses)


def random_case(seed=0, n_sources=2, shape=(2, 3, 4), size=5, unit_norm=False):
    """Return embeddings, a random assignment and random weights, in float64."""
    rng = np.random.default_rng(seed)
    embeddings = rng.normal(size=(*shape, size))
    if unit_norm:
        embeddings /= np.linalg.norm(embeddings, axis=-1, keepdims=True)
    assignment = np.moveaxis(np.eye(n_sources)[rng.integers(n_sources, size=shape)], -1, 1)
    return embeddings, assignment, rng.random(shape)


def loss_and_gradient(embeddings, *others):
    embeddings = tf.constant(embeddings)
    with tf.GradientTape() as tape:
        tape.watch(embeddings)
        loss = affinity_loss(embeddings, *(tf.constant(other) for other in others))
    return float(loss), tape.gradient(loss, embeddings).numpy()


@pytest.mark.parametrize("n_sources", [2, 3])
def test_loss_agrees_with_all_pairs_listed(n_sources):
    case = random_case(n_sources=n_sources)
    assert float(affinity_loss(*case)) == pytest.approx(pairs_loss(*case), rel=1e-5)


def test_only_the_proportions_of_the_weights_count():
    embeddings, assignment, weights = random_case()
    expected = float(affinity_loss(embeddings, assignment, weights))
    assert float(affinity_loss(embeddings, assignment, 1e-6 * weights)) == pytest.approx(expected, rel=1e-5)


def test_gradients_agree_with_finite_differences():
    embeddings, *others = random_case(1)
    _, gradient = loss_and_gradient(embeddings, *others)
    for index in list(np.ndindex(*gradient.shape))[::7]:
        step = np.zeros_like(embeddings)
        step[index] = 1e-5
        slope = (pairs_loss(embeddings + step, *others) - pairs_loss(embeddings - step, *others)) / 2e-5
        assert gradient[index] == pytest.approx(slope, abs=1e-8)


def test_the_order_of_the_sources_does_not_matter():
    embeddings, assignment, weights = random_case(2, n_sources=3)
    expected = affinity_loss(embeddings, assignment, weights)
    assert float(affinity_loss(embeddings, assignment[:, [2, 0, 1]], weights)) == pytest.approx(float(expected))


def test_bins_without_weight_do_not_matter():
    embeddings, assignment, weights = random_case(3)
    weights[:, 1] = 0.0
    expected, _ = loss_and_gradient(embeddings, assignment, weights)
    embeddings[:, 1] += 100.0
    loss, gradient = loss_and_gradient(embeddings, assignment, weights)
    assert loss == pytest.approx(expected)
    assert not gradient[:, 1].any()


def test_rounding_stays_small_at_full_size():
    """A perfect fit is zero to 1e-6, the same vector everywhere scores the share of pairs that belong apart."""
    case = random_case(4, shape=(1, 100, 257), size=40, unit_norm=True)
    exact = float(affinity_loss(*case))  # float64
    _, assignment, weights = case = [array.astype(np.float32) for array in case]
    assert float(affinity_loss(*case)) == pytest.approx(exact, rel=1e-5)
    perfect = np.moveaxis(assignment, 1, -1)
    assert float(affinity_loss(perfect, assignment, weights)) == pytest.approx(0.0, abs=1e-6)
    shares = np.sum(weights * assignment, axis=(0, 2, 3)) / weights.sum()
    same = np.ones_like(perfect[..., :1])
    assert float(affinity_loss(same, assignment, weights)) == pytest.approx(1 - np.sum(shares**2), abs=1e-5)


@pytest.mark.parametrize("change", ["huge", "no weight", "one source owns all"])
def test_extremes_are_safe(change):
    embeddings, assignment, weights = (array.astype(np.float32) for array in random_case(5))
    if change == "huge":
        embeddings *= 1e6
    elif change == "no weight":
        weights *= 0.0
    else:
        assignment[:, 0], assignment[:, 1] = 1.0, 0.0
    loss, gradient = loss_and_gradient(embeddings, assignment, weights)
    assert np.isfinite(loss) and np.isfinite(gradient).all()


@pytest.mark.parametrize("weight_power", [0.0, 1.0])
def test_method_gives_each_bin_to_the_louder_source(weight_power):
    """The method's loss equals the listed pairs with assignment and weights made here in NumPy."""
    keras.utils.set_random_seed(1)
    method = build(tiny_setup(units=4), embedding_size=3, loss_range_db=30, weight_power=weight_power)
    sources = voices(seconds=0.2)[None]
    levels = np.abs(method.model.front_end.spectrogram(sources))
    assignment = (levels == levels.max(axis=1, keepdims=True)).astype(float)
    mixture = np.abs(method.model.front_end.spectrogram(sources.sum(axis=1)))
    weights = (mixture >= mixture.max() * 10 ** (-30 / 20)) * mixture**weight_power
    embeddings = np.array(method.model(sources.sum(axis=1)), float)
    np.testing.assert_allclose(np.linalg.norm(embeddings, axis=-1), 1.0, atol=1e-5)
    assert float(method({"sources": sources})) == pytest.approx(pairs_loss(embeddings, assignment, weights), rel=1e-4)


def test_the_loss_may_use_some_frames_only():
    """The loss of every third frame is one of three losses, with weights relative to the peak of all frames."""
    keras.utils.set_random_seed(1)
    method = build(tiny_setup(units=4), embedding_size=3, loss_range_db=30, loss_frame_stride=3)
    sources = voices(seconds=0.2)[None]
    levels = np.abs(method.model.front_end.spectrogram(sources))
    assignment = (levels == levels.max(axis=1, keepdims=True)).astype(float)
    mixture = np.abs(method.model.front_end.spectrogram(sources.sum(axis=1)))
    weights = (mixture >= mixture.max() * 10 ** (-30 / 20)).astype(float)
    embeddings = np.array(method.model(sources.sum(axis=1)), float)
    n = mixture.shape[1] // 3
    possible = [pairs_loss(embeddings[:, first::3][:, :n], assignment[:, :, first::3][:, :, :n],
                           weights[:, first::3][:, :n]) for first in range(3)]
    found = [float(method({"sources": sources})) for _ in range(20)]
    assert all(min(abs(loss - one) for one in possible) < 1e-5 for loss in found)
    assert len(set(np.round(found, 5))) == 3


def test_a_frame_stride_outside_its_range_is_refused():
    with pytest.raises(ValueError, match="from 1 to 8"):
        build(tiny_setup(units=4), embedding_size=3, loss_frame_stride=9)


@pytest.mark.parametrize("loud", [(), (0,)])
def test_silence_gives_finite_gradients(loud):
    keras.utils.set_random_seed(1)
    method = build(tiny_setup(units=4), embedding_size=3)
    sources = np.zeros((1, 2, 2000), np.float32)
    for source in loud:
        sources[:, source] = voices(seconds=0.2)[source]
    with tf.GradientTape() as tape:
        loss = method({"sources": sources}, training=True)
    assert np.isfinite(float(loss))
    assert all(np.isfinite(gradient).all() for gradient in tape.gradient(loss, method.trainable_variables))


@pytest.mark.slow
@pytest.mark.parametrize("n_speakers", [2, 3])
def test_one_mixture_is_separated_like_by_its_ideal_mask(n_speakers):
    found, ideal_binary, _ = overfit(partial(build, embedding_size=6), n_speakers, updates=150)
    assert found > ideal_binary - 1.0

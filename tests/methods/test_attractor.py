"""The attractor network against plain loops and finite differences; fixed attractors; learning; saving."""

import itertools
import subprocess
import sys
from functools import partial

import keras
import numpy as np
import pytest
import tensorflow as tf
from overfit import overfit, tiny_setup, voices

from lab41_sce.errors import UserError
from lab41_sce.methods.attractor import mask_approximation_loss
from lab41_sce.methods.base import mean_vectors
from lab41_sce.models.attractor_model import attractor_masks, match
from lab41_sce.separation.chunked_inference import estimate_masks
from lab41_sce.yaml_defaults import with_yaml_defaults


def loop_masks(embeddings, assignment, weights, mask):
    """Compute attractors and masks bin by bin, as the paper writes them: lists over the batch."""
    all_attractors, all_masks = [], np.zeros(assignment.shape)
    n_sources = assignment.shape[1]
    for b in range(len(embeddings)):
        attractors = np.zeros((n_sources, embeddings.shape[-1]))
        for s in range(n_sources):
            total = 0.0
            for t, f in np.ndindex(weights.shape[1:]):
                attractors[s] += weights[b, t, f] * assignment[b, s, t, f] * embeddings[b, t, f]
                total += weights[b, t, f] * assignment[b, s, t, f]
            attractors[s] /= total
        for t, f in np.ndindex(weights.shape[1:]):
            scores = np.array([np.dot(attractors[s], embeddings[b, t, f]) for s in range(n_sources)])
            if mask == "softmax":
                all_masks[b, :, t, f] = np.exp(scores) / np.exp(scores).sum()
            else:
                all_masks[b, :, t, f] = 1 / (1 + np.exp(-scores))
        all_attractors.append(attractors)
    return np.array(all_attractors), all_masks


def loop_loss(masks, mixture, sources, weights):
    """Compute the loss bin by bin."""
    losses = []
    for b in range(len(masks)):
        error, energy = 0.0, 0.0
        for s, t, f in np.ndindex(masks.shape[1:]):
            error += weights[b, t, f] * (masks[b, s, t, f] * mixture[b, t, f] - sources[b, s, t, f]) ** 2
            energy += weights[b, t, f] * sources[b, s, t, f] ** 2
        losses.append(error / energy)
    return np.mean(losses)


def random_case(seed=0, n_sources=2):
    """Return embeddings, assignment, active bins, mixture, sources and weights, in float64."""
    rng = np.random.default_rng(seed)
    embeddings, sources = rng.normal(size=(2, 3, 4, 5)), rng.random((2, n_sources, 3, 4))
    assignment = (sources == sources.max(axis=1, keepdims=True)).astype(float)
    active_bins = rng.choice([0.0, 1.0], (2, 3, 4), p=[0.2, 0.8])
    return embeddings, assignment, active_bins, 0.8 * sources.sum(axis=1), sources, rng.random((2, 3, 4))


def loss_and_gradient(embeddings, assignment, active_bins, mixture, sources, weights, mask="softmax"):
    embeddings = tf.constant(embeddings)
    with tf.GradientTape() as tape:
        tape.watch(embeddings)
        masks = attractor_masks(embeddings, mean_vectors(embeddings, assignment, active_bins), mask)
        loss = mask_approximation_loss(masks, mixture, sources, weights)
    return float(loss), tape.gradient(loss, embeddings).numpy()


def described(method, sources, range_db=25):
    """Return magnitudes of sources [1, S, N] and mixture, the assignment of the bins, and the active bins, in NumPy."""
    levels = np.abs(method.model.front_end.spectrogram(sources))
    mixture = np.abs(method.model.front_end.spectrogram(sources.sum(axis=1)))
    assignment = (levels == levels.max(axis=1, keepdims=True)).astype(float)
    return levels, mixture, assignment, (mixture >= mixture.max() * 10 ** (-range_db / 20)).astype(float)


def build(setup, **changes):
    """Build the method with free norms, as in the paper."""
    return with_yaml_defaults("method/attractor", **{"unit_norm": False, "scale": 1.0} | changes)(setup)


def tiny_method(n_speakers=2, **changes):
    keras.utils.set_random_seed(1)
    return build(tiny_setup(n_speakers, units=4), embedding_size=3, **changes)


@pytest.mark.parametrize("mask", ["softmax", "sigmoid"])
@pytest.mark.parametrize("n_sources", [2, 3])
def test_attractors_masks_and_loss_agree_with_plain_loops(mask, n_sources):
    embeddings, assignment, active_bins, mixture, sources, weights = random_case(n_sources=n_sources)
    expected_attractors, expected_masks = loop_masks(embeddings, assignment, active_bins, mask)
    attractors = mean_vectors(embeddings, assignment, active_bins)
    masks = attractor_masks(embeddings, attractors, mask)
    np.testing.assert_allclose(attractors, expected_attractors, rtol=1e-5)
    np.testing.assert_allclose(masks, expected_masks, rtol=1e-5)
    expected = loop_loss(expected_masks, mixture, sources, weights)
    assert float(mask_approximation_loss(masks, mixture, sources, weights)) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("mask", ["softmax", "sigmoid"])
def test_gradients_agree_with_finite_differences(mask):
    """The gradient reaches the vectors through the masks and through the attractors."""
    embeddings, assignment, active_bins, *magnitudes = random_case(1)

    def loss(vectors):
        return loop_loss(loop_masks(vectors, assignment, active_bins, mask)[1], *magnitudes)

    _, gradient = loss_and_gradient(embeddings, assignment, active_bins, *magnitudes, mask)
    for index in list(np.ndindex(*gradient.shape))[::7]:
        step = np.zeros_like(embeddings)
        step[index] = 1e-5
        assert gradient[index] == pytest.approx((loss(embeddings + step) - loss(embeddings - step)) / 2e-5, abs=1e-8)


def test_swapped_sources_swap_the_masks():
    embeddings, assignment, active_bins, mixture, sources, weights = random_case(2, n_sources=3)
    order = [2, 0, 1]
    masks = np.array(attractor_masks(embeddings, mean_vectors(embeddings, assignment, active_bins), "softmax"))
    swapped = attractor_masks(embeddings, mean_vectors(embeddings, assignment[:, order], active_bins), "softmax")
    np.testing.assert_allclose(swapped, masks[:, order])
    loss = mask_approximation_loss(masks, mixture, sources, weights)
    again = mask_approximation_loss(swapped, mixture, sources[:, order], weights)
    assert float(again) == pytest.approx(float(loss))


def test_silent_bins_move_no_attractor_and_need_no_mask():
    embeddings, assignment, active_bins, mixture, sources, weights = random_case(3)
    active_bins[:, 1], weights[:, 1] = 0.0, 0.0
    expected, _ = loss_and_gradient(embeddings, assignment, active_bins, mixture, sources, weights)
    embeddings[:, 1] += 100.0
    loss, gradient = loss_and_gradient(embeddings, assignment, active_bins, mixture, sources, weights)
    assert loss == pytest.approx(expected)
    assert not gradient[:, 1].any()


@pytest.mark.parametrize("mask", ["softmax", "sigmoid"])
@pytest.mark.parametrize("change", ["huge", "no weight", "silence", "one source silent", "sources cancel"])
def test_extremes_are_safe(change, mask):
    embeddings, assignment, active_bins, mixture, sources, weights = (a.astype(np.float32) for a in random_case(4))
    if change == "huge":
        embeddings *= 1e6
    elif change == "no weight":
        active_bins, weights = 0.0 * active_bins, 0.0 * weights
    elif change == "silence":
        mixture, sources = 0.0 * mixture, 0.0 * sources
    elif change == "one source silent":
        assignment[:, 0], assignment[:, 1], sources[:, 1], mixture = 1.0, 0.0, 0.0, sources[:, 0]
    else:
        mixture *= 0.0
    loss, gradient = loss_and_gradient(embeddings, assignment, active_bins, mixture, sources, weights, mask)
    assert 0 <= loss < 10 and np.isfinite(gradient).all()


@pytest.mark.parametrize("loud", [(), (0,)])
def test_silence_gives_finite_gradients(loud):
    method = tiny_method()
    sources = np.zeros((1, 2, 2000), np.float32)
    for source in loud:
        sources[:, source] = voices(seconds=0.2)[source]
    with tf.GradientTape() as tape:
        loss = method({"sources": sources}, training=True)
    assert np.isfinite(float(loss)) and np.isfinite(method.model.fixed_attractors.numpy()).all()
    assert all(np.isfinite(gradient).all() for gradient in tape.gradient(loss, method.trainable_variables))
    assert np.isfinite(estimate_masks(method.model, sources[0].sum(axis=0), 2)).all()


@pytest.mark.parametrize("options", [{}, {"mask": "sigmoid"}, {"unit_norm": True, "scale": 5.0, "range_db": 20}])
def test_training_and_separation_agree_with_plain_loops(options):
    """Assignment and active bins are made here in NumPy; the level does not matter."""
    method = tiny_method(attractors="fixed", loss_range_db=None, **options)
    sources = voices(seconds=0.2)[None]
    levels, mixture, assignment, active_bins = described(method, sources, options.get("range_db", 25))
    scale = options.get("scale", 1.0)
    embeddings = np.array(method.model(sources.sum(axis=1)), float)
    attractors, masks = loop_masks(scale**0.5 * embeddings, assignment, active_bins, options.get("mask", "softmax"))
    expected = loop_loss(masks, mixture, levels, np.ones_like(mixture))
    assert float(method({"sources": sources})) == pytest.approx(expected, rel=1e-4)
    assert float(method({"sources": 10 * sources})) == pytest.approx(expected, rel=1e-4)
    method.model.fixed_attractors.assign(attractors[0] / scale**0.5)
    np.testing.assert_allclose(estimate_masks(method.model, sources[0].sum(axis=0), 2), masks[0], atol=1e-5)


def test_training_differentiates_the_attractors_too():
    """One step along the method's gradient changes the loss as much as the gradient predicts."""
    method, batch = tiny_method(), {"sources": voices(seconds=0.2)[None]}
    weights = method.trainable_variables[-1]  # the biases of the vectors
    with tf.GradientTape() as tape:
        loss = method(batch)
    gradient = tape.gradient(loss, weights)
    size = float(tf.norm(gradient))
    losses = []
    for step in (0.1, -0.1):
        weights.assign_add(step * gradient / size)
        losses.append(float(method(batch)))
        weights.assign_sub(step * gradient / size)
    assert (losses[0] - losses[1]) / 0.2 == pytest.approx(size, rel=0.02)


def test_match_finds_the_nearest_order():
    rng = np.random.default_rng(0)
    attractors, fixed = rng.normal(size=(20, 3, 4)), rng.normal(size=(3, 4))
    matched = np.array(match(attractors, fixed))
    for mine, found in zip(attractors, matched):
        nearest = min(itertools.permutations(mine), key=lambda order: np.sum((np.array(order) - fixed) ** 2))
        np.testing.assert_allclose(found, nearest)


@pytest.mark.parametrize("n_speakers", [2, 3])
def test_fixed_attractors_find_the_places_of_the_attractors(n_speakers):
    """Every mixture has its attractors near the same places, in random order."""
    rng = np.random.default_rng(0)
    model = tiny_method(n_speakers).model
    places = 3 * np.eye(3)[:n_speakers] + 1
    for _ in range(100):
        orders = np.stack([rng.permutation(n_speakers) for _ in range(8)])
        model.follow((places[orders] + 0.1 * rng.normal(size=(8, n_speakers, 3))).astype(np.float32), momentum=0.9)
    found = model.fixed_attractors.numpy()
    owners = np.argmax(found, axis=1)
    assert sorted(owners) == list(range(n_speakers))
    np.testing.assert_allclose(found, places[owners], atol=0.1)


@pytest.mark.slow
def test_fit_moves_the_fixed_attractors_and_evaluation_does_not():
    """The network stands still (rate 0), so that the attractors are known; half of the mixtures are swapped."""
    method = tiny_method(momentum=0.5)
    sources = np.stack([voices(seconds=0.3), voices(seconds=0.3)[::-1]])
    batches = tf.data.Dataset.from_tensors({"sources": sources}).repeat(20)
    method.compile(keras.optimizers.Adam(0.0))
    before = method.model.fixed_attractors.numpy()
    method.evaluate(batches, verbose=0)
    np.testing.assert_array_equal(method.model.fixed_attractors.numpy(), before)

    method.fit(batches, shuffle=False, verbose=0)
    _, _, assignment, active_bins = described(method, sources[:1])
    expected, _ = loop_masks(np.array(method.model(sources[:1].sum(axis=1))), assignment, active_bins, "softmax")
    np.testing.assert_allclose(method.model.fixed_attractors.numpy(), match(expected, before)[0], rtol=1e-3, atol=1e-5)


def test_fixed_attractors_serve_only_as_many_speakers():
    mixture = voices(seconds=0.3).sum(axis=0)
    with pytest.raises(UserError, match="3 speakers .* fixed attractors of 2"):
        estimate_masks(tiny_method(attractors="fixed").model, mixture, 3)
    assert estimate_masks(tiny_method(attractors="kmeans").model, mixture, 3).shape[0] == 3


@pytest.mark.parametrize("options", [{"mask": "relu"}, {"attractors": "anchors"}])
def test_unknown_choices_are_refused(options):
    with pytest.raises(UserError, match="unknown; choose from"):
        tiny_method(**options)


@pytest.mark.parametrize("attractors", ["kmeans", "fixed"])
def test_softmax_masks_sum_to_one(attractors):
    model = tiny_method(attractors=attractors).model
    masks = estimate_masks(model, voices(seconds=0.3).sum(axis=0), 2)
    assert masks.dtype == np.float32 and masks.shape[0] == 2
    np.testing.assert_allclose(masks.sum(axis=0), 1.0, atol=1e-6)


@pytest.mark.slow
def test_saved_model_gives_the_same_in_a_new_process(tmp_path):
    method = tiny_method(attractors="fixed", unit_norm=True, scale=5.0, mask="sigmoid")
    sources = voices(seconds=0.3)
    method({"sources": sources[None]}, training=True)
    method.model.save(tmp_path / "model.keras")
    np.save(tmp_path / "mixture.npy", sources.sum(axis=0))
    code = ("import sys, numpy, keras; from lab41_sce.separation.chunked_inference import estimate_masks; "
            "import lab41_sce.methods.attractor; folder = sys.argv[1]; "
            "model = keras.saving.load_model(folder + '/model.keras'); "
            "numpy.save(folder + '/fixed.npy', model.fixed_attractors.numpy()); "
            "numpy.save(folder + '/masks.npy', estimate_masks(model, numpy.load(folder + '/mixture.npy'), 2))")
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True)
    np.testing.assert_array_equal(np.load(tmp_path / "fixed.npy"), method.model.fixed_attractors.numpy())
    expected = estimate_masks(method.model, sources.sum(axis=0), 2)
    np.testing.assert_allclose(np.load(tmp_path / "masks.npy"), expected, atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("n_speakers, options", [
    (2, {}),
    (3, {"unit_norm": True, "scale": 5.0}),
    (2, {"mask": "sigmoid", "attractors": "fixed", "momentum": 0.9}),
])
def test_one_mixture_is_separated_like_by_its_ideal_mask(n_speakers, options):
    found, _, ideal_ratio = overfit(partial(build, embedding_size=6, **options), n_speakers, updates=80)
    assert found > ideal_ratio - 1.0


@pytest.mark.parametrize("mask", ["softmax", "sigmoid"])
@pytest.mark.parametrize("attractors", ["kmeans", "fixed"])
def test_true_centres_are_the_ceiling_of_k_means_with_shares_only(mask, attractors):
    model = tiny_method(mask=mask, attractors=attractors).model
    assert model.clusters == ((mask, attractors) == ("softmax", "kmeans"))

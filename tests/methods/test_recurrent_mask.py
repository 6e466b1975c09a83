"""The discriminative loss against a plain loop, the order of the speakers, and overfitting one mixture."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from overfit import overfit, tiny_setup, voices

from lab41_sce.methods import recurrent_mask
from lab41_sce.methods.recurrent_mask import discriminative_loss, in_speaker_order
from lab41_sce.models.mask_model import ratio_masks
from lab41_sce.yaml_defaults import with_yaml_defaults


def loop_loss(masks, mixture, sources, gamma):
    """Compute the loss pair by pair and bin by bin."""
    losses = []
    for b in range(len(masks)):
        total = 0.0
        for s, r in np.ndindex(masks.shape[1], masks.shape[1]):
            weight = 1.0 if s == r else -gamma
            for t, f in np.ndindex(mixture.shape[1:]):
                total += weight * (masks[b, s, t, f] * mixture[b, t, f] - sources[b, r, t, f]) ** 2
        losses.append(total / sum(value**2 for value in mixture[b].ravel()))
    return sum(losses) / len(losses)


def random_case(n_speakers, seed=0):
    rng = np.random.default_rng(seed)
    masks = rng.random((2, n_speakers, 3, 4))
    return masks / masks.sum(axis=1, keepdims=True), rng.random((2, 3, 4)), rng.random((2, n_speakers, 3, 4))


@pytest.mark.parametrize("gamma", [0.0, 0.05, 2.0])
@pytest.mark.parametrize("n_speakers", [2, 3])
def test_loss_agrees_with_a_plain_loop(n_speakers, gamma):
    case = random_case(n_speakers)
    assert float(discriminative_loss(*case, gamma)) == pytest.approx(loop_loss(*case, gamma), rel=1e-6)


@pytest.mark.parametrize("n_speakers", [2, 3])
def test_gradients_agree_with_finite_differences(n_speakers):
    masks, mixture, sources = random_case(n_speakers, 1)
    inputs = tf.constant(masks)
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        loss = discriminative_loss(inputs, tf.constant(mixture), tf.constant(sources), 0.3)
    gradient = tape.gradient(loss, inputs).numpy()
    for index in list(np.ndindex(*masks.shape))[::5]:
        step = np.zeros_like(masks)
        step[index] = 1e-6
        ahead, behind = loop_loss(masks + step, mixture, sources, 0.3), loop_loss(masks - step, mixture, sources, 0.3)
        assert gradient[index] == pytest.approx((ahead - behind) / 2e-6, abs=1e-7)


@pytest.mark.parametrize("size", [0.0, 1e-6, 1.0, 1e6, 1e15])
def test_the_loss_is_bounded_whatever_the_network_outputs(size):
    """A mask may move away from the other sources, but not beyond 0 and 1."""
    rng = np.random.default_rng(2)
    outputs = tf.constant((size * rng.normal(size=(2, 3, 4, 2))).astype(np.float32))
    mixture, sources = (array.astype(np.float32) for array in random_case(2)[1:])
    with tf.GradientTape() as tape:
        tape.watch(outputs)
        loss = discriminative_loss(ratio_masks(outputs), mixture, sources, 10.0)
    furthest = np.maximum(mixture[:, None] - sources, sources) ** 2
    bound = np.mean(furthest.sum(axis=(1, 2, 3)) / (mixture**2).sum(axis=(1, 2)))
    assert -10.0 * bound <= float(loss) <= bound
    assert np.isfinite(tape.gradient(loss, outputs)).all()


@pytest.mark.parametrize("silent", ["bins", "source", "everything"])
def test_silence_is_safe(silent):
    masks, mixture, sources = (array.astype(np.float32) for array in random_case(2))
    if silent == "bins":
        mixture[:, 1:], sources[:, :, 1:] = 0.0, 0.0
    if silent == "source":
        sources[:, 0] = 0.0
    if silent == "everything":
        mixture[:], sources[:] = 0.0, 0.0
    inputs = tf.constant(masks)
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        loss = discriminative_loss(inputs, mixture, sources, 0.05)
    assert np.isfinite(float(loss)) and np.isfinite(tape.gradient(loss, inputs)).all()
    expected = 0.0 if silent == "everything" else loop_loss(masks, mixture, sources, 0.05)
    assert float(loss) == pytest.approx(expected, rel=1e-5)


def test_sources_are_sorted_by_the_numbers_of_their_speakers():
    sources = np.arange(6.0).reshape(2, 3, 1, 1)
    ordered = in_speaker_order(sources, np.array([[7, 2, 30], [1, 5, 3]], np.int32))
    np.testing.assert_array_equal(np.array(ordered)[..., 0, 0], [[1, 0, 2], [3, 5, 4]])


@pytest.mark.parametrize("n_speakers", [2, 3])
def test_sources_and_speakers_change_places_together_only(n_speakers):
    keras.utils.set_random_seed(3)  # with some weights, the two orders have about the same loss
    method = recurrent_mask.build(tiny_setup(n_speakers, units=4), gamma=0.05)
    rng = np.random.default_rng(3)
    sources = rng.standard_normal((2, n_speakers, 1280)).astype(np.float32)
    speaker_ids = np.array([[4, 9, 6], [8, 0, 3]], np.int32)[:, :n_speakers]

    def loss(order_of_sources, order_of_speakers):
        batch = {"sources": sources[:, order_of_sources], "speaker_ids": speaker_ids[:, order_of_speakers]}
        return float(method(batch))

    straight, turned = np.arange(n_speakers), np.roll(np.arange(n_speakers), 1)
    expected = loss(straight, straight)
    assert loss(turned, turned) == pytest.approx(expected, rel=1e-5)
    assert loss(turned, straight) != pytest.approx(expected, rel=1e-3)
    assert loss(straight, turned) != pytest.approx(expected, rel=1e-3)


def test_the_method_takes_the_loss_of_the_ordered_sources():
    method = recurrent_mask.build(tiny_setup(units=4), gamma=0.2)
    sources = np.random.default_rng(0).standard_normal((1, 2, 1280)).astype(np.float32)
    front_end = method.model.front_end
    mixture, of_sources = (np.abs(front_end.spectrogram(signals)) for signals in (sources.sum(axis=1), sources))
    masks = np.array(method.model(sources.sum(axis=1)))
    batch = {"sources": sources, "speaker_ids": np.array([[3, 1]], np.int32)}
    assert float(method(batch)) == pytest.approx(loop_loss(masks, mixture, of_sources[:, ::-1], 0.2), rel=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("n_speakers", [2, 3])
def test_one_mixture_is_overfitted(n_speakers):
    separated_db, _, ideal_ratio_mask_db = overfit(with_yaml_defaults("method/recurrent_mask", gamma=0.05), n_speakers)
    assert separated_db > ideal_ratio_mask_db - 1.0


@pytest.mark.slow
def test_output_one_learns_the_speaker_with_the_lower_number():
    keras.utils.set_random_seed(0)
    method = recurrent_mask.build(tiny_setup(), gamma=0.05)
    method.compile(keras.optimizers.Adam(0.01))
    sources = voices()
    for _ in range(60):
        method.train_on_batch({"sources": sources[None], "speaker_ids": np.array([[5, 2]], np.int32)})
    masks = method.model.masks(sources.sum(axis=0), 2)
    levels = np.abs(method.model.front_end.spectrogram(sources))
    assert (masks[0] * levels[1]).sum() > 2 * (masks[0] * levels[0]).sum()


def test_configuration_builds():
    method = with_yaml_defaults("method/recurrent_mask")(tiny_setup(n_speakers=3))
    assert method.gamma == 0.05 and method.model.mask == "ratio"
    assert method.model.network.output_shape[-1] == 3

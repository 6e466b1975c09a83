"""Masks from outputs, errors against plain loops, segments cut and joined, the model at any length, saving."""

import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf
from conftest import blstm
from keras import ops

from lab41_sce.errors import UserError
from lab41_sce.models.front_end import FrontEnd, magnitude
from lab41_sce.models.mask_model import (
    MASKS,
    MaskModel,
    cut,
    ratio_masks,
    reconstruction_errors,
    softmax_masks,
)
from lab41_sce.models.networks import segment_cnn
from lab41_sce.models.segments import evenly_spaced_starts, join, overlapping_starts

LENGTHS = [1, 2, 50, 51, 52, 76, 77, 101, 102, 103, 500]


def small_cnn(n_bins, n_outputs):
    return segment_cnn(n_bins, n_outputs, segment_frames=51, convolutions=(1, 1, 1), filters=(2, 2, 2), dense_units=3)


@pytest.mark.parametrize("mask", MASKS)
def test_masks_agree_with_plain_numpy(mask):
    outputs = np.random.default_rng(0).normal(size=(2, 4, 5, 3))
    expected = np.empty((2, 3, 4, 5))
    for b, t, f in np.ndindex(2, 4, 5):
        parts = np.exp(outputs[b, t, f]) if mask == "softmax" else np.abs(outputs[b, t, f])
        expected[b, :, t, f] = parts / parts.sum()
    masks = ops.convert_to_numpy(MASKS[mask](outputs))
    np.testing.assert_allclose(masks, expected, atol=1e-6 if mask == "softmax" else 1e-3)
    np.testing.assert_allclose(masks.sum(axis=1), 1.0, atol=1e-6)


@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize("size", [0.0, 1e-30, 1e-6, 1.0, 1e6, 1e30])
def test_outputs_of_any_size_are_safe(mask, size):
    outputs = tf.constant(size * np.array([[1, 1, 1], [1, 0, 0], [-1, 0, 1]], np.float32)[None, None])
    with tf.GradientTape() as tape:
        tape.watch(outputs)
        masks = MASKS[mask](outputs)
        first = masks[:, 0]
    np.testing.assert_allclose(ops.sum(masks, axis=1), 1.0, atol=1e-6)
    np.testing.assert_allclose(masks[0, :, 0, 0], 1 / 3, atol=1e-6)
    assert np.isfinite(tape.gradient(first, outputs)).all()


def test_ratio_masks_share_equally_where_all_outputs_vanish_and_ignore_the_sign():
    np.testing.assert_allclose(ratio_masks(np.zeros((1, 1, 2, 4), np.float32)), 0.25)
    np.testing.assert_allclose(ops.ravel(ratio_masks(np.array([[[[-3.0, 1.0]]]]))), [0.75, 0.25], atol=1e-4)


@pytest.mark.parametrize("mask", [softmax_masks, ratio_masks])
def test_gradients_of_masks_agree_with_finite_differences(mask):
    rng = np.random.default_rng(1)
    outputs, slope = rng.normal(size=(1, 2, 2, 3)), rng.normal(size=(1, 3, 2, 2))
    inputs = tf.constant(outputs)
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        value = ops.sum(slope * mask(inputs))
    gradient = tape.gradient(value, inputs).numpy()
    for index in np.ndindex(*outputs.shape):
        step = np.zeros_like(outputs)
        step[index] = 1e-6
        ahead, behind = (float(ops.sum(slope * mask(tf.constant(outputs + sign * step)))) for sign in (1, -1))
        assert gradient[index] == pytest.approx((ahead - behind) / 2e-6, abs=1e-6)


def test_errors_agree_with_a_plain_loop():
    rng = np.random.default_rng(2)
    masks, mixture, sources = rng.random((2, 3, 4, 5)), rng.random((2, 4, 5)), rng.random((2, 3, 4, 5))
    errors = ops.convert_to_numpy(reconstruction_errors(masks, mixture, sources))
    for b, s, r in np.ndindex(2, 3, 3):
        error = sum((masks[b, s, t, f] * mixture[b, t, f] - sources[b, r, t, f]) ** 2 for t, f in np.ndindex(4, 5))
        assert errors[b, s, r] == pytest.approx(error / sum(x**2 for x in mixture[b].ravel()), rel=1e-6)


@pytest.mark.parametrize("n_frames", LENGTHS)
def test_spread_segments_are_few_and_cover_all_frames_evenly(n_frames):
    starts = evenly_spaced_starts(n_frames, 51)
    assert len(starts) == -(-n_frames // 51)
    assert {start + t for start in starts for t in range(51)} >= set(range(n_frames))
    assert starts[0] == 0 and starts[-1] == max(n_frames - 51, 0)
    assert len(starts) < 3 or np.ptp(np.diff(starts)) <= 1


@pytest.mark.parametrize("segment_frames", [1, 2, 50, 51])
@pytest.mark.parametrize("n_frames", LENGTHS)
def test_overlapping_segments_cover_all_frames_and_overlap_by_half(n_frames, segment_frames):
    starts = overlapping_starts(n_frames, segment_frames)
    assert {start + t for start in starts for t in range(segment_frames)} >= set(range(n_frames))
    assert starts[0] == 0 and starts[-1] == max(n_frames - segment_frames, 0)
    steps = np.diff(starts)
    assert (steps >= 1).all() and (steps <= max(segment_frames // 2, 1)).all()
    assert (steps[:-1] == max(segment_frames // 2, 1)).all()


def test_cut_keeps_the_segments_of_an_item_together():
    spectrograms = np.random.default_rng(3).random((2, 3, 10, 4)).astype(np.float32)  # [B, S, T, F]
    starts = np.array([0, 3, 6])
    expected = [spectrograms[b, :, start : start + 4] for b in range(2) for start in starts]
    np.testing.assert_array_equal(cut(spectrograms, starts, 4), expected)
    np.testing.assert_array_equal(cut(spectrograms[:, 1], starts, 4), np.array(expected)[:, 1])


def test_cut_repeats_the_last_frame_of_what_is_too_short():
    spectrograms = np.arange(6, dtype=np.float32).reshape(1, 3, 2)
    np.testing.assert_array_equal(cut(spectrograms, np.array([0]), 5)[0], [[0, 1], [2, 3], [4, 5], [4, 5], [4, 5]])


def test_join_fades_from_one_segment_to_the_next():
    first, second = 0.9, 0.6  # mask of speaker 1, throughout a segment
    masks = np.stack([np.full((2, 4, 1), [[[m]], [[1 - m]]]) for m in (first, second)]).astype(np.float32)
    joined = join(masks, np.array([0, 2]), np.ones((6, 1)))
    triangle = [1, 2, 2, 1]
    common = [(triangle[2 + t] * first + triangle[t] * second) / (triangle[2 + t] + triangle[t]) for t in range(2)]
    np.testing.assert_allclose(joined[0, :, 0], [first, first, *common, second, second], atol=1e-6)
    np.testing.assert_allclose(joined.sum(axis=0), 1.0, atol=1e-6)


def test_join_follows_the_loud_bins():
    first = np.zeros((2, 2, 3), np.float32)
    first[0] = 1.0  # speaker 1 has all three bins
    second = np.zeros((2, 2, 3), np.float32)
    second[0, :, :2] = second[1, :, 2] = 1.0  # two of them go on, the last one changes its name
    for loudness, last_frame in ((1.5, [1, 1, 0]), (2.5, [0, 0, 1])):
        joined = join(np.stack([first, second]), np.array([0, 1]), np.array([[1.0, 1.0, loudness]] * 3))
        np.testing.assert_array_equal(joined[0, 2], last_frame)


class Fickle(keras.layers.Layer):
    """Outputs that tell the speakers apart by level, but name them differently in every segment."""

    def __init__(self, n_speakers):
        super().__init__()
        self.slopes = np.linspace(-4.0, 4.0, n_speakers).astype(np.float32)
        self.orders = np.array(list(itertools.permutations(range(n_speakers))))

    def outputs(self, features):
        return features[..., None] * self.slopes + np.cos(self.slopes)

    def call(self, features):
        which = ops.arange(ops.shape(features)[0]) % len(self.orders)
        return ops.take_along_axis(self.outputs(features), ops.take(self.orders, which, axis=0)[:, None, None], axis=-1)


@pytest.mark.parametrize("seconds", [1.0, 1.3, 2.0, 30.0])  # 30: more segments than are given to the network at once
@pytest.mark.parametrize("n_speakers", [2, 3])
def test_speakers_keep_their_names_through_the_segments(front_end, n_speakers, seconds):
    features = keras.Input((51, front_end.n_bins))
    fickle = Fickle(n_speakers)
    model = MaskModel(front_end, keras.Model(features, fickle(features)), n_speakers, segment_frames=51)
    mixture = np.random.default_rng(4).standard_normal(round(seconds * 10000)).astype(np.float32)
    mixture[: len(mixture) // 3] *= 0.1  # a segment scaled by itself would look different
    whole = fickle.outputs(front_end(magnitude(*front_end.analyse(mixture[None]))))
    expected = ops.convert_to_numpy(softmax_masks(whole))[0]
    masks = model.masks(mixture, n_speakers)
    assert min(np.abs(masks[list(order)] - expected).max() for order in fickle.orders) < 1e-5


def test_training_segments_have_the_features_of_the_excerpt(front_end):
    features = keras.Input((51, front_end.n_bins))
    model = MaskModel(front_end, keras.Model(features, ops.stack([features, 0 * features], axis=-1)), 2,
                      segment_frames=51)
    mixture = np.random.default_rng(5).random((2, 101, front_end.n_bins)).astype(np.float32)
    mixture[:, :50] *= 0.1
    whole = 1 / (1 + np.exp(-np.array(front_end(mixture))))
    masks = np.array(model.estimate(mixture))
    assert masks.shape == (4, 2, 51, front_end.n_bins)
    np.testing.assert_allclose(masks[:, 0], [whole[b, start : start + 51] for b in (0, 1) for start in (0, 50)],
                               atol=1e-5)


@pytest.fixture(params=["softmax", "ratio", "segments"])
def model(request, front_end):
    keras.utils.set_random_seed(1)
    if request.param == "segments":
        return MaskModel(front_end, small_cnn(front_end.n_bins, 2), 2, segment_frames=51)
    return MaskModel(front_end, blstm(front_end.n_bins, 2, n_layers=1, units=4), 2, request.param)


@pytest.mark.parametrize("length", [1, 1000, 12800, 40000])  # 2 frames, 5, a segment, several
def test_masks_sum_to_one_at_any_length(model, length):
    signal = np.random.default_rng(length).standard_normal(length).astype(np.float32)
    for mixture in (signal, 1e4 * signal, 0 * signal):
        masks = model.masks(mixture, 2)
        assert masks.dtype == np.float32 and masks.shape == (2, *model.front_end.spectrogram(mixture).shape)
        assert (masks >= 0).all()
        np.testing.assert_allclose(masks.sum(axis=0), 1.0, atol=1e-6)


def test_calling_a_model_gives_its_masks(front_end):
    model = MaskModel(front_end, blstm(front_end.n_bins, 3, n_layers=1, units=4), 3)
    mixtures = np.random.default_rng(0).standard_normal((2, 3000)).astype(np.float32)
    for mixture, masks in zip(mixtures, model.predict_on_batch(mixtures), strict=True):
        np.testing.assert_allclose(masks, model.masks(mixture, 3), atol=1e-5)


def test_another_number_of_speakers_is_refused(model):
    with pytest.raises(UserError, match="separates 2 speakers and cannot separate 3; .*mixtures.n_speakers=3"):
        model.masks(np.ones(1000, np.float32), 3)


def test_an_unknown_mask_is_refused(front_end):
    with pytest.raises(ValueError, match="'sigmoid' must be one of softmax, ratio"):
        MaskModel(front_end, blstm(front_end.n_bins, 2, n_layers=1, units=4), 2, "sigmoid")


def test_saved_model_gives_the_same(model, tmp_path):
    mixture = np.random.default_rng(0).standard_normal(30000).astype(np.float32)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert isinstance(loaded, MaskModel) and isinstance(loaded.front_end, FrontEnd)
    assert (loaded.mask, loaded.segment_frames) == (model.mask, model.segment_frames)
    np.testing.assert_allclose(loaded.masks(mixture, 2), model.masks(mixture, 2), atol=1e-6)

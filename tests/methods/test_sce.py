"""The SCE loss against a plain double loop and finite differences; negatives; learning; saving."""

import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
from overfit import overfit

from lab41_sce.errors import UserError
from lab41_sce.methods.sce import (
    SourceContrastiveEstimation,
    SpeakerVectors,
    draw_negatives,
    source_contrastive_loss,
)
from lab41_sce.models.embedding_model import EmbeddingModel
from lab41_sce.models.front_end import magnitude
from lab41_sce.yaml_defaults import with_yaml_defaults

# The loss of the article, in which each test changes what it is about
ARTICLE = {"num_negatives": 0, "loss_range_db": None, "weight_power": 0.0, "weight_without_pre_emphasis": False,
           "centroid_loss_weight": 0.0, "scale": 1.0, "speaker_lr_multiplier": 1.0, "loss_frame_stride": 1, "seed": 0}


def article_loss(model, n_known_speakers, **changes):
    return SourceContrastiveEstimation(model, n_known_speakers, **ARTICLE | changes)


def loop_loss(embeddings, speaker_vectors, labels, weights):
    """Compute the loss bin by bin and speaker by speaker, as the article writes it."""
    total = 0.0
    for b, t, f in np.ndindex(weights.shape):
        bin_losses = []
        for j in range(speaker_vectors.shape[1]):
            margin = labels[b, j, t, f] * np.dot(embeddings[b, t, f], speaker_vectors[b, j])
            bin_losses.append(-np.log(1 / (1 + np.exp(-margin))))
        total += weights[b, t, f] * np.mean(bin_losses)
    return total / weights.sum()


def random_case(seed=0):
    rng = np.random.default_rng(seed)
    embeddings, vectors = rng.normal(size=(2, 3, 4, 5)), rng.normal(size=(2, 3, 5))
    labels, weights = rng.choice([-1.0, 1.0], (2, 3, 3, 4)), rng.random((2, 3, 4))
    return embeddings, vectors, labels, weights


def test_loss_agrees_with_a_plain_loop():
    case = random_case()
    assert float(source_contrastive_loss(*case)) == pytest.approx(loop_loss(*case), rel=1e-5)


def test_gradients_agree_with_finite_differences():
    embeddings, vectors, labels, weights = random_case(1)
    inputs = [tf.constant(embeddings), tf.constant(vectors)]
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        loss = source_contrastive_loss(*inputs, tf.constant(labels), tf.constant(weights))
    for which, gradient in enumerate(tape.gradient(loss, inputs)):
        for index in list(np.ndindex(*gradient.shape))[::7]:
            shifted = []
            for step in (1e-5, -1e-5):
                case = [embeddings.copy(), vectors.copy()]
                case[which][index] += step
                shifted.append(loop_loss(*case, labels, weights))
            assert gradient[index].numpy() == pytest.approx((shifted[0] - shifted[1]) / 2e-5, abs=1e-7)


def test_any_margin_is_safe():
    ones = np.ones((1, 1, 1, 1), np.float32)
    for margin in (-1e6, 1e6):
        with tf.GradientTape() as tape:
            embeddings = tf.constant(margin * ones)
            tape.watch(embeddings)
            loss = source_contrastive_loss(embeddings, ones[0], ones, ones[0])
        assert float(loss) == pytest.approx(max(-margin, 0.0))
        assert np.isfinite(tape.gradient(loss, embeddings)).all()


def test_bins_without_weight_do_not_matter():
    embeddings, vectors, labels, weights = random_case(2)
    weights[:, 1] = 0.0
    changed = embeddings.copy()
    changed[:, 1] += 100.0
    assert float(source_contrastive_loss(changed, vectors, labels, weights)) == pytest.approx(
        float(source_contrastive_loss(embeddings, vectors, labels, weights))
    )


def test_negatives_are_uniform_over_the_absent_speakers():
    present = np.tile([[5, 0, 3]], (20000, 1)).astype(np.int32)
    drawn = keras.ops.convert_to_numpy(draw_negatives(present, 8, 2, seed=3))
    counts = np.bincount(drawn.ravel(), minlength=8) / drawn.size
    assert counts[[0, 3, 5]].sum() == 0
    np.testing.assert_allclose(counts[[1, 2, 4, 6, 7]], 0.2, atol=0.01)


def test_the_multiplier_speeds_the_speaker_vectors_up():
    moves = []
    for multiplier in (1.0, 10.0):
        layer = SpeakerVectors(4, 3, unit_norm=False, speaker_lr_multiplier=multiplier)
        before = np.array(layer(np.arange(4)))
        optimizer = keras.optimizers.Adam(0.001)
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(layer(np.arange(4)))
        optimizer.apply(tape.gradient(loss, layer.trainable_variables), layer.trainable_variables)
        moves.append(np.abs(np.array(layer(np.arange(4))) - before).mean())
    assert moves[1] == pytest.approx(10 * moves[0], rel=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize("unit_norm, options", [
    (False, {}), (False, {"num_negatives": 4}), (True, {"scale": 5.0, "loss_range_db": 40})
])
def test_a_batch_is_learned(tiny_model, unit_norm, options):
    rng = np.random.default_rng(0)
    batch = {"sources": rng.standard_normal((2, 2, 2560)).astype(np.float32),
             "speaker_ids": np.array([[0, 1], [2, 3]], np.int32)}
    model = EmbeddingModel(tiny_model.front_end, tiny_model.network, unit_norm)
    method = article_loss(model, 9, **options)
    method.compile(keras.optimizers.Adam(0.03))
    losses = [float(method.train_on_batch(batch)) for _ in range(30)]
    assert losses[-1] < 0.97 * losses[0]


@pytest.mark.slow
@pytest.mark.parametrize("splits", [True, False])
def test_the_loss_may_use_some_frames_only(tiny_model, splits):
    """The loss of every third frame is one of three losses, and all weights have gradients of it."""
    rng = np.random.default_rng(0)
    sources = rng.standard_normal((2, 2, 2560)).astype(np.float32)
    network = tiny_model.network
    if not splits:
        inputs = keras.Input((None, 257))
        network = keras.Model(inputs, keras.layers.Activation("linear")(network(inputs)))
    model = EmbeddingModel(tiny_model.front_end, network, unit_norm=True)
    method = article_loss(model, 5, loss_frame_stride=3)
    batch = {"sources": sources, "speaker_ids": np.array([[4, 2], [0, 1]], np.int32)}
    levels = np.abs(tiny_model.front_end.spectrogram(sources))
    labels = np.where(levels == levels.max(axis=1, keepdims=True), 1.0, -1.0).astype(np.float32)
    embeddings = np.array(model(sources.sum(axis=1)))
    vectors = np.array(method.speaker_vectors(batch["speaker_ids"]))
    n = embeddings.shape[1] // 3
    possible = [float(source_contrastive_loss(embeddings[:, first::3][:, :n], vectors, labels[:, :, first::3][:, :, :n],
                                              np.ones((2, n, 257), np.float32))) for first in range(3)]
    found = [float(method(batch)) for _ in range(20)]
    assert all(min(abs(loss - one) for one in possible) < 1e-5 for loss in found)
    assert len(set(np.round(found, 5))) == 3
    with tf.GradientTape() as tape:
        loss = method(batch)
    assert all(np.abs(gradient).max() > 0 for gradient in
               map(tf.convert_to_tensor, tape.gradient(loss, [weight.value for weight in model.trainable_variables])))


@pytest.mark.parametrize("speaker_lr_multiplier", [1.0, 10.0])
def test_the_initial_length_of_speaker_vectors_does_not_depend_on_the_multiplier(speaker_lr_multiplier):
    keras.utils.set_random_seed(0)
    vectors = SpeakerVectors(2000, 8, unit_norm=False, speaker_lr_multiplier=speaker_lr_multiplier)
    drawn = keras.ops.convert_to_numpy(vectors(np.arange(2000)))
    assert drawn.std() == pytest.approx(np.sqrt(2 / 8), rel=0.15)  # the tails are cut off at two deviations


@pytest.mark.parametrize("loss_frame_stride", [0, 9, 1.5])
def test_a_frame_stride_outside_its_range_is_refused(tiny_model, loss_frame_stride):
    with pytest.raises(ValueError, match="from 1 to 8"):
        article_loss(tiny_model, 5, loss_frame_stride=loss_frame_stride)


@pytest.mark.parametrize("option", [{"num_negatives": -1}, {"num_negatives": 1.5}, {"scale": None},
                                    {"centroid_loss_weight": 2}, {"speaker_lr_multiplier": 0}])
def test_settings_outside_their_range_are_refused(tiny_model, option):
    with pytest.raises(ValueError, match=f"{[*option][0]}.*is not possible"):
        article_loss(tiny_model, 5, **option)


def test_an_excerpt_without_a_frame_for_the_loss_is_refused(tiny_model):
    method = article_loss(tiny_model, 5, loss_frame_stride=8)
    batch = {"sources": np.ones((1, 2, 256), np.float32), "speaker_ids": np.array([[4, 2]], np.int32)}
    with pytest.raises(UserError, match="leaves none of the 2 frames"):
        method(batch)


@pytest.mark.slow
def test_frames_are_left_out_of_excerpts_of_any_length(tiny_model):
    """From the second length on, TensorFlow compiles the update for unknown lengths."""
    method = article_loss(tiny_model, 5, loss_frame_stride=4)
    method.compile(keras.optimizers.Adam(1e-3))
    rng = np.random.default_rng(0)
    for n_samples in (2560, 5120, 7680):
        batch = {"sources": rng.standard_normal((2, 2, n_samples)).astype(np.float32),
                 "speaker_ids": np.array([[4, 2], [0, 1]], np.int32)}
        history = method.fit(tf.data.Dataset.from_tensors(batch), verbose=0)
        assert np.isfinite(history.history["loss"]).all()


@pytest.mark.parametrize(("weight_power", "without_pre_emphasis", "centroid_loss_weight"), [
    (0.0, False, 0.0), (1.0, False, 0.0), (1.0, True, 0.0), (1.0, False, 0.25)])
def test_loss_uses_the_louder_source(tiny_model, weight_power, without_pre_emphasis, centroid_loss_weight):
    """The method's loss equals the pure function on labels made here in NumPy."""
    rng = np.random.default_rng(0)
    sources = rng.standard_normal((1, 2, 1280)).astype(np.float32)
    method = article_loss(tiny_model, 5, loss_range_db=30, weight_power=weight_power, scale=2.0,
                          weight_without_pre_emphasis=without_pre_emphasis, centroid_loss_weight=centroid_loss_weight)
    loss = method({"sources": sources, "speaker_ids": np.array([[4, 2]], np.int32)})
    levels = np.abs(tiny_model.front_end.spectrogram(sources))
    labels = np.where(levels == levels.max(axis=1, keepdims=True), 1.0, -1.0)
    mixture = np.abs(tiny_model.front_end.spectrogram(sources.sum(axis=1)))
    weights = (mixture >= mixture.max() * 10 ** (-30 / 20)) * mixture**weight_power
    if without_pre_emphasis:
        weights = weights / np.abs(1 - 0.95 * np.exp(-1j * np.linspace(0, np.pi, 257)))
    embeddings = np.array(tiny_model(sources.sum(axis=1)))
    vectors = 2 * np.array(method.speaker_vectors(np.array([[4, 2]])))
    expected = loop_loss(embeddings, vectors, labels, weights)
    if centroid_loss_weight:
        owned = [(labels[0, source] > 0) * weights[0] for source in (0, 1)]
        centroids = [2 * np.average(embeddings[0].reshape(-1, 3), axis=0, weights=own.ravel()) for own in owned]
        expected = 0.75 * expected + 0.25 * loop_loss(embeddings, np.array([centroids]), labels, weights)
    assert float(loss) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("unit_norm", [True, False])
def test_unit_norms_are_those_of_bins_and_speakers(tiny_model, unit_norm):
    model = EmbeddingModel(tiny_model.front_end, tiny_model.network, unit_norm)
    method = article_loss(model, 5)
    bins = model(np.random.default_rng(0).standard_normal((1, 2000)).astype(np.float32))
    for vectors in (bins, method.speaker_vectors(np.arange(5))):
        lengths = np.linalg.norm(vectors, axis=-1)
        assert np.allclose(lengths, 1.0, atol=1e-5) == unit_norm


def test_magnitude_has_a_finite_gradient_at_zero():
    zero = tf.zeros(3)
    with tf.GradientTape() as tape:
        tape.watch(zero)
        value = magnitude(zero, zero)
    assert np.isfinite(tape.gradient(value, zero)).all()


@pytest.mark.slow
def test_saved_model_gives_the_same_in_a_new_process(tiny_model, tmp_path):
    mixture = np.random.default_rng(0).standard_normal((1, 3000)).astype(np.float32)
    expected = tiny_model.predict_on_batch(mixture)
    tiny_model.save(tmp_path / "model.keras")
    np.save(tmp_path / "mixture.npy", mixture)
    code = ("import sys, numpy, keras, lab41_sce.models.loading; folder = sys.argv[1]; "
            "model = keras.saving.load_model(folder + '/model.keras'); "
            "numpy.save(folder + '/out.npy', model.predict_on_batch(numpy.load(folder + '/mixture.npy')))")
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True)
    np.testing.assert_allclose(np.load(tmp_path / "out.npy"), expected, atol=1e-6)


def test_separation_model_knows_no_speaker(tiny_model):
    method = article_loss(tiny_model, 7)
    assert not any(7 in weight.shape for weight in method.model.weights)
    assert any(7 in weight.shape for weight in method.weights)


@pytest.mark.parametrize("n_speakers", [2, pytest.param(3, marks=pytest.mark.slow)])
def test_one_mixture_is_separated_like_by_its_ideal_mask(n_speakers):
    build = with_yaml_defaults("method/sce_article", embedding_size=6, unit_norm=True, scale=5.0,
                               speaker_lr_multiplier=10.0, seed=0)
    found, ideal_binary, _ = overfit(build, n_speakers, updates=80)
    assert found > ideal_binary - 1.0


@pytest.mark.parametrize("missing", [*ARTICLE])
def test_every_setting_must_be_given(tiny_model, missing):
    """The only defaults are those of experiments/method/sce.yaml."""
    settings = {name: value for name, value in ARTICLE.items() if name != missing}
    with pytest.raises(TypeError, match=missing):
        SourceContrastiveEstimation(tiny_model, 5, **settings)

"""Figures of vectors show principal components with their variance, and the right colours."""

import numpy as np
import pytest
from matplotlib.collections import Collection
from matplotlib.colors import to_rgba
from test_spectrogram_figures import F, T, make_sources

from lab41_sce.article.spectrogram_figures import SPEAKER_COLOURS
from lab41_sce.article.vector_figures import MAX_POINTS, SEXES, principal_components, speaker_vectors
from lab41_sce.reporting import figures


def share_percent(vectors):
    """Return the explained variances in percent, from the covariance."""
    variances = np.linalg.eigvalsh(np.cov(vectors.T))[::-1]
    return 100 * variances / variances.sum()


def test_principal_components_have_the_labelled_variance():
    rng = np.random.default_rng(0)
    mixture, sources = make_sources(2, 40, 30)
    scales = np.array([1, 5, 2, 3])
    embeddings = {"before": rng.standard_normal((40, 30, 4)), "after": scales * rng.standard_normal((40, 30, 4))}
    figure = principal_components(embeddings, sources, mixture, range_db=12)
    loud = mixture >= mixture.max() * 10 ** (-12 / 20)
    assert 100 < loud.sum() < loud.size / 2
    assert [panel.get_title() for panel in figure.axes] == ["before", "after"]
    for panel, vectors in zip(figure.axes, embeddings.values(), strict=True):
        chosen = vectors[loud]
        labels = (panel.get_xlabel(), panel.get_ylabel(), panel.get_zlabel())
        shares = share_percent(chosen)
        assert labels == tuple(f"PC {n + 1}: {shares[n]:.0f} % of variance" for n in range(3))
        points, = panel.collections
        assert points.get_rasterized()
        places = np.stack(points._offsets3d, axis=1)
        assert len(places) == loud.sum()
        np.testing.assert_allclose(places.var(axis=0, ddof=1), shares[:3] / 100 * chosen.var(axis=0, ddof=1).sum())
    # Most of what varies in "after" is the vectors' second number, and that is what the first axis shows.
    places = np.sort(figure.axes[1].collections[0]._offsets3d[0])
    numbers = np.sort(embeddings["after"][loud][:, 1])
    assert max(np.corrcoef(places, sign * np.sort(sign * numbers))[0, 1] for sign in (1, -1)) > 0.99


def test_points_have_the_louder_sources_colour():
    mixture, sources = make_sources(3, 20, 10)
    louder = sources.argmax(axis=0)
    embeddings = np.eye(3)[louder]  # a different place for each speaker
    panel, = principal_components({"": embeddings}, sources, mixture, range_db=100).axes
    points, = panel.collections
    places = np.stack(points._offsets3d, axis=1).round(4)
    colours = Collection.get_facecolor(points)[:, :3]  # in the order of the places; its own sorts them by depth
    pairs = {tuple(place): tuple(colour) for place, colour in zip(places, colours, strict=True)}
    assert len(pairs) == len(set(pairs.values())) == 3
    counts = [(colours == SPEAKER_COLOURS[source]).all(axis=1).sum() for source in range(3)]
    assert counts == np.bincount(louder.ravel()).tolist()


def test_of_many_points_a_repeatable_sample_is_drawn():
    mixture, sources = make_sources(2, 100, 60)
    embeddings = {"": np.random.default_rng(0).standard_normal((100, 60, 3))}
    samples = []
    for _ in range(2):
        panel, = principal_components(embeddings, sources, mixture, range_db=100).axes
        samples.append(np.stack(panel.collections[0]._offsets3d))
    assert samples[0].shape == (3, MAX_POINTS)
    np.testing.assert_array_equal(*samples)
    assert len(np.unique(samples[0][0])) == MAX_POINTS  # none twice


def test_speaker_vectors_are_coloured_by_sex_and_by_pitch():
    rng = np.random.default_rng(2)
    sexes = list("FMMFFMFM")
    pitches_hz = np.array([220, 100, 120, 200, np.nan, 90, 180, 130])
    vectors = rng.standard_normal((8, 5)) * [4, 1, 1, 1, 1]
    figure = speaker_vectors(vectors, sexes, pitches_hz)
    by_sex, by_pitch, bar = figure.axes
    shares = share_percent(vectors)
    assert by_sex.get_xlabel() == by_pitch.get_xlabel() == f"PC 1: {shares[0]:.0f} % of variance"
    assert by_sex.get_ylabel() == f"PC 2: {shares[1]:.0f} % of variance"
    assert "Hz" in bar.get_ylabel() and bar.get_ylim() == (90, 220)
    centred = vectors - vectors.mean(axis=0)
    axes = np.linalg.eigh(centred.T @ centred)[1][:, [-1, -2]]
    for points, pitch_points, (sex, (label, colour, _)) in zip(by_sex.collections, by_pitch.collections, SEXES.items()):
        own = np.array(sexes) == sex
        assert points.get_label() == label and points.get_facecolors().tolist() == [list(to_rgba(colour))]
        np.testing.assert_array_equal(points.get_offsets(), pitch_points.get_offsets())
        places = np.asarray(points.get_offsets())
        np.testing.assert_allclose(np.abs(places), np.abs(centred[own] @ axes), atol=1e-6)  # signs are arbitrary
        shades = pitch_points.get_facecolors()
        known = np.isfinite(pitches_hz[own])
        greens = shades[known][:, 1]  # the higher, the greener is viridis
        np.testing.assert_array_equal(np.argsort(greens), np.argsort(pitches_hz[own][known]))
        assert (shades[~known] == to_rgba("lightgray")).all()
    markers = [points.get_paths()[0].vertices.shape for points in by_sex.collections]
    assert markers[0] != markers[1]


def test_speaker_vectors_cope_with_one_sex_and_no_pitch(tmp_path):
    vectors = np.random.default_rng(2).standard_normal((3, 2))
    figure = speaker_vectors(vectors, "FFF", np.full(3, np.nan))
    assert (figure.axes[1].collections[0].get_facecolors() == to_rgba("lightgray")).all()
    figures.save(figure, tmp_path / "unknown.png")
    for arguments in ((vectors[:2], "FF", [1, 2]), (vectors[:, :1], "FFF", [1, 2, 3])):
        with pytest.raises(ValueError, match=r"at least \(3, 2\) is needed"):
            speaker_vectors(*arguments)
    for arguments in ((vectors, "FM", [1, 2, 3]), (vectors, "FMX", [1, 2, 3]), (vectors, "FMM", [1, 2]),
                      (vectors[0], "FM", [1, 2])):
        with pytest.raises(ValueError, match=r"give vectors \[P, K\]"):
            speaker_vectors(*arguments)


def test_a_speaker_who_is_never_louder_and_equal_vectors_can_be_drawn(tmp_path):
    mixture, sources = make_sources()
    sources[1] = 0
    figure = principal_components({"": np.ones((T, F, 3))}, sources, mixture)
    assert figure.axes[0].get_xlabel() == "PC 1: 0 % of variance"
    assert len(figure.legends[0].texts) == 2
    figures.save(figure, tmp_path / "alike.svg")


def test_other_embeddings_are_refused():
    mixture, sources = make_sources()
    for embeddings in ({}, {"a": np.ones((T, F))}, {"a": np.ones((T, F, 3)), "b": np.ones((F, T, 3))}):
        with pytest.raises(ValueError, match=r"give at least one \[T, F, K\]"):
            principal_components(embeddings, sources, mixture)
    with pytest.raises(ValueError, match=r"2\); at least \(3, 3\) is needed"):
        principal_components({"": np.ones((T, F, 2))}, sources, mixture)
    with pytest.raises(ValueError, match=r"\(0, 3\); at least \(3, 3\) is needed"):
        principal_components({"": np.ones((T, F, 3))}, 0 * sources, 0 * mixture)
    with pytest.raises(ValueError, match="the sources have the shape"):
        principal_components({"": np.ones((T, F, 3))}, sources[0], mixture)


def test_saved_figures_are_small_and_repeatable(tmp_path):
    mixture, sources = make_sources(2, 150, 257)
    embeddings = {"": np.random.default_rng(0).standard_normal((150, 257, 4))}
    for name in ("a.svg", "b.svg"):
        figures.save(principal_components(embeddings, sources, mixture), tmp_path / name)
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()
    assert all(file.stat().st_size < 400_000 for file in tmp_path.iterdir())

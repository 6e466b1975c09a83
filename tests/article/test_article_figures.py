"""The article's figures show the numbers they were given, where and in the colours that they say."""

import re

import keras
import numpy as np
import pandas as pd
import pytest
from conftest import blstm
from matplotlib.collections import Collection
from matplotlib.colors import to_rgb, to_rgba

from lab41_sce.article.figures import (
    MAXIMUM_POINTS,
    SEXES,
    SPEAKER_COLOURS,
    SYSTEMS,
    Grid,
    article_scores,
    beside_article,
    components,
    improvement_by_snr,
    louder_source,
    masking,
    principal_components,
    speaker_vectors,
)
from lab41_sce.article.network import draw_network
from lab41_sce.models.embedding_model import EmbeddingModel
from lab41_sce.models.front_end import FrontEnd
from lab41_sce.models.mask_model import MaskModel
from lab41_sce.models.networks import segment_cnn
from lab41_sce.reporting import figures

GRID = Grid(0.0256, 20.0)
T, F = 9, 6


def make_sources(n_sources=2, n_frames=T, n_bins=F):
    """Return magnitudes of a mixture [T, F] and of its sources [S, T, F], over about 40 dB."""
    sources = 10 ** np.random.default_rng(3).uniform(-2, 0, (n_sources, n_frames, n_bins)).astype(np.float32)
    return sources.sum(axis=0), sources


def level_db(magnitude, loudest):
    return 20 * np.log10(np.maximum(magnitude / loudest, 1e-3))


def panels_of(figure):
    return [panel for panel in figure.axes if panel.images]


@pytest.mark.parametrize("n_sources", [2, 3])
def test_components_share_levels_and_axes(n_sources):
    mixture, sources = make_sources(n_sources)
    sources[1] *= 0.1
    figure = components(mixture, sources, GRID)
    panels = panels_of(figure)
    assert [panel.get_title("left") for panel in panels] == ["mixture", "speaker 1", "speaker 2", "speaker 3"][
        : n_sources + 1]
    for panel, magnitude in zip(panels, [mixture, *sources], strict=True):
        image, = panel.images
        np.testing.assert_allclose(image.get_array(), level_db(magnitude, mixture.max()).T, atol=1e-4)
        assert image.get_clim() == (-60, 0) and image.origin == "lower"
        # The first frame lies at 0 s, the last at (T - 1) hops; the first bin at 0 Hz.
        np.testing.assert_allclose(image.get_extent(), (-0.0128, (T - 0.5) * 0.0256, -10, 20 * F - 10))
        assert panel.get_xlabel() == "Time (s)"
    assert [panel.get_ylabel() for panel in panels] == ["Frequency (Hz)"] + n_sources * [""]
    assert "dB" in figure.axes[-1].get_ylabel()


def test_grid_is_the_front_ends():
    front_end = FrontEnd(sample_rate_hz=8000, frame_length=256, hop_length=64)
    assert Grid.of(front_end) == (0.008, 31.25)
    assert Grid.of(front_end).hz_per_bin * (front_end.n_bins - 1) == 4000  # half the sample rate


@pytest.mark.parametrize("n_sources", [2, 3])
def test_bins_have_the_louder_sources_colour_and_the_mixtures_brightness(n_sources):
    mixture, sources = make_sources(n_sources)
    mixture[2, 3] = 0
    figure = louder_source(mixture, sources, GRID)
    panel, = panels_of(figure)
    colours = np.asarray(panel.images[0].get_array())  # [F, T, 3]
    legend = figure.legends[0]
    assert [text.get_text() for text in legend.texts] == [f"speaker {n} louder" for n in (1, 2, 3)][:n_sources]
    hues = np.array([to_rgb(patch.get_facecolor()) for patch in legend.get_patches()])
    brightness = 1 + level_db(mixture, mixture.max()) / 60
    for t, f in np.ndindex(T, F):
        expected = hues[sources[:, t, f].argmax()] * brightness[t, f]
        np.testing.assert_allclose(colours[f, t], expected, atol=1e-5)
    np.testing.assert_allclose(colours[3, 2], 0, atol=1e-6)  # silence is black
    assert "dB" in figure.axes[1].get_ylabel()
    assert (panel.get_xlabel(), panel.get_ylabel()) == ("Time (s)", "Frequency (Hz)")


def test_masking_shows_products_of_masks_and_mixture():
    mixture, sources = make_sources(3)
    masks = np.random.default_rng(1).dirichlet([1, 1, 1], (T, F)).transpose(2, 0, 1)
    figure = masking(mixture, masks, sources, GRID, speaker=1)
    shown = {panel.get_title("left"): np.asarray(panel.images[0].get_array()).T for panel in panels_of(figure)}
    ideal = (sources[1] > sources[0]) & (sources[1] > sources[2])
    np.testing.assert_array_equal(shown.pop("estimated mask"), masks[1])
    np.testing.assert_array_equal(shown.pop("ideal mask"), ideal)
    levels = {"mixture": mixture, "mixture × estimated mask": masks[1] * mixture, "target: speaker 2": sources[1],
              "mixture × ideal mask": ideal * mixture}
    assert shown.keys() == levels.keys()
    for title, magnitude in levels.items():
        np.testing.assert_allclose(shown[title], level_db(magnitude, mixture.max()), atol=1e-4)
    limits = {panel.get_title("left"): panel.images[0].get_clim() for panel in panels_of(figure)}
    assert limits["estimated mask"] == limits["ideal mask"] == (0, 1) and limits["mixture"] == (-60, 0)


def texts_of(figure):
    panel, = figure.axes
    return [text.get_text() for text in panel.texts if text.get_text()]


def parameters_in(texts):
    return sum(int(count.replace(",", "")) for text in texts for count in re.findall(r"([\d,]+) parameters", text))


def test_network_is_drawn_from_the_model(tiny_model):
    figure = draw_network(tiny_model, "SCE", n_known_speakers=7)
    texts = texts_of(figure)
    known, = (text for text in texts if "speaker vectors" in text)
    assert known == "training: SCE\nwith speaker vectors [7, 3]\n21 parameters"
    texts.remove(known)
    assert parameters_in(texts) == tiny_model.count_params()
    assert parameters_in([figure.axes[0].get_title()]) == tiny_model.count_params()
    for layer in tiny_model.network.layers[1:]:
        assert sum(text.startswith(f"{layer.name}: {type(layer).__name__}") for text in texts) == 1
    shapes = [text for text in texts if text.startswith("[B")]
    assert shapes == ["[B, N]", "[B, T, 257]", "[B, T, 8]", "[B, T, 771]"]
    assert any(text.endswith("[B, T, 257, 3]: vectors") for text in texts)
    assert any("LSTM each way: units 4, activation tanh" in text for text in texts)
    assert any("frame length 512, hop length 256, pre emphasis 0.95" in text for text in texts)
    assert texts[-1] == "inference: clustering by k-means\nmasks [S, T, 257] times mixture"
    unknown = texts_of(draw_network(EmbeddingModel(FrontEnd(), tiny_model.network, unit_norm=True), "affinity"))
    assert unknown[-1] == "training: affinity" and any(text.endswith("vectors of length one") for text in unknown)


def test_network_of_masks_has_no_clustering():
    cnn = segment_cnn(33, 2, segment_frames=17, convolutions=(1, 1, 1), filters=(2, 2, 2), dense_units=3)
    model = MaskModel(FrontEnd(frame_length=64, hop_length=32), cnn, n_speakers=2, segment_frames=17)
    texts = texts_of(draw_network(model, "PIT"))
    assert parameters_in(texts) == model.count_params() > 0
    assert texts[-2:] == ["inference: no clustering\nmasks [S, T, 33] times mixture", "training: PIT"]
    assert any(text.endswith("[B, 17, 33, 2]: masks by softmax over the speakers") for text in texts)
    assert any("filters 2, kernel size (3, 3), strides (2, 2), activation relu" in text for text in texts)


def test_network_of_branches_is_refused():
    features = keras.Input((None, 5))
    one, other = (keras.layers.Dense(5)(features) for _ in range(2))
    branched = keras.Model(features, keras.layers.Reshape((-1, 5, 1))(one + other))
    with pytest.raises(ValueError, match="want a chain"):
        draw_network(EmbeddingModel(FrontEnd(), branched), "SCE")


def test_network_boxes_lie_apart_and_on_the_page():
    model = EmbeddingModel(FrontEnd(), blstm(257, 2, n_layers=3, units=2, dropout=0.1))
    figure = draw_network(model, "source-contrastive estimation", 251)
    figure.draw_without_rendering()
    boxes = [text.get_bbox_patch().get_window_extent() for text in figure.axes[0].texts if text.get_bbox_patch()]
    assert len(boxes) == 2 + 8 + 2  # waveform, front end; layers; ends
    for number, box in enumerate(boxes):
        assert figure.bbox.x0 < box.x0 and box.x1 < figure.bbox.x1
        assert figure.bbox.y0 < box.y0 and box.y1 < figure.bbox.y1
        assert not any(box.overlaps(other) for other in boxes[:number])


def share_percent(vectors):
    """Return the explained variances in percent, from the covariance."""
    variances = np.linalg.eigvalsh(np.cov(vectors.T))[::-1]
    return 100 * variances / variances.sum()


def test_principal_components_explain_what_they_say():
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
    embeddings = np.eye(3)[louder]  # each speaker a place of its own
    panel, = principal_components({"": embeddings}, sources, mixture, range_db=100).axes
    points, = panel.collections
    places = np.stack(points._offsets3d, axis=1).round(4)
    colours = Collection.get_facecolor(points)[:, :3]  # in the order of the places; its own sorts them by depth
    pairs = {tuple(place): tuple(colour) for place, colour in zip(places, colours, strict=True)}
    assert len(pairs) == len(set(pairs.values())) == 3
    counts = [(colours == SPEAKER_COLOURS[source]).all(axis=1).sum() for source in range(3)]
    assert counts == np.bincount(louder.ravel()).tolist()


def test_many_points_are_a_repeatable_sample():
    mixture, sources = make_sources(2, 100, 60)
    embeddings = {"": np.random.default_rng(0).standard_normal((100, 60, 3))}
    samples = []
    for _ in range(2):
        panel, = principal_components(embeddings, sources, mixture, range_db=100).axes
        samples.append(np.stack(panel.collections[0]._offsets3d))
    assert samples[0].shape == (3, MAXIMUM_POINTS)
    np.testing.assert_array_equal(*samples)
    assert len(np.unique(samples[0][0])) == MAXIMUM_POINTS  # none twice


def test_article_scores_are_those_read_off_figure_6():
    table = article_scores()
    assert list(table.columns) == ["system", "kind", "mean"]
    wide = table.pivot(index="system", columns="kind", values="mean")
    assert wide.loc["sce"].to_dict() == {"FF": 5.31, "MM": 5.45, "FM": 9.95, "All": 7.68}
    assert wide.loc["pit_cnn", "MM"] == 4.03 and wide.loc["deep_clustering", "FF"] == 4.21
    assert set(wide.index) == set(SYSTEMS)
    # "All" is the mean over FF, MM, FM and MF, but for what pixels allow.
    np.testing.assert_allclose((wide["FF"] + wide["MM"] + 2 * wide["FM"]) / 4, wide["All"], atol=0.05)


def make_summary(systems, kinds=("All", "FF", "FM", "MM")):
    return pd.DataFrame([
        (system, split, kind, metric, 10 * (split == "unseen") + 3 * place + number + (metric == "SDRi"))
        for place, system in enumerate(systems) for split in ("in-set", "unseen")
        for number, kind in enumerate(kinds) for metric in ("SDR", "SDRi")
    ], columns=["system", "split", "kind", "metric", "mean"]).assign(
        low=lambda table: table["mean"] - 0.5, high=lambda table: table["mean"] + 1, n=40)


def test_bars_are_the_means_of_ours_beside_the_articles():
    systems = ["unprocessed", "pit_cnn", "sce", "deep_clustering", "sce_oracle_centroids"]
    summary, article = make_summary(systems), article_scores()
    figure = beside_article(summary, article)
    panel, = figure.axes
    kinds = [label.get_text() for label in panel.get_xticklabels()]
    assert kinds == ["FF", "MM", "FM", "All"]
    groups = {group.get_label(): group for group in panel.containers if group.get_label()[0] != "_"}
    names = [f"{name}{which}" for name in ("sce", "deep clustering", "pit cnn") for which in ("", ", article")]
    assert list(groups) == names == [text.get_text() for text in figure.legends[0].texts]
    ours = summary[(summary["split"] == "unseen") & (summary["metric"] == "SDRi")]
    ends = []
    for name, group in groups.items():
        table = article if "article" in name else ours
        table = table[table["system"] == name.removesuffix(", article").replace(" ", "_")].set_index("kind")
        assert [bar.get_height() for bar in group] == list(table.loc[kinds, "mean"])
        assert all(bool(bar.get_hatch()) == ("article" in name) for bar in group)
        assert all(to_rgb(bar.get_facecolor()) == to_rgb(SYSTEMS[table["system"].iloc[0]]) for bar in group)
        if "article" not in name:
            low, high = np.array(group.errorbar.lines[2][0].get_segments())[:, :, 1].T
            np.testing.assert_allclose([low, high], table.loc[kinds, ["low", "high"]].T)
        for tick, bar in enumerate(group):
            ends.append((bar.get_x(), bar.get_x() + bar.get_width()))
            assert abs(bar.get_x() + bar.get_width() / 2 - tick) < 0.5
    ends.sort()
    assert all(left[1] <= right[0] + 1e-9 for left, right in zip(ends, ends[1:]))  # none hides another
    assert "SDRi (dB)" in panel.get_ylabel() and "unseen" in panel.get_ylabel()


def test_missing_systems_and_kinds_leave_no_gap():
    article = article_scores()
    panel, = beside_article(make_summary(["sce", "unprocessed"]), article, split="in-set", metric="SDR").axes
    groups = [group for group in panel.containers if group.get_label()[0] != "_"]
    assert [group.get_label() for group in groups] == ["sce", "sce, article"]
    assert [bar.get_height() for bar in groups[0]] == [1, 3, 2, 0]
    partial = make_summary(["sce", "pit_cnn"], kinds=("All", "MM"))
    partial = partial[(partial["system"] == "sce") | (partial["kind"] == "All")]
    panel, = beside_article(partial, article).axes
    assert [label.get_text() for label in panel.get_xticklabels()] == ["MM", "All"]
    pit = next(group for group in panel.containers if group.get_label() == "pit cnn")
    assert np.isnan(pit[0].get_height()) and pit[1].get_height() == 14
    for summary in (make_summary(["nmf"]), make_summary(["sce"], kinds=("FFF",))):
        with pytest.raises(ValueError, match="no 'SDRi' in split 'unseen'"):
            beside_article(summary, article)
    with pytest.raises(ValueError, match="no 'SIR'"):
        beside_article(make_summary(["sce"]), article, metric="SIR")


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
        with pytest.raises(ValueError, match=r"want \(3, 2\) at least"):
            speaker_vectors(*arguments)
    for arguments in ((vectors, "FM", [1, 2, 3]), (vectors, "FMX", [1, 2, 3]), (vectors, "FMM", [1, 2]),
                      (vectors[0], "FM", [1, 2])):
        with pytest.raises(ValueError, match=r"want \[P, K\]"):
            speaker_vectors(*arguments)


def test_silence_and_a_single_frame_can_be_drawn(tmp_path):
    for mixture, sources in (make_sources(2, 1, 1), (np.zeros((T, F)), np.zeros((2, T, F)))):
        shown = [components(mixture, sources, GRID), louder_source(mixture, sources, GRID),
                 masking(mixture, 0 * sources + 0.5, sources, GRID)]
        for number, figure in enumerate(shown):
            figures.save(figure, tmp_path / f"{number}.png")
    for figure, value in zip(shown, (-60, 0)):
        np.testing.assert_allclose(panels_of(figure)[0].images[0].get_array().filled(np.nan), value)
    with pytest.raises(ValueError, match=r"\(0, 3\), want \(3, 3\) at least"):
        principal_components({"": np.ones((T, F, 3))}, sources, mixture)


def test_a_speaker_who_is_never_louder_and_vectors_all_alike_can_be_drawn(tmp_path):
    mixture, sources = make_sources()
    sources[1] = 0
    figure = principal_components({"": np.ones((T, F, 3))}, sources, mixture)
    assert figure.axes[0].get_xlabel() == "PC 1: 0 % of variance"
    assert len(figure.legends[0].texts) == 2
    ideal = next(panel for panel in panels_of(masking(mixture, 0 * sources, sources, GRID, speaker=1))
                 if panel.get_title("left") == "ideal mask")
    assert not ideal.images[0].get_array().any()
    figures.save(figure, tmp_path / "alike.svg")


@pytest.mark.parametrize("shapes", [((T,), (2, T)), ((T, F), (T, F)), ((T, F), (2, F, T)), ((T, F), (4, T, F)),
                                    ((T, F), (0, T, F)), ((0, F), (2, 0, F))])
def test_other_shapes_are_refused(shapes):
    mixture, sources = map(np.ones, shapes)
    for draw in (lambda: components(mixture, sources, GRID), lambda: louder_source(mixture, sources, GRID),
                 lambda: masking(mixture, sources, sources, GRID), lambda: principal_components({}, sources, mixture)):
        with pytest.raises(ValueError, match=re.escape(f"shape {shapes[0]} and sources {shapes[1]}, want")):
            draw()


def test_other_arguments_are_refused():
    mixture, sources = make_sources()
    with pytest.raises(ValueError, match="complex"):
        components(mixture, sources + 1j, GRID)
    with pytest.raises(ValueError, match=rf"\(1, {T}, {F}\).*want the sources' shape \(2, {T}, {F}\)"):
        masking(mixture, sources[:1], sources, GRID)
    with pytest.raises(ValueError, match="speaker is 2, want .* from 0 to 1"):
        masking(mixture, sources, sources, GRID, speaker=2)
    for embeddings in ({}, {"a": np.ones((T, F))}, {"a": np.ones((T, F, 3)), "b": np.ones((F, T, 3))}):
        with pytest.raises(ValueError, match=r"want one \[T, F, K\] at least"):
            principal_components(embeddings, sources, mixture)
    with pytest.raises(ValueError, match=r"2\), want \(3, 3\) at least"):
        principal_components({"": np.ones((T, F, 2))}, sources, mixture)


def test_saved_figures_are_small_and_repeatable(tmp_path):
    mixture, sources = make_sources(2, 150, 257)
    embeddings = {"": np.random.default_rng(0).standard_normal((150, 257, 4))}
    for name in ("a.svg", "b.svg"):
        figures.save(principal_components(embeddings, sources, mixture), tmp_path / name)
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()
    figures.save(louder_source(mixture, sources, GRID), tmp_path / "c.svg")
    assert all(file.stat().st_size < 400_000 for file in tmp_path.iterdir())


def test_improvement_over_the_ratio_of_noise():
    rows = [("sce", "unseen", 6.0), ("sce", "unseen, SNR -5 dB", 1.0), ("sce", "unseen, SNR 10 dB", 4.0),
            ("saved", "unseen, SNR 10 dB", 3.0)]
    table = pd.DataFrame(rows, columns=["system", "split", "mean"])
    table = table.assign(metric="SDRi", kind="All", low=table["mean"] - 1, high=table["mean"] + 2)
    known = table.assign(split=table["split"].str.replace("unseen", "in-set"), mean=9.0)
    figure = improvement_by_snr(pd.concat([table, known]), {"sce": "with noise", "saved": "without", "absent": "?"})
    panel = figure.axes[0]
    first, second = (container.lines[0].get_xydata().tolist() for container in panel.containers)
    assert first == [[-5, 1], [10, 4], [15, 6]] and second == [[10, 3]]
    assert [label.get_text() for label in panel.get_xticklabels()] == ["-5", "10", "no noise"]
    assert "(dB)" in panel.get_xlabel() and "(dB)" in panel.get_ylabel()
    low, high = panel.containers[0].lines[2][0].get_segments()[0][:, 1]
    assert (low, high) == (0, 3)
    with pytest.raises(ValueError, match="at any SNR"):
        improvement_by_snr(table[table["split"] == "unseen"], {"sce": "with noise"})

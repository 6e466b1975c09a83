"""Spectrogram figures show the given numbers at the right places and in the right colours."""

import re

import numpy as np
import pytest
from matplotlib.colors import to_rgb

from lab41_sce.article.spectrogram_figures import Grid, components, louder_source, masking
from lab41_sce.models.front_end import FrontEnd
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


def test_grid_has_the_spacing_of_the_front_end():
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


def test_masking_shows_masks_and_their_products_with_the_mixture():
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


def test_silence_and_a_single_frame_can_be_drawn(tmp_path):
    for mixture, sources in (make_sources(2, 1, 1), (np.zeros((T, F)), np.zeros((2, T, F)))):
        shown = [components(mixture, sources, GRID), louder_source(mixture, sources, GRID),
                 masking(mixture, 0 * sources + 0.5, sources, GRID)]
        for number, figure in enumerate(shown):
            figures.save(figure, tmp_path / f"{number}.png")
    for figure, value in zip(shown, (-60, 0)):
        np.testing.assert_allclose(panels_of(figure)[0].images[0].get_array().filled(np.nan), value)


@pytest.mark.parametrize("shapes", [((T,), (2, T)), ((T, F), (T, F)), ((T, F), (2, F, T)), ((T, F), (4, T, F)),
                                    ((T, F), (0, T, F)), ((0, F), (2, 0, F))])
def test_other_shapes_are_refused(shapes):
    mixture, sources = map(np.ones, shapes)
    for draw in (lambda: components(mixture, sources, GRID), lambda: louder_source(mixture, sources, GRID),
                 lambda: masking(mixture, sources, sources, GRID)):
        message = f"with the shape {shapes[0]} and the sources have the shape {shapes[1]}"
        with pytest.raises(ValueError, match=re.escape(message)):
            draw()


def test_other_arguments_are_refused():
    mixture, sources = make_sources()
    with pytest.raises(ValueError, match="complex"):
        components(mixture, sources + 1j, GRID)
    with pytest.raises(ValueError, match=rf"\(1, {T}, {F}\).*shape of the sources \(2, {T}, {F}\)"):
        masking(mixture, sources[:1], sources, GRID)
    with pytest.raises(ValueError, match="speaker is 2; .* from 0 to 1"):
        masking(mixture, sources, sources, GRID, speaker=2)


def test_saved_figures_are_small(tmp_path):
    figures.save(louder_source(*make_sources(2, 150, 257), GRID), tmp_path / "c.svg")
    assert (tmp_path / "c.svg").stat().st_size < 400_000


def test_a_speaker_who_is_never_louder_has_an_empty_ideal_mask():
    mixture, sources = make_sources()
    sources[1] = 0
    ideal = next(panel for panel in panels_of(masking(mixture, 0 * sources, sources, GRID, speaker=1))
                 if panel.get_title("left") == "ideal mask")
    assert not ideal.images[0].get_array().any()

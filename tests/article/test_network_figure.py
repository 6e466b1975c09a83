"""The diagram of a network shows the layers, parameters and shapes of the model."""

import re

import keras
import pytest
from conftest import blstm

from lab41_sce.article.network_figure import draw_network
from lab41_sce.models.embedding_model import EmbeddingModel
from lab41_sce.models.front_end import FrontEnd
from lab41_sce.models.mask_model import MaskModel
from lab41_sce.models.networks import segment_cnn


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
    assert any("LSTM in each direction: units 4, activation tanh" in text for text in texts)
    assert any("frame length 512, hop length 256, pre emphasis 0.95" in text for text in texts)
    assert texts[-1] == "inference: k-means clustering\nmasks [S, T, 257] times mixture"
    unknown = texts_of(draw_network(EmbeddingModel(FrontEnd(), tiny_model.network, unit_norm=True), "affinity"))
    assert unknown[-1] == "training: affinity" and any(text.endswith("vectors of unit length") for text in unknown)


def test_network_of_masks_has_no_clustering():
    cnn = segment_cnn(33, 2, segment_frames=17, convolutions=(1, 1, 1), filters=(2, 2, 2), dense_units=3)
    model = MaskModel(FrontEnd(frame_length=64, hop_length=32), cnn, n_speakers=2, segment_frames=17)
    texts = texts_of(draw_network(model, "PIT"))
    assert parameters_in(texts) == model.count_params() > 0
    assert texts[-2:] == ["inference: no clustering\nmasks [S, T, 33] times mixture", "training: PIT"]
    assert any(text.endswith("[B, 17, 33, 2]: masks by softmax over the speakers") for text in texts)
    assert any("filters 2, kernel size (3, 3), strides (2, 2), activation relu" in text for text in texts)


def test_a_network_with_parallel_layers_is_refused():
    features = keras.Input((None, 5))
    one, other = (keras.layers.Dense(5)(features) for _ in range(2))
    branched = keras.Model(features, keras.layers.Reshape((-1, 5, 1))(one + other))
    with pytest.raises(ValueError, match="only a chain of layers"):
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

"""Add layers over time to a trained mask network; until they are trained, the larger network computes the same.

    python tools/model/grow_mask_network.py runs/complex_masks runs/grown.keras 32 64

The shipped mask network was trained with the dilations 1, 2, 4, 8, 16 and 1, grown by 32 and 64, and trained further
(`training.initial_model=runs/grown.keras`).
"""

import argparse
from pathlib import Path

import keras
import numpy as np

from lab41_sce.models.embedding_model import EmbeddingModel
from lab41_sce.models.loading import load_model
from lab41_sce.models.mask_network import mask_network


def grow(network: keras.Model, dilations: list[int]) -> keras.Model:
    """Return a copy with further layers, whose last weights are zero."""
    over_time = [layer for layer in network.layers if isinstance(layer, keras.layers.DepthwiseConv1D)]
    filters = [layer.filters for layer in network.layers if layer.name.startswith("encoder_")
               and isinstance(layer, keras.layers.Conv2D)]
    present = [layer.dilation_rate[0] for layer in over_time]
    grown = mask_network(network.get_layer("image").output.shape[2], filters=filters,
                         width=network.get_layer("narrow").units, hidden_width=network.get_layer("time_1_in").units,
                         dilations=[*present, *dilations])
    trained = {layer.name: layer for layer in network.layers}
    for layer in grown.layers:
        if layer.name in trained:
            layer.set_weights(trained[layer.name].get_weights())
        elif layer.name.endswith("_out"):
            layer.set_weights([np.zeros_like(weights) for weights in layer.get_weights()])
    return grown


def main() -> None:
    """Grow, compare, save."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path, help="folder of a run, or a .keras file")
    parser.add_argument("grown", type=Path, help=".keras file to write")
    parser.add_argument("dilations", type=int, nargs="+", help="frames between the taps of each further layer")
    options = parser.parse_args()
    keras.utils.set_random_seed(0)
    model = load_model(options.model)
    grown = grow(model.mask_network, options.dilations)
    inputs = np.random.default_rng(0).standard_normal((1, 60, grown.input_shape[-1])).astype(np.float32)
    np.testing.assert_allclose(grown.predict_on_batch(inputs), model.mask_network.predict_on_batch(inputs), atol=1e-5)
    EmbeddingModel(**model.arguments() | {"mask_network": grown}, name="separation_model").save(options.grown)


if __name__ == "__main__":
    main()

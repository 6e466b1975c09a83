"""Network input `[B, T, F]` becomes a vector for every time-frequency bin, `[B, T, F, K]`.

The network of the article (Figure 4): bidirectional LSTM layers, then one dense layer whose outputs are cut into one
K-dimensional vector for each of the F bins of a frame.
"""

import keras
from keras import layers


def blstm(n_bins: int, embedding_size: int = 40, n_layers: int = 2, units: int = 300, unit_norm: bool = False,
          dropout: float = 0.0) -> keras.Model:
    """Build the article's network.

    Args:
        n_bins: F, frequency bins in and out.
        embedding_size: K.
        n_layers: bidirectional LSTM layers.
        units: LSTM units in each direction (the article's "600 units" are 300 in each).
        unit_norm: scale every vector to length one.
        dropout: share of a layer's outputs that training silences.

    Returns:
        A Keras model, `[B, T, F]` to `[B, T, F, K]`, for any B and T.
    """
    features = keras.Input((None, n_bins), name="features")
    hidden = features
    for number in range(1, n_layers + 1):
        lstm = layers.LSTM(units, return_sequences=True)
        hidden = layers.Bidirectional(lstm, name=f"blstm_{number}")(hidden)
        if dropout:
            hidden = layers.Dropout(dropout, name=f"dropout_{number}")(hidden)
    hidden = layers.Dense(n_bins * embedding_size, name="dense")(hidden)
    embeddings = layers.Reshape((-1, n_bins, embedding_size), name="embeddings")(hidden)
    if unit_norm:
        embeddings = layers.UnitNormalization(axis=-1, name="unit_norm")(embeddings)
    return keras.Model(features, embeddings, name="blstm")

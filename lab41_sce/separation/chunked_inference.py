"""A trained model and a mixture of any length `[N]` become embeddings `[T, F, K]` and masks `[S, T, F]`.

The cells of an LSTM drift away from their states in training after several seconds. An embedding network therefore
processes excerpts of `EXCERPT_FRAMES`, about as long as those in training, and of each excerpt only the `OWN_FRAMES`
in the middle are used.

    excerpts of a recording    |---=========---|
                                         |---=========---|
                                                   |---=========---|       = own frames
    border between windows                       :

The same frame has other embeddings in another excerpt. A border between two windows therefore lies in the middle of an
excerpt, and both windows process this excerpt. So the embeddings of windows are those of the whole recording.

The embeddings are the largest array by far. They are computed for a few frames at a time, which fit into the cache of
a processor, and only what is needed of them is kept.
"""

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from lab41_sce.audio.recording import Recording
from lab41_sce.audio.windows import Window, plan_windows
from lab41_sce.models.clustering import active_bins
from lab41_sce.models.mask_estimation import EmbeddingMasks
from lab41_sce.models.numpy_front_end import MIN_MAGNITUDE

OWN_FRAMES, EXCERPT_FRAMES = 200, 250
MAX_BATCH_EXCERPTS = 64  # that the network processes at once
BLOCK_FRAMES = 128  # whose embeddings are computed at once


def estimate_masks(model: Any, mixture: np.ndarray, n_speakers: int) -> np.ndarray:
    """Estimate a mask for each speaker of a mixture.

    Args:
        model: an embedding model, or an object with a method `masks(mixture, n_speakers)`, such as a `MaskModel`.
        mixture: float32 `[N]`, at the rate of the model's front end.
        n_speakers: S.

    Returns:
        float32 `[S, T, F]`, or complex64 of a model with a mask network. They sum to one over S, except the sigmoid
        masks of an `AttractorModel`.

    Raises:
        UserError: the model separates another number of speakers.
    """
    if not isinstance(model, EmbeddingMasks):
        return model.masks(mixture, n_speakers)
    spectrogram = model.front_end.spectrogram(mixture)
    magnitudes = np.maximum(np.abs(spectrogram), np.float32(MIN_MAGNITUDE))
    embeddings = _embed_magnitudes(model, magnitudes)
    active = active_bins(magnitudes, model.range_db)
    centroids = model.centroids(embeddings[active], magnitudes[active], n_speakers)
    return model.final_masks(spectrogram, model.masks_from_centroids(embeddings, centroids))


def embed(model: EmbeddingMasks, mixture: np.ndarray) -> np.ndarray:
    """Compute the embeddings `[T, F, K]` of a mixture `[N]` at the model's rate, excerpt by excerpt; all float32."""
    return _embed_magnitudes(model, model.front_end.magnitudes(mixture))


def _embed_magnitudes(model: EmbeddingMasks, magnitudes: np.ndarray) -> np.ndarray:
    """Compute the embeddings `[T, F, K]` of magnitudes `[T, F]`."""
    features = model.front_end.features(magnitudes)
    return embeddings_of_hidden(model, hidden_outputs(model, features), len(features))


def hidden_outputs(model: EmbeddingMasks, features: np.ndarray) -> np.ndarray:
    """Run all layers of the network but the last, many excerpts at a time.

    Recurrent layers read their weights for every frame, so a batch of excerpts is much faster than one at a time. The
    result is small: for example 128 numbers for each frame, instead of 5,000 in the embeddings.

    Args:
        model: the model, with R = `hop_reduction`.
        features: input of the network, float32 `[T, F]`.

    Returns:
        float32 `[R, ceil(T / R), D]`.
    """
    sequences = _interleaved_sequences(np.asarray(features), model.hop_reduction)
    n_frames = sequences.shape[1]
    length, around = min(n_frames, EXCERPT_FRAMES), (EXCERPT_FRAMES - OWN_FRAMES) // 2
    grid = np.arange(0, max(n_frames - 2 * around, 1), OWN_FRAMES)
    starts = np.minimum(grid, n_frames - length)
    excerpts = np.concatenate([sequences[:, start : start + length] for start in starts])  # [n * R, length, F]
    outputs = np.concatenate([model.hidden_layers(excerpts[first : first + MAX_BATCH_EXCERPTS])
                              for first in range(0, len(excerpts), MAX_BATCH_EXCERPTS)])
    outputs = outputs.reshape(len(starts), model.hop_reduction, *outputs.shape[1:])  # [n, R, length, D]
    bounds = [0, *grid[1:] + around, n_frames]
    return np.concatenate([excerpt[:, own_start - start : own_stop - start] for excerpt, start, own_start, own_stop
                           in zip(outputs, starts, bounds, bounds[1:], strict=False)], axis=1)


def hidden_of_window(model: EmbeddingMasks, features: np.ndarray, own: slice) -> np.ndarray:
    """Run all layers of the network but the last on a window from `plan_windows_of_excerpts`.

    Args:
        model: the model, with R = `hop_reduction`.
        features: of the window and its context, float32 `[T, F]`.
        own: the frames that the window covers, see `window_signals.own_frames`.

    Returns:
        float32 `[R, ceil(T / R), D]`. The frames at the edges of the context are in no excerpt; their outputs are those
        of the nearest frame in one.
    """
    context, hop_reduction = EXCERPT_FRAMES // 2 * model.hop_reduction, model.hop_reduction
    first = max(own.start - context, 0)
    hidden = hidden_outputs(model, features[first : own.stop and own.stop + context])
    before, n_frames = first // hop_reduction, -(-len(features) // hop_reduction)
    return np.pad(hidden, [(0, 0), (before, n_frames - before - hidden.shape[1]), (0, 0)], mode="edge")


def plan_windows_of_excerpts(model: EmbeddingMasks, recording: Recording, window_seconds: float) -> list[Window]:
    """Divide a recording into windows whose excerpts are those of the whole recording.

    Args:
        model: the model.
        recording: the recording to divide.
        window_seconds: approximate length of a window.
    """
    front_end = model.front_end
    hop_length = front_end.hop_length * model.hop_reduction  # between frames of an excerpt
    edge_frames = 1 + math.ceil(front_end.frame_length / hop_length)  # incomplete, or changed by the resampling
    if model.mask_network is not None:
        edge_frames = max(edge_frames, model.mask_network_reach() // model.hop_reduction + 1 - EXCERPT_FRAMES // 2)
    return plan_windows(recording, front_end.sample_rate_hz, hop_length, OWN_FRAMES, EXCERPT_FRAMES // 2, edge_frames,
                        window_seconds)


def _interleaved_sequences(features: np.ndarray, hop_reduction: int) -> np.ndarray:
    """Split frames as `embedding_model.split_interleaved_frames` does: `[T, F]` to `[R, ceil(T / R), F]`."""
    padded = np.pad(features, [(0, -len(features) % hop_reduction), (0, 0)])
    return np.swapaxes(padded.reshape(-1, hop_reduction, features.shape[1]), 0, 1)


def embedding_blocks(model: EmbeddingMasks, hidden: np.ndarray, n_frames: int) -> Iterator[np.ndarray]:
    """Run the last layer of the network on a few frames at a time.

    Args:
        model: the model.
        hidden: result of `hidden_outputs`, float32 `[R, ceil(T / R), D]`; or, for every R-th frame only,
            `[1, ceil(T / R), D]` of it.
        n_frames: number of frames to yield, T or ceil(T / R).

    Yields:
        float32 `[t, F, K]`, in the order of the frames.
    """
    hop_reduction = len(hidden)
    length = max(BLOCK_FRAMES // hop_reduction, 1)
    for start in range(0, hidden.shape[1], length):
        sequences = model.last_layer(hidden[:, start : start + length])  # [R, t / R, F, K]
        # The same as `interleave_frames`, but without further copies.
        embeddings = np.swapaxes(sequences, 0, 1).reshape(-1, *sequences.shape[2:])
        embeddings = embeddings[: n_frames - start * hop_reduction]
        if model.unit_norm:
            norms = np.sqrt(np.einsum("tfk,tfk->tf", embeddings, embeddings))
            embeddings /= np.maximum(norms, 1e-12)[..., None]
        yield embeddings


def embeddings_of_hidden(model: EmbeddingMasks, hidden: np.ndarray, n_frames: int) -> np.ndarray:
    """Compute all embeddings, float32 `[T, F, K]`; arguments as in `embedding_blocks`."""
    return np.concatenate([*embedding_blocks(model, hidden, n_frames)])


def masks_of_hidden(model: EmbeddingMasks, hidden: np.ndarray, n_frames: int, centroids: np.ndarray) -> np.ndarray:
    """Compute masks, float32 `[S, T, F]`, from centroids `[S, K]`; other arguments as in `embedding_blocks`."""
    return np.concatenate([model.masks_from_centroids(embeddings, centroids)
                           for embeddings in embedding_blocks(model, hidden, n_frames)], axis=1)


def embeddings_of_bins(model: EmbeddingMasks, hidden: np.ndarray, n_frames: int, frames: np.ndarray,
                       bins: np.ndarray) -> np.ndarray:
    """Compute the embeddings of some bins.

    Args:
        model: the model.
        hidden: see `embedding_blocks`.
        n_frames: see `embedding_blocks`.
        frames: frame of each bin, int `[n]`.
        bins: frequency of each bin, int `[n]`.

    Returns:
        float32 `[n, K]`.
    """
    order = np.argsort(frames, kind="stable")
    found, start = [], 0
    for embeddings in embedding_blocks(model, hidden, n_frames):
        own = order[slice(*np.searchsorted(frames[order], [start, start + len(embeddings)]))]
        found.append(embeddings[frames[own] - start, bins[own]])
        start += len(embeddings)
    return np.concatenate(found)[np.argsort(order)]

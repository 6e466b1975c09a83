"""Speech becomes the network that scores each number of speakers for a model (`models/count_network.py`).

    speakers -> mixtures of 1 to 5 (`counted_mixtures.py`) -> hidden outputs of the model, in files -> network

The speakers are those of the model's training and others to whom the classifier is not fitted. The classifier
(`count_calibration.py`) then learns from other people how far the scores can be trusted.
"""

import json
import math
import zipfile
import zlib
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd
from keras import layers, ops

from lab41_sce.atomic_write import make_folder, write_text, write_whole
from lab41_sce.data.corpus import id_in_corpus, load_every_subset
from lab41_sce.data.noise import Noise
from lab41_sce.data.speech import Speech
from lab41_sce.errors import UserError, reason
from lab41_sce.evaluation.count_calibration import NUMBERS, noise_kinds, speaker_search
from lab41_sce.evaluation.counted_mixtures import draw_mixture
from lab41_sce.models.count_network import CountedFrames, CountNetwork
from lab41_sce.plain_data import read_json
from lab41_sce.separation.calibration_file import weights_checksum
from lab41_sce.separation.separator import Separator
from lab41_sce.threads import in_parallel

MIN_SPEAKERS = 30  # of a folder
SECONDS = (3.0, 15.0)  # of a mixture
MIXTURES_PER_FILE = 250
WIDTH, DILATIONS, POOLED, LAST = 96, (1, 2, 4, 8, 16), 192, 128
EPOCHS, BATCH_SIZE, LEARNING_RATE, WARMUP_UPDATES, WEIGHT_DECAY = 4, 32, 1e-3, 200, 1e-2
INPUT_DROPOUT, DROPOUT = 0.2, 0.3
STANDARD_EXAMPLES = 2000  # that give the mean and the standard deviation of the network's input
LENGTH_STEP = 32  # frames: batches have few different lengths, so that few graphs are traced


def load_training_speech(folders: Sequence[Path], splits: Path | None, calibration: pd.DataFrame) -> pd.DataFrame:
    """Load the utterances of the speakers on whom the network is trained.

    Args:
        folders: folders in LibriSpeech's layout; all of their subsets are used.
        splits: table of the utterances of the model's training, `splits.csv`: of the speakers in it only those of the
            training are used, with these utterances. None: all speakers are used.
        calibration: result of `load_speech`, whose speakers are left out.

    Returns:
        The table of `load_corpus` with the columns `folder` (its number) and `split` ("train"), without folders that
        have fewer than `MIN_SPEAKERS`; perhaps without rows.
    """
    tables = []
    for number, folder in enumerate(folders):
        table = load_every_subset(folder)
        if splits is not None:
            listed = pd.read_csv(splits, dtype=str, keep_default_na=False)
            trained = listed.loc[listed["split"] == "train", "utterance"].map(id_in_corpus)
            known = table["speaker"].isin(listed["speaker"].map(id_in_corpus))
            table = table[table["utterance"].isin(trained) | ~known]
        table = table[~table["speaker"].isin(calibration["speaker"])]
        if table["speaker"].nunique() >= MIN_SPEAKERS:
            tables.append(table.assign(folder=number, split="train"))
    return pd.concat(tables, ignore_index=True) if tables else calibration[:0]


def files_of(folder: Path, n_mixtures: int) -> list[Path]:
    """Return the files that `draw_examples` writes."""
    return [folder / f"{number:04}.npz" for number in range(math.ceil(n_mixtures / MIXTURES_PER_FILE))]


def draw_examples(separator: Separator, utterances: pd.DataFrame, n_mixtures: int, folder: Path,
                  noise_folder: Path | None, progress: Callable[[int], object]) -> None:
    """Draw mixtures, and write what the network sees of them; continue an interrupted call.

    Args:
        separator: with the model.
        utterances: result of `load_training_speech`.
        n_mixtures: number of mixtures, rounded up to whole files.
        folder: for the files, 60 kB for each mixture.
        noise_folder: see `count_calibration.measure`.
        progress: called with the number of mixtures finished since the last call.

    Raises:
        UserError: the files were written for another network or other speech, or cannot be written.
    """
    model = separator.model
    speech, kinds = Speech(utterances, model.front_end.sample_rate_hz), noise_kinds(noise_folder)
    noise = Noise(speech, utterances, kinds, noise_folder)
    made_for = zlib.crc32("\n".join([*utterances["utterance"], *kinds, str(noise.fingerprint)]).encode(),
                          weights_checksum(model))
    make_folder(folder)

    def example(mixture: int) -> tuple[np.ndarray, np.ndarray, int]:
        rng, n_speakers = np.random.default_rng([1, mixture]), NUMBERS[mixture % len(NUMBERS)]
        among = utterances[utterances["folder"] == rng.choice(utterances["folder"].unique())]
        signal, _ = draw_mixture(rng, speech, among, n_speakers, noise, model.front_end.pre_emphasis,
                                 seconds_range=SECONDS)
        part, = speaker_search(separator, signal).counted_frames()  # the windows of long recordings are longer
        return part.hidden.astype(np.float16), part.with_speech, n_speakers

    for number, path in enumerate(files_of(folder, n_mixtures)):
        examples = []
        if path.exists():
            if _read(path)["made_for"] != made_for:
                raise UserError(f"{path} is of another network or of other speech; delete {folder}.")
            progress(MIXTURES_PER_FILE)
            continue
        for finished in in_parallel(example, range(number * MIXTURES_PER_FILE, (number + 1) * MIXTURES_PER_FILE)):
            examples.append(finished)
            progress(1)
        hidden, with_speech, numbers = zip(*examples, strict=True)
        arrays = {"hidden": np.concatenate(hidden), "with_speech": np.concatenate(with_speech),
                  "lengths": [*map(len, hidden)], "numbers": numbers, "made_for": made_for}
        write_whole(path, partial(_save, arrays))


def _save(arrays: dict[str, Any], path: Path) -> None:
    with path.open("wb") as file:
        np.savez(file, **arrays)


def _read(path: Path) -> dict[str, np.ndarray]:
    """Read what `_save` wrote; raise UserError if it is damaged."""
    try:
        with np.load(path) as arrays:
            return {name: arrays[name] for name in ("hidden", "with_speech", "lengths", "numbers", "made_for")}
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise UserError(f"{path} is damaged ({reason(error)}); delete it, and repeat the command.") from None


class Examples(keras.utils.PyDataset):
    """Batches of examples of similar lengths: `hidden` `[B, T, D]` and `kinds` `[B, T, 2]`, and the numbers less one.

    The kinds tell which frames exist and which have speech, by 1 and 0.

    Args:
        folder: of `draw_examples`.
        n_mixtures: number of mixtures, rounded up to whole files; the folder may have more.
    """

    def __init__(self, folder: Path, n_mixtures: int):
        super().__init__()
        self.parts: list[CountedFrames] = []
        numbers = []
        for path in files_of(folder, n_mixtures):
            arrays = _read(path)
            ends = np.cumsum(arrays["lengths"])[:-1]
            self.parts += map(CountedFrames, np.split(arrays["hidden"], ends), np.split(arrays["with_speech"], ends))
            numbers.append(arrays["numbers"])
        self.numbers, self._random = np.concatenate(numbers) - 1, np.random.default_rng(0)
        self.on_epoch_end()

    def __len__(self) -> int:
        """Return the number of batches."""
        return len(self._batches)

    def on_epoch_end(self) -> None:
        """Sort the examples by lengths that are changed a little, and the batches at random."""
        lengths = np.array([len(part.hidden) for part in self.parts]) * self._random.uniform(0.9, 1.1, len(self.parts))
        order = np.argsort(lengths, kind="stable")
        self._batches = [order[start : start + BATCH_SIZE] for start in range(0, len(order), BATCH_SIZE)]
        self._random.shuffle(self._batches)  # type: ignore[arg-type]

    def __getitem__(self, index: int) -> tuple[dict[str, np.ndarray], np.ndarray]:
        """Return a batch."""
        chosen = [self.parts[number] for number in self._batches[index]]
        n_frames = -(-max(len(part.hidden) for part in chosen) // LENGTH_STEP) * LENGTH_STEP
        hidden = np.zeros((len(chosen), n_frames, chosen[0].hidden.shape[1]), np.float32)
        kinds = np.zeros((len(chosen), n_frames, 2), np.float32)
        for row, part in enumerate(chosen):
            hidden[row, : len(part.hidden)] = part.hidden
            kinds[row, : len(part.hidden)] = np.stack([np.ones(len(part.hidden)), part.with_speech], axis=1)
        return {"hidden": hidden, "kinds": kinds}, self.numbers[self._batches[index]]


def train_count_network(folder: Path, n_mixtures: int, progress: Callable[[int], object]) -> CountNetwork:
    """Train the network on the examples in a folder; an interrupted call continues after its last epoch.

    Args:
        folder: of `draw_examples`. The network is kept in it, and what continues an interrupted call.
        n_mixtures: as for `draw_examples`. A network of another number is trained anew.
        progress: called with the number of the epoch, from 1, after each.

    Returns:
        The network, with weights in half precision.
    """
    examples, file = Examples(folder, n_mixtures), folder / "network.json"
    if file.exists() and (kept := read_json(file)).get("examples") == len(examples.numbers):
        return CountNetwork.from_json(kept["network"])
    keras.utils.set_random_seed(0)
    some = np.concatenate([part.hidden for part in examples.parts[:STANDARD_EXAMPLES]]).astype(np.float32)
    mean, deviation = some.mean(axis=0), some.std(axis=0) + 1e-3
    model = count_model(mean, deviation)
    n_updates = EPOCHS * len(examples)
    rate = keras.optimizers.schedules.CosineDecay(0.0, max(n_updates - WARMUP_UPDATES, 1),
                                                  warmup_target=LEARNING_RATE, warmup_steps=WARMUP_UPDATES)
    model.compile(keras.optimizers.AdamW(rate, weight_decay=WEIGHT_DECAY),
                  keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    model.fit(examples, epochs=EPOCHS, verbose=0, callbacks=[
        keras.callbacks.BackupAndRestore(folder / f"backup_{len(examples.numbers)}"),
        keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: progress(epoch + 1))])
    network = count_network_of(model, mean, deviation).to_json()
    write_text(file, json.dumps({"examples": len(examples.numbers), "network": network}))
    return CountNetwork.from_json(network)


def count_model(mean: np.ndarray, deviation: np.ndarray) -> keras.Model:
    """Build the network for training; the hidden outputs have a mean and a standard deviation `[D]`.

    Returns:
        A Keras model of the batches of `Examples`, to scores `[B, 5]`. Its weights are those of `CountNetwork`, except
        that the first layer receives standardised numbers.
    """
    hidden, kinds = keras.Input((None, len(mean)), name="hidden"), keras.Input((None, 2), name="kinds")
    exists, with_speech = kinds[..., :1], kinds[..., 1:]
    frames = layers.Normalization(mean=mean, variance=deviation**2)(hidden)
    frames = layers.Dense(WIDTH)(layers.Dropout(INPUT_DROPOUT)(frames))
    for dilation in DILATIONS:
        added = layers.RMSNormalization()(frames) * exists  # zeros beyond the last frame
        added = layers.Conv1D(WIDTH, 3, padding="same", dilation_rate=dilation, activation="silu")(added)
        frames = frames + layers.Dense(WIDTH)(layers.Dropout(INPUT_DROPOUT)(added))
    frames = layers.Dense(POOLED, activation="silu")(layers.RMSNormalization()(frames))
    mean_frame = ops.sum(frames * with_speech, axis=1) / ops.maximum(ops.sum(with_speech, axis=1), 1.0)
    largest = ops.max(frames + 1e4 * (with_speech - 1.0), axis=1)
    pooled = layers.RMSNormalization()(ops.concatenate([mean_frame, largest], axis=1))
    pooled = layers.Dense(LAST, activation="silu")(layers.Dropout(DROPOUT)(pooled))
    scores = layers.Dense(max(NUMBERS))(layers.Dropout(DROPOUT)(pooled))
    return keras.Model({"hidden": hidden, "kinds": kinds}, scores)


def count_network_of(model: keras.Model, mean: np.ndarray, deviation: np.ndarray) -> CountNetwork:
    """Return a trained model of `count_model` in NumPy; the first layer also standardises."""
    kernel, bias, *others = [weights for layer in model.layers if not isinstance(layer, layers.Normalization)
                             for weights in layer.get_weights()]
    kernel = kernel / deviation[:, None]
    return CountNetwork(DILATIONS, [kernel, bias - mean @ kernel, *others])

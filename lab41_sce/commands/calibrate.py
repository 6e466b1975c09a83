"""`lab41-sce calibrate`: a model learns to count speakers and to recognise people, from speech that it does not know.

    lab41-sce calibrate runs/reproduce LibriSpeech

writes `model.counting.json` and `model.verification.json` beside the model. `lab41-sce separate` then reports how sure
the number of speakers is, and whether an enrolled person is present.
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from tqdm import tqdm

from lab41_sce.command_line import Parser, command
from lab41_sce.errors import UserError

MIN_MIXTURES = 200  # fewer do not have every number of speakers in every fold


@command("interrupted: the numbers of the finished mixtures are kept; repeat the command to continue")
def main(arguments: Sequence[str] | None = None) -> int:
    """Calibrate a model.

    Args:
        arguments: of the command line; those of the process if None.

    Returns:
        The exit status: 0 if the file is in place, 1 after an error, 130 after an interruption.
    """
    parser = Parser(
        "lab41-sce calibrate", description="Fit the classifier that counts speakers and the verification of enrolled "
        "people to a model, with mixtures of speakers that the model was not trained on. They are written as JSON "
        "beside the model.",
        epilog="Repeat an interrupted command to continue. Exit status: 0 calibrated, 1 error, 2 wrong arguments, "
               "130 interrupted.")
    parser.add_argument("model", metavar="MODEL", help="folder of a run, a .keras file, or pretrained: the model of "
                                                       "the package")
    parser.add_argument("speech", nargs="+", type=Path, metavar="SPEECH",
                        help="folders in LibriSpeech's layout, each used equally often. Of the speakers in the model's "
                             "splits.csv only those of the split validation are used")
    parser.add_argument("--speakers", type=Path, metavar="CSV",
                        help="file with a column `speaker`; other speakers are left out")
    parser.add_argument("--splits", type=Path, metavar="CSV",
                        help="table in the form of a run's splits.csv: the speech that the embeddings were trained on "
                             "(default: splits.csv of the model, which also lists the speech of a second network)")
    parser.add_argument("--noise", type=Path, metavar="DIR",
                        help="folder with recordings of noise, used beside white, pink and speech-shaped noise")
    parser.add_argument("--mixtures", type=int, default=2000, metavar="N",
                        help="number of mixtures for counting; a fifth of it for verification (default: %(default)s)")
    parser.add_argument("--network-mixtures", type=int, default=16_000, metavar="N",
                        help="number of mixtures that train the network that counts, of the speakers of the model's "
                             "training and of those whom --speakers leaves out; 0 for none (default: %(default)s)")
    parser.add_argument("--only", choices=("counting", "verification"), help="calibrate one of the two")
    parser.add_argument("--numbers", type=Path, metavar="CSV",
                        help="file that keeps the numbers of the mixtures, so that an interrupted command continues "
                             "(default: MODEL.counting.csv in the current folder); the mixtures of the network are in "
                             "a folder beside it, without .csv")
    options = parser.parse_args(arguments)
    if options.mixtures < MIN_MIXTURES:
        raise UserError(f"--mixtures {options.mixtures} are too few to calibrate with; give at least {MIN_MIXTURES}.")
    if options.network_mixtures < 0:
        raise UserError(f"--network-mixtures {options.network_mixtures} is negative; give 0 for no network.")
    if options.numbers and options.only == "verification":
        raise UserError("--numbers has no effect on --only verification; leave it out.")
    from lab41_sce.evaluation.count_calibration import load_speech  # TensorFlow is not needed for the help
    from lab41_sce.evaluation.saved_model import splits_file
    from lab41_sce.models.loading import load_model
    from lab41_sce.models.mask_estimation import EmbeddingMasks
    from lab41_sce.models.model_file import model_file
    from lab41_sce.models.onnx_network import load_onnx_model
    from lab41_sce.pretrained import MODEL
    from lab41_sce.separation.separator import Separator

    file = MODEL if options.model == "pretrained" else model_file(options.model)
    model = load_onnx_model(file) or load_model(file)  # as `Separator.load`, without the files to calibrate
    if not isinstance(model, EmbeddingMasks):
        raise UserError(f"{file} has no embeddings to count speakers by; give a model that clusters embeddings.")
    splits = options.splits or splits_file(file)
    if splits is None:
        print(f"{file} has no splits.csv: make sure that it was not trained on this speech", file=sys.stderr)
    utterances = load_speech(options.speech, splits, options.speakers)
    if options.only != "verification":
        calibrate_counting(Separator(model), file, utterances, splits, options)
    if options.only != "counting":
        calibrate_verification(Separator(model), file, utterances, splits, options)
    return 0


def calibrate_counting(separator: Any, file: Path, utterances: Any, splits: Path | None,
                       options: argparse.Namespace) -> None:
    """Fit the classifier that counts, and write it beside the file of the model."""
    from lab41_sce.evaluation.count_calibration import fit, measure, noise_kinds, read_numbers
    from lab41_sce.separation.calibration_file import weights_checksum

    numbers = options.numbers or Path(f"{file.stem}.counting.csv")
    read_numbers(numbers)  # a wrong file is refused before the network is trained
    network = count_network(separator, utterances, splits, numbers.with_suffix(""), options)
    with tqdm(total=options.mixtures, desc="mixtures", disable=None) as bar:
        rows = measure(separator, network, utterances, options.mixtures, numbers, options.noise, bar.update)
    classifier = fit(rows, weights_checksum(separator.model), network)
    path = replace(classifier, calibration=classifier.calibration | {"noise": noise_kinds(options.noise)}).write(file)
    right = ", ".join(f"{n}: {share:.0%}" for n, share in classifier.calibration["correct"].items())
    print(f"{path}: right for held-out speakers: {right}; expected calibration error "
          f"{classifier.calibration['expected_calibration_error']:.3f}")


def count_network(separator: Any, utterances: Any, splits: Path | None, folder: Path,
                  options: argparse.Namespace) -> Any:
    """Train the network that counts on others than the speakers of `utterances`; None if they are too few."""
    if not options.network_mixtures:
        return None
    from lab41_sce.evaluation import count_training as training

    speech = training.load_training_speech(options.speech, splits, utterances)
    if speech.empty:
        print(f"no network that counts is trained: no folder has {training.MIN_SPEAKERS} speakers for it",
              file=sys.stderr)
        return None
    with tqdm(total=options.network_mixtures, desc="mixtures for the network", disable=None) as bar:
        training.draw_examples(separator, speech, options.network_mixtures, folder, options.noise, bar.update)
    with tqdm(total=training.EPOCHS, desc="training of the network", disable=None) as bar:
        return training.train_count_network(folder, lambda epoch: bar.update(epoch - bar.n))


def calibrate_verification(separator: Any, file: Path, utterances: Any, splits: Path | None,
                           options: argparse.Namespace) -> None:
    """Fit the verification of enrolled people, and write it beside the file of the model."""
    from lab41_sce.evaluation.count_calibration import noise_kinds
    from lab41_sce.evaluation.verification_calibration import (
        draw_trials,
        fit_background,
        fit_probability,
        load_background,
    )

    kinds, n_mixtures = noise_kinds(options.noise), options.mixtures // 5
    background, others = load_background(options.speech, splits, utterances)
    with tqdm(total=n_mixtures, desc="people in mixtures", disable=None) as bar:
        try:
            separator.verification = fit_background(separator, background, kinds, options.noise)
            trials = draw_trials(separator, others, n_mixtures, kinds, options.noise, bar.update)
        except UserError as error:
            if options.only:
                raise
            print(f"enrolled people will not be recognised: {error}", file=sys.stderr)
            return
    weights, found = fit_probability(trials)
    path = replace(separator.verification, **weights, calibration=found | {"noise": kinds}).write(file)
    right = ", ".join(f"{name.replace('_', ', ', 1).replace('_', ' ')}: {share:.0%}"
                      for name, share in found["correct"].items())
    print(f"{path}: right for held-out people: {right}")


if __name__ == "__main__":
    sys.exit(main())

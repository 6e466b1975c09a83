"""`lab41-sce calibrate`: a model learns to count speakers, to recognise people and to warn of bad voices.

    lab41-sce calibrate runs/reproduce LibriSpeech

writes `model.counting.json`, `model.verification.json`, `model.turns.json` and `model.confidence.json` beside the
model, from speech that the model does not know. `lab41-sce separate` then reports how sure the number of speakers is,
also of people who take turns, whether an enrolled person is present, and whether voices may hold parts of each other.
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


@command("interrupted: finished files and the numbers of the mixtures for counting are kept; repeat the command to "
         "continue, or give --only for a file that is missing")
def main(arguments: Sequence[str] | None = None) -> int:
    """Calibrate a model.

    Args:
        arguments: of the command line; those of the process if None.

    Returns:
        The exit status: 0 also if a part could not be calibrated, after a sentence about it; 1 after an error, 130
        after an interruption.
    """
    parser = Parser(
        "lab41-sce calibrate", description="Fit to a model what counts speakers, what recognises enrolled people, what "
        "counts people who take turns, and what warns of voices that hold parts of each other, with mixtures of "
        "speakers that the model was not trained on. Four JSON files are written beside the model.",
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
                        help="number of mixtures for counting; half as many for turns and for confidence, a fifth "
                             "as many for verification (default: %(default)s)")
    parser.add_argument("--network-mixtures", type=int, default=16_000, metavar="N",
                        help="number of mixtures that train the network that counts, of the speakers of the model's "
                             "training and of those whom --speakers leaves out; 0 for none (default: %(default)s)")
    parser.add_argument("--only", choices=("counting", "verification", "turns", "confidence"),
                        help="calibrate one of the four; turns needs the files of the first two, and follows them")
    parser.add_argument("--numbers", type=Path, metavar="CSV",
                        help="file that keeps the numbers of the mixtures, so that an interrupted command continues "
                             "(default: MODEL.counting.csv in the current folder); the mixtures of the network are in "
                             "a folder beside it, without .csv")
    options = parser.parse_args(arguments)
    if options.mixtures < MIN_MIXTURES:
        raise UserError(f"--mixtures {options.mixtures} are too few to calibrate with; give at least {MIN_MIXTURES}.")
    if options.network_mixtures < 0:
        raise UserError(f"--network-mixtures {options.network_mixtures} is negative; give 0 for no network.")
    if options.numbers and options.only not in (None, "counting"):
        raise UserError(f"--numbers has no effect on --only {options.only}; leave it out.")
    if options.numbers and not options.numbers.suffix:
        raise UserError(f"--numbers {options.numbers} has no suffix; give {options.numbers}.csv, since a folder beside "
                        "the file has the name without it.")
    from lab41_sce.evaluation.count_calibration import load_speech  # TensorFlow is not needed for the help
    from lab41_sce.evaluation.saved_model import splits_file
    from lab41_sce.models.loading import load_model
    from lab41_sce.models.mask_estimation import EmbeddingMasks
    from lab41_sce.models.model_file import model_file
    from lab41_sce.models.onnx_network import load_onnx_model
    from lab41_sce.separation.separator import Separator

    file = model_file(options.model)
    model = load_onnx_model(file) or load_model(file)  # as `Separator.load`, without the files to calibrate
    if not isinstance(model, EmbeddingMasks):
        raise UserError(f"{file} has no embeddings to count speakers by; give a model that clusters embeddings.")
    splits = options.splits or splits_file(file)
    if splits is None:
        print(f"{file} has no splits.csv: make sure that it was not trained on this speech", file=sys.stderr)
    utterances = load_speech(options.speech, splits, options.speakers)
    if options.only in (None, "counting"):
        calibrate_counting(Separator(model), file, utterances, splits, options)
    if options.only in (None, "verification"):
        calibrate_verification(Separator(model), file, utterances, splits, options)
    if options.only != "confidence":
        calibrate_turns(Separator(model), file, utterances, options)
    if options.only in (None, "confidence"):
        calibrate_confidence(Separator(model), file, utterances, options)
    return 0


def calibrate_counting(separator: Any, file: Path, utterances: Any, splits: Path | None,
                       options: argparse.Namespace) -> None:
    """Fit the classifier that counts, and write it beside the file of the model."""
    from lab41_sce.evaluation.count_calibration import fit, measure, noise_kinds, number_names, read_numbers
    from lab41_sce.separation.calibration_file import calibration_path, weights_checksum
    from lab41_sce.separation.count_classifier import KIND, TURNS_KIND

    numbers = options.numbers or Path(f"{file.stem}.counting.csv")
    read_numbers(numbers)  # a wrong file is refused before the network is trained
    network = count_network(separator, utterances, splits, numbers.with_suffix(""), options)
    with tqdm(total=options.mixtures, desc="mixtures", disable=None) as bar:
        rows = measure(separator, network, utterances, options.mixtures, numbers, options.noise, bar.update)
    classifier = fit(rows, number_names(network), weights_checksum(separator.model), network)
    calibration_path(file, TURNS_KIND).unlink(missing_ok=True)  # it was fitted to another classifier
    write_classifier(classifier, file, KIND, noise_kinds(options.noise))


def write_classifier(classifier: Any, file: Path, kind: str, noise: list[str]) -> None:
    """Write a classifier beside the file of the model, and report how often it is right."""
    described = classifier.calibration
    path = replace(classifier, calibration=described | {"noise": noise}).write(file, kind)
    right = ", ".join(f"{n}: {share:.0%}" for n, share in described["correct"].items())
    print(f"{path}: right for held-out speakers: {right}; expected calibration error "
          f"{described['expected_calibration_error']:.3f}")


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
        return training.train_count_network(folder, options.network_mixtures, lambda epoch: bar.update(epoch - bar.n))


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
    from lab41_sce.separation.calibration_file import calibration_path
    from lab41_sce.separation.confidence import KIND as CONFIDENCE_KIND
    from lab41_sce.separation.count_classifier import TURNS_KIND

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
    calibration_path(file, TURNS_KIND).unlink(missing_ok=True)  # it was fitted to another verification
    path = replace(separator.verification, **weights, calibration=found | {"noise": kinds}).write(file)
    right = ", ".join(f"{name.replace('_', ', ', 1).replace('_', ' ')}: {share:.0%}"
                      for name, share in found["correct"].items())
    print(f"{path}: right for held-out people: {right}")
    if options.only and calibration_path(file, CONFIDENCE_KIND).exists():
        print("the confidence was calibrated with the file before; repeat the command with --only confidence",
              file=sys.stderr)


def calibrate_turns(separator: Any, file: Path, utterances: Any, options: argparse.Namespace) -> None:
    """Fit the classifier that also counts people who take turns, if the other two are beside the file of the model."""
    from lab41_sce.evaluation.count_calibration import fit, noise_kinds
    from lab41_sce.evaluation.turn_calibration import measure_turns
    from lab41_sce.separation.calibration_file import calibration_path
    from lab41_sce.separation.count_classifier import KIND as COUNTING_KIND
    from lab41_sce.separation.count_classifier import TURNS_KIND, fitted_to, read_classifier
    from lab41_sce.separation.turn_numbers import turn_names
    from lab41_sce.separation.verification import KIND as VERIFICATION_KIND
    from lab41_sce.separation.verification import read_verification

    counting, verification = read_classifier(file, separator.model), read_verification(file, separator.model)
    if counting is None or verification is None:
        missing = calibration_path(file, COUNTING_KIND if counting is None else VERIFICATION_KIND).name
        if options.only == "turns":
            raise UserError(f"{file} has no {missing} beside it, which turns needs; leave --only out.")
        print(f"people who take turns will often be counted as one: the model has no {missing}", file=sys.stderr)
        return
    n_recordings = options.mixtures // 2
    with tqdm(total=n_recordings, desc="conversations", disable=None) as bar:
        rows = measure_turns(separator, counting, verification, utterances, n_recordings, options.noise, bar.update)
    classifier = fit(rows, turn_names(counting.most), fitted_to(counting, verification))
    write_classifier(classifier, file, TURNS_KIND, noise_kinds(options.noise))


def calibrate_confidence(separator: Any, file: Path, utterances: Any, options: argparse.Namespace) -> None:
    """Fit the thresholds of the confidence, and write them beside the file of the model."""
    from lab41_sce.evaluation.confidence_calibration import fit_confidence, measure_confidence
    from lab41_sce.evaluation.count_calibration import noise_kinds
    from lab41_sce.separation.calibration_file import weights_checksum
    from lab41_sce.separation.verification import read_verification

    separator.verification = read_verification(file, separator.model)  # decides who talks, as in a separation
    n_mixtures = options.mixtures // 2
    with tqdm(total=n_mixtures, desc="separated mixtures", disable=None) as bar:
        rows = measure_confidence(separator, utterances, n_mixtures, options.noise, bar.update)
    try:
        thresholds = fit_confidence(rows, weights_checksum(separator.model))
    except UserError as error:
        if options.only:
            raise
        print(f"the confidence was not calibrated: {error}", file=sys.stderr)
        return
    found = thresholds.calibration
    path = replace(thresholds, calibration=found | {"noise": noise_kinds(options.noise)}).write(file)
    bad, good = (", ".join(f"{n}: {share:.0%}" for n, share in found[name].items()) for name in ("found", "false"))
    print(f"{path}: warns of held-out speakers whose voices gain less than {thresholds.limit_db:g} dB: {bad}; of "
          f"others: {good}")


if __name__ == "__main__":
    sys.exit(main())

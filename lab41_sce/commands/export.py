"""`lab41-sce export`: a trained model becomes a file for other runtimes.

    lab41-sce export runs/reproduce --format onnx
    lab41-sce export pretrained --format saved_model --out sce_saved_model
"""

import sys
from collections.abc import Sequence
from pathlib import Path

from lab41_sce.command_line import Parser, command


@command("interrupted: nothing was written")
def main(arguments: Sequence[str] | None = None) -> int:
    """Export a model.

    Args:
        arguments: of the command line; those of the process if None.

    Returns:
        The exit status: 0 if the exported file is in place, 1 after an error, 130 after an interruption.
    """
    parser = Parser(
        "lab41-sce export", description="Write the network of a trained model as ONNX or as a SavedModel of "
        "TensorFlow. The exported network is compared with the Keras model before it is put in place.",
        epilog="Exit status: 0 exported, 1 error, 2 wrong arguments, 130 interrupted.")
    parser.add_argument("model", metavar="MODEL", help="folder of a run, a .keras file, or pretrained: the model of "
                                                       "the package")
    parser.add_argument("--format", required=True, choices=("onnx", "saved_model"))
    parser.add_argument("--part", default="network", choices=("network", "mask_network"),
                        help="mask_network: the second network of a model that has one, which makes the masks complex; "
                             "default: %(default)s")
    parser.add_argument("--out", type=Path, metavar="PATH",
                        help="file (onnx) or folder (saved_model) to create; default: MODEL.onnx or MODEL_saved_model "
                             "in the current folder, with _mask_network after MODEL for this part")
    options = parser.parse_args(arguments)
    from lab41_sce.models.export import TOLERANCE, export, require_packages  # TensorFlow is not needed for the help
    from lab41_sce.models.loading import load_model
    from lab41_sce.pretrained import MODEL

    require_packages(options.format)
    path = MODEL if options.model == "pretrained" else Path(options.model)
    name = "pretrained" if path == MODEL else path.resolve().name.removesuffix(".keras")
    name += "_mask_network" if options.part == "mask_network" else ""
    out = options.out or Path(name + {"onnx": ".onnx", "saved_model": "_saved_model"}[options.format])
    difference = export(load_model(path), out, options.format, options.part)
    print(f"{out}: differs from the Keras model by at most {difference:.1e} of the range of the outputs "
          f"({TOLERANCE:.0e} is allowed)")
    return 0


if __name__ == "__main__":
    sys.exit(main())

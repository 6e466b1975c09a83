"""The help of `lab41-sce experiment`, without Hydra, which takes seconds to load and to compose a configuration."""

import textwrap

from lab41_sce.config_path import CONFIG_PATH

HELP = (["--help"], ["-h"])  # arguments that ask for it
EXPLANATION = """An experiment trains and scores systems, and writes a report. Choose one:

  python -m lab41_sce.experiment +exp=smoke
  python -m lab41_sce.experiment +exp=two_speaker corpus=librispeech corpus.root=PATH training.minutes=60

--settings lists every setting, --cfg job shows a composed configuration, --help all options, and -v shows the messages
of TensorFlow."""

OPTIONS = """options:
  --help, -h                 show this help
  --settings                 list every setting with its unit, range and default
  --cfg job                  show the composed configuration; nothing is run
  --multirun, -m             run a sweep: one run for each combination of values, such as seed=1,2,3
  --config-dir FOLDER        use configurations of your own, too
  --verbose, -v              show the messages of TensorFlow and of decoders, too
  --hydra-help               list the options of Hydra, which composes the configuration"""


def experiment_help() -> str:
    """Return the explanation, the files of each group of settings, and the options."""
    groups = [textwrap.fill(f"{'+' * (folder.name == 'exp')}{folder.name}="
                            f"{', '.join(sorted(file.stem for file in folder.glob('*.yaml')))}", 116,
                            initial_indent="  ", subsequent_indent="      ")
              for folder in sorted(CONFIG_PATH.iterdir()) if folder.is_dir() and folder.name != "hydra"]
    return "\n".join([EXPLANATION, "", "groups of settings; give one file of a group:", *groups, "", OPTIONS])

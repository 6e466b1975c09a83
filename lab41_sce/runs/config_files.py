"""The configuration files of a user pass the limits of stored configurations before Hydra builds anything of them.

Hydra 1.3 reads every file of a configuration through the class that is registered for the scheme "file": the files of
`--config-dir`, of `--config-path` and of `hydra.searchpath`. It offers no option to check a file first.
"""

from pathlib import Path

from hydra._internal.core_plugins.file_config_source import FileConfigSource
from hydra._internal.sources_registry import SourcesRegistry
from hydra.core.plugins import Plugins
from hydra.errors import ConfigCompositionException
from hydra.plugins.config_source import ConfigResult

from lab41_sce.errors import UserError
from lab41_sce.plain_data import check_yaml_file


class CheckedFileSource(FileConfigSource):
    """Load a YAML file unless it is too large, nests too deeply or has too many aliases."""

    def load_config(self, config_path: str) -> ConfigResult:
        """Check and load a file; `config_path` is relative to the folder of this source."""
        path = Path(self.path, self._normalize_file_name(config_path))
        if path.is_file():
            try:
                check_yaml_file(path)
            except UserError as error:
                raise ConfigCompositionException(f"error: {error}") from None
        return super().load_config(config_path)


def register_checked_files() -> None:
    """Let Hydra read configuration files through `CheckedFileSource`."""
    Plugins.instance()  # registers Hydra's own class, which would refuse another one later
    SourcesRegistry.instance().types["file"] = CheckedFileSource

"""Files are written whole or not at all."""

import pytest

from lab41_sce.atomic_write import write_whole
from lab41_sce.errors import UserError


def test_a_full_disk_leaves_the_earlier_file(tmp_path):
    target = tmp_path / "file.txt"
    target.write_text("earlier")

    def fail(path):
        path.write_text("half")
        raise OSError(28, "No space left on device")

    with pytest.raises(UserError, match="No space left"):
        write_whole(target, fail)
    assert target.read_text() == "earlier" and list(tmp_path.iterdir()) == [target]

"""The choices of the original beside those of a run."""

import pytest
import yaml
from made_runs import write_run

from lab41_sce.article.original import differences
from lab41_sce.models.numpy_front_end import NumpyFrontEnd


@pytest.mark.parametrize("hop", [256, 128])
def test_the_frames_of_a_batch_are_those_of_the_front_end(tmp_path, hop):
    run = write_run(tmp_path, {}, f"front_end.hop_length={hop}", "mixtures.seconds=1.0", "mixtures.batch_size=8")
    table = differences(run, yaml.safe_load((run / "config.yaml").read_text()))
    n_frames = len(NumpyFrontEnd(hop_length=hop).spectrogram([0.0] * 10_000))
    assert [row[2] for row in table.rows if row[0] == "batch"] == [f"8 x {n_frames} frames"]

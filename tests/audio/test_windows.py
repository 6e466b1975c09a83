"""Windows cover a recording, with context that starts where a frame of the model starts."""

import numpy as np
import pytest

from lab41_sce.audio.recording import Recording
from lab41_sce.audio.windows import plan_windows


@pytest.mark.parametrize("rate_hz", [8000, 10000, 22050, 44100, 44101])
@pytest.mark.parametrize("seconds", [0.1, 79.9, 80.1, 140.0, 181.0])
def test_windows_are_consecutive_and_start_where_frames_do(rate_hz, seconds):
    recording = Recording.of(np.zeros(round(seconds * rate_hz)), rate_hz)
    windows = plan_windows(recording, 10000, 256, 200, 125, edge_frames=3)
    assert windows[0].start == windows[0].context_start == 0
    assert windows[-1].stop == windows[-1].context_stop == recording.n_samples
    frame = 256 * rate_hz / 10000  # samples
    for before, after in zip(windows, windows[1:], strict=False):
        assert before.stop == after.start and before.context_stop - after.start >= 128 * frame - 1
        assert after.start - after.context_start >= 128 * frame - 1
        assert after.context_start * 10000 % (256 * rate_hz) == 0
        assert abs(after.start / frame % 200 - 125) * frame < 1

"""`lab41_sce.data.room_simulation`: simulated responses begin with the direct sound and decay in their RT60."""

import numpy as np
import pytest

from lab41_sce.data.room_simulation import RoomRanges, draw_bank
from lab41_sce.errors import UserError


def seconds_to_decay(response, rate_hz):
    """Extrapolate the decay from -5 to -25 dB (Schroeder's integral) to 60 dB."""
    energy = (response[::-1].astype(float) ** 2).cumsum()[::-1]
    level_db = 10 * np.log10(np.maximum(energy / energy[0], 1e-12))
    return 3 * ((level_db < -25).argmax() - (level_db < -5).argmax()) / rate_hz


def test_responses_begin_with_the_direct_sound_and_decay():
    pytest.importorskip("pyroomacoustics")
    ranges = RoomRanges(rt60=(0.25, 0.35))
    bank = draw_bank(3, 2, ranges, 8000, seed=1)
    responses = bank["responses"]
    assert responses.shape == (3, 2, 2800) and responses.dtype == np.float16 and bank["sample_rate_hz"] == 8000
    assert ((bank["rt60"] >= 0.25) & (bank["rt60"] <= 0.35)).all()
    assert (responses[..., 0] == 1).all() and np.abs(responses).max() < 3  # the first sample is the whole direct sound
    assert np.abs(responses[..., 1:4]).max() < 0.2
    for room, rt60 in zip(responses, bank["rt60"], strict=True):
        assert all(0.6 * rt60 < seconds_to_decay(response, 8000) < 1.7 * rt60 for response in room)
    assert not np.array_equal(responses[0, 0], responses[0, 1])
    again, fewer, other = draw_bank(3, 2, ranges, 8000, 1), draw_bank(1, 2, ranges, 8000, 1), draw_bank(
        1, 2, ranges, 8000, 2)
    np.testing.assert_array_equal(again["responses"], responses)
    np.testing.assert_array_equal(fewer["responses"], responses[:1])
    assert not np.array_equal(other["responses"], responses[:1])


def test_a_short_rt60_gets_a_room_that_can_have_it():
    pytest.importorskip("pyroomacoustics")
    bank = draw_bank(2, 2, RoomRanges(rt60=(0.1, 0.11)), 8000, seed=0)
    assert np.isfinite(bank["responses"]).all() and bank["responses"].shape == (2, 2, 880)


@pytest.mark.parametrize(("ranges", "message"), [
    ({"rt60": (0.01, 0.5)}, "--rt60 0.01 0.5 is not possible; give the shortest and the longest time in seconds"),
    ({"rt60": (0.8, 0.1)}, "--rt60 0.8 0.1 is not possible"), ({"rt60": (0.1, 9)}, "--rt60 0.1 9 is not possible"),
    ({"rt60": (0.1, np.nan)}, "--rt60 0.1 nan is not possible"),
    ({"distance": (0, 3)}, "--distance 0 3 is not possible; give the shortest distance in metres, above 0"),
    ({"distance": (2, 2)}, "--distance 2 2 is not possible"),
    ({"distance": (9, 12)}, "--distance 9 12 is not possible"),
    ({"distance": (1, np.nan)}, "--distance 1 nan is not possible"),
])
def test_impossible_ranges_are_refused(ranges, message):
    with pytest.raises(UserError, match=f"^{message}"):
        RoomRanges(**ranges)

"""Random numbers become a bank of simulated room responses `[rooms, places, N]`, by the image-source method.

A room is a box with a microphone and several places of speakers. A response starts with the direct sound, whose level
is one. The distance between a place and the microphone is a whole number of samples that sound travels, so that the
direct sound is a single sample.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from tqdm import tqdm

from lab41_sce.errors import UserError

SMALLEST_METRES, LARGEST_METRES = (3.0, 3.0, 2.4), (10.0, 8.0, 4.0)  # of a room: length, width, height
WALL_METRES = 0.3  # smallest distance of the microphone and of the speakers from a wall
HEIGHTS_METRES = (0.8, 1.7)  # of the microphone and of the mouths of speakers: a table, a standing person
MIN_RT60, MAX_RT60 = 0.1, 2.0  # seconds; no room of these sizes has less than 0.075
MIN_RANGE_METRES, MAX_NEAREST_METRES = 0.1, 3.0  # of distances, so that every draw finds places
MAX_ORDER = 80  # of reflections; order 146, for an RT60 of 0.8 seconds in the smallest room, takes ten seconds
MAX_DRAWS = 200  # of places in one room
MAX_ROOMS = 1000  # that are drawn to find one with enough places


@dataclass(frozen=True)
class RoomRanges:
    """The ranges from which rooms are drawn.

    Attributes:
        rt60: shortest and longest reverberation time in seconds, within which the level falls by 60 dB.
        distance: shortest and longest distance of a speaker from the microphone in metres.

    Raises:
        UserError: no room or no place is in a range.
    """

    rt60: tuple[float, float] = (0.1, 0.8)
    distance: tuple[float, float] = (0.5, 3.0)

    def __post_init__(self) -> None:
        shortest, longest = self.rt60
        if not MIN_RT60 <= shortest <= longest <= MAX_RT60:
            raise UserError(f"--rt60 {shortest:g} {longest:g} is not possible; give the shortest and the longest time "
                            f"in seconds, from {MIN_RT60:g} to {MAX_RT60:g}.")
        nearest, farthest = self.distance
        if not (0 < nearest <= MAX_NEAREST_METRES and farthest - nearest >= MIN_RANGE_METRES * 0.999):
            raise UserError(f"--distance {nearest:g} {farthest:g} is not possible; give the shortest distance in "
                            f"metres, above 0 and at most {MAX_NEAREST_METRES:g}, and a longest one that is at least "
                            f"{MIN_RANGE_METRES:g} larger.")


def draw_bank(n_rooms: int, n_places: int, ranges: RoomRanges, sample_rate_hz: int,
              seed: int) -> dict[str, np.ndarray]:
    """Draw a bank of room responses.

    The RT60 of each room is drawn first, with equal probability over its range, then a room that can have it. Sabine's
    equation gives the absorption of the walls. Responses are as long as the longest RT60 of `ranges`.

    Args:
        n_rooms: number of rooms.
        n_places: number of places of speakers in each room.
        ranges: of the rooms.
        sample_rate_hz: of the responses.
        seed: of all random draws. Room i of a seed does not depend on the number of rooms.

    Returns:
        `responses`, float16 `[rooms, places, N]`; `sample_rate_hz`, a number; `rt60`, seconds, float32 `[rooms]`.

    Raises:
        UserError: pyroomacoustics is not installed.
    """
    try:
        import pyroomacoustics
    except ImportError:
        raise UserError("drawing rooms needs pyroomacoustics, which is not installed; pip install pyroomacoustics."
                        ) from None
    length = round(ranges.rt60[1] * sample_rate_hz)
    responses, rt60 = np.zeros((n_rooms, n_places, length), np.float16), np.empty(n_rooms, np.float32)
    for number in tqdm(range(n_rooms), "drawing rooms", unit=" rooms", disable=None):
        rng = np.random.default_rng([seed, number])
        rt60[number] = rng.uniform(*ranges.rt60)
        responses[number] = _draw_room(pyroomacoustics, rng, n_places, float(rt60[number]), ranges.distance,
                                       sample_rate_hz, length)
    return {"responses": responses, "sample_rate_hz": np.array(sample_rate_hz), "rt60": rt60}


def _draw_room(pyroomacoustics: Any, rng: np.random.Generator, n_places: int, rt60: float,
               distance: tuple[float, float], sample_rate_hz: int, length: int) -> np.ndarray:
    """Draw a room with an RT60, and compute the responses of its places `[places, N]`."""
    step_metres = pyroomacoustics.constants.get("c") / sample_rate_hz
    for _ in range(MAX_ROOMS):
        size = rng.uniform(SMALLEST_METRES, LARGEST_METRES)
        try:
            absorption, order = pyroomacoustics.inverse_sabine(rt60, size)
        except ValueError:  # even walls without any reflection give a longer RT60 in a room of this size
            continue
        microphone, steps, places = _draw_place(rng, size), [], []
        for _ in range(MAX_DRAWS):
            offset = _draw_place(rng, size) - microphone
            n_steps = round(float(np.linalg.norm(offset)) / step_metres)
            if distance[0] <= n_steps * step_metres <= distance[1] and n_steps:
                steps.append(n_steps)
                places.append(microphone + offset * (n_steps * step_metres / np.linalg.norm(offset)))
            if len(places) == n_places:
                walls = pyroomacoustics.Material(absorption)
                room = pyroomacoustics.ShoeBox(size, sample_rate_hz, materials=walls, max_order=min(order, MAX_ORDER))
                return _responses(pyroomacoustics, room, microphone, places, steps, length)
    raise UserError(f"no room with an RT60 of {rt60:.2f} s was found that has {n_places} places {distance[0]:g} to "
                    f"{distance[1]:g} m from a microphone; give fewer --places, or a wider range of --distance.")


def _responses(pyroomacoustics: Any, room: Any, microphone: np.ndarray, places: list[np.ndarray], steps: list[int],
               length: int) -> np.ndarray:
    """Compute the responses `[places, N]` of places whose direct sound arrives after `steps` samples."""
    # A response is the same in both directions. With one source, the images are computed once for all places.
    room.add_source(microphone)
    room.add_microphone(np.array(places).T)
    room.compute_rir()
    # pyroomacoustics delays all responses by half of its fractional-delay filter.
    delay, responses = pyroomacoustics.constants.get("frac_delay_length") // 2, np.zeros((len(places), length))
    for row, n_steps, (samples,) in zip(responses, steps, room.rir, strict=True):
        kept = samples[delay + n_steps :][:length]
        row[: len(kept)] = kept / kept[0]
    return responses


def _draw_place(rng: np.random.Generator, size: np.ndarray) -> np.ndarray:
    """Draw a place in a room, in metres."""
    return rng.uniform([WALL_METRES, WALL_METRES, HEIGHTS_METRES[0]], [*(size[:2] - WALL_METRES), HEIGHTS_METRES[1]])

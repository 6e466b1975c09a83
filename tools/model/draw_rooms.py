"""Draw the responses of simulated rooms, 16 kHz, by the image-source method.

    pip install pyroomacoustics
    python tools/model/draw_rooms.py meetings tools/model/rooms.npz
    python tools/model/draw_rooms.py scored tools/model/scored_rooms.npz

Each room is a shoebox of 3 to 7 m by 3 to 5 m by 2.4 to 3.2 m. In the made meetings, RT60 is 0.3 s, the microphone lies
near the middle of a table, and four people sit 0.6 to 1.2 m around it. In the rooms of `score_rooms.py`, RT60 is 0.2 to
0.6 s, the microphone is at any place, and two people are 0.5 to 3 m away from it. A response starts with the direct
sound, whose level is one.
"""

import sys

import numpy as np
import pyroomacoustics

RATE_HZ = 16000
N_MEETING_ROOMS, N_PLACES, MEETING_RT60 = 6, 4, 0.3
N_SCORED_ROOMS, N_PEOPLE, SCORED_RT60, DISTANCES = 20, 2, (0.2, 0.6), (0.5, 3.0)  # seconds, metres
WALL_METRES = 0.3  # smallest distance from a wall


def response(room_size: np.ndarray, microphone: np.ndarray, person: np.ndarray, rt60: float,
             seconds: float) -> np.ndarray:
    """Simulate the response between a person and the microphone, float32 `[seconds * RATE_HZ]`."""
    absorption, max_order = pyroomacoustics.inverse_sabine(rt60, room_size)
    walls = pyroomacoustics.Material(absorption)
    room = pyroomacoustics.ShoeBox(room_size, RATE_HZ, materials=walls, max_order=max_order)
    room.add_source(person)
    room.add_microphone(microphone)
    room.compute_rir()
    samples = room.rir[0][0]
    direct = np.abs(samples).argmax()
    kept = samples[direct : direct + round(seconds * RATE_HZ)]
    return np.pad(kept / samples[direct], (0, round(seconds * RATE_HZ) - len(kept))).astype(np.float32)


def room_size(rng: np.random.Generator) -> np.ndarray:
    """Draw the size of a room in metres."""
    return rng.uniform([3.0, 3.0, 2.4], [7.0, 5.0, 3.2])


def draw_meetings() -> dict[str, np.ndarray]:
    """Draw the rooms of the made meetings: `rooms`, float16 `[rooms, places, N]`."""
    rng, rooms = np.random.default_rng(0), []
    for _ in range(N_MEETING_ROOMS):
        size = room_size(rng)
        microphone = np.append(size[:2] / 2 + rng.uniform(-0.2, 0.2, 2), 0.8)
        angles = rng.uniform(0, 2 * np.pi) + np.arange(N_PLACES) * 2 * np.pi / N_PLACES
        people = [microphone + np.append(rng.uniform(0.6, 1.2) * np.array([np.cos(angle), np.sin(angle)]),
                                         rng.uniform(0.2, 0.4)) for angle in angles]
        rooms.append([response(size, microphone, person, MEETING_RT60, MEETING_RT60) for person in people])
    return {"rooms": np.array(rooms, np.float16)}


def draw_scored() -> dict[str, np.ndarray]:
    """Draw the rooms of `score_rooms.py`: `rooms`, float16 `[rooms, people, N]`, and `rt60`, seconds `[rooms]`."""
    rng, rooms, times = np.random.default_rng(1), [], []
    for _ in range(N_SCORED_ROOMS):
        size, rt60 = room_size(rng), rng.uniform(*SCORED_RT60)
        microphone, people = draw_place(rng, size), []
        while len(people) < N_PEOPLE:
            person = draw_place(rng, size)
            if DISTANCES[0] <= np.linalg.norm(person - microphone) <= DISTANCES[1]:
                people.append(person)
        rooms.append([response(size, microphone, person, rt60, SCORED_RT60[1]) for person in people])
        times.append(rt60)
    return {"rooms": np.array(rooms, np.float16), "rt60": np.round(times, 3)}


def draw_place(rng: np.random.Generator, size: np.ndarray) -> np.ndarray:
    """Draw a place in a room, at the height of a head or of a table."""
    return rng.uniform([WALL_METRES, WALL_METRES, 0.8], [*(size[:2] - WALL_METRES), 1.7])


def main() -> None:
    """Draw the rooms, and write their responses as half-precision numbers."""
    what, path = sys.argv[1:]
    np.savez_compressed(path, **{"meetings": draw_meetings, "scored": draw_scored}[what]())


if __name__ == "__main__":
    main()

"""Draw the room responses of the made meetings: 16 kHz, RT60 0.3 s, by the image-source method.

    pip install pyroomacoustics
    python tools/model/draw_rooms.py tools/model/rooms.npz

Each room is a shoebox of 3 to 7 m by 3 to 5 m by 2.4 to 3.2 m. The microphone lies near the middle of a table, and four
people sit 0.6 to 1.6 m around it. A response starts with the direct sound, whose level is one.
"""

import sys

import numpy as np
import pyroomacoustics

N_ROOMS, N_PLACES, RATE_HZ, RT60_SECONDS = 6, 4, 16000, 0.3


def response(room_size: np.ndarray, microphone: np.ndarray, person: np.ndarray) -> np.ndarray:
    """Simulate the response between a person and the microphone, float32 `[RT60_SECONDS * RATE_HZ]`."""
    absorption, max_order = pyroomacoustics.inverse_sabine(RT60_SECONDS, room_size)
    walls = pyroomacoustics.Material(absorption)
    room = pyroomacoustics.ShoeBox(room_size, RATE_HZ, materials=walls, max_order=max_order)
    room.add_source(person)
    room.add_microphone(microphone)
    room.compute_rir()
    samples = room.rir[0][0]
    direct = np.abs(samples).argmax()
    kept = samples[direct : direct + round(RT60_SECONDS * RATE_HZ)]
    return np.pad(kept / samples[direct], (0, round(RT60_SECONDS * RATE_HZ) - len(kept))).astype(np.float32)


def main() -> None:
    """Draw every room, and write the responses `[rooms, places, N]` as half-precision numbers."""
    rng, rooms = np.random.default_rng(0), []
    for _ in range(N_ROOMS):
        size = rng.uniform([3.0, 3.0, 2.4], [7.0, 5.0, 3.2])
        microphone = np.append(size[:2] / 2 + rng.uniform(-0.2, 0.2, 2), 0.8)
        angles = rng.uniform(0, 2 * np.pi) + np.arange(N_PLACES) * 2 * np.pi / N_PLACES
        people = [microphone + np.append(rng.uniform(0.6, 1.2) * np.array([np.cos(angle), np.sin(angle)]),
                                         rng.uniform(0.2, 0.4)) for angle in angles]
        rooms.append([response(size, microphone, person) for person in people])
    np.savez_compressed(sys.argv[1], rooms=np.array(rooms, np.float16))


if __name__ == "__main__":
    main()

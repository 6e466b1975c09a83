"""`SpeakerActivity`: segments and confidence of known masks."""

from dataclasses import replace

import numpy as np
import pytest

from lab41_sce.separation.activity import SpeakerActivity, rttm

FRAME_SECONDS = 0.025


def activity_of(spans, seconds=10.0, margin=1.0):
    """Make the activity of voices that speak in `spans[s]` (pairs of seconds), with masks of a given margin."""
    n_frames = round(seconds / FRAME_SECONDS)
    speaks = np.zeros((len(spans), n_frames), bool)
    for voice, of_voice in enumerate(spans):
        for start, end in of_voice:
            speaks[voice, round(start / FRAME_SECONDS) : round(end / FRAME_SECONDS)] = True
    owner = np.zeros((len(spans), n_frames, 8), np.float32)
    for frame in range(n_frames):
        present = np.flatnonzero(speaks[:, frame])
        for bin_number in range(8):
            owner[present[bin_number % len(present)] if len(present) else 0, frame, bin_number] = 1.0
    masks = margin * owner + (1 - margin) / len(spans)
    magnitude = np.where(speaks.any(axis=0), 1.0, 1e-4)[:, None] * np.ones(8)
    return SpeakerActivity.from_masks(masks, magnitude, FRAME_SECONDS)


def test_segments_are_where_the_voices_are():
    spans = [[(1.0, 4.0), (6.0, 9.0)], [(3.0, 7.0)]]
    segments = activity_of(spans).segments()
    for found, wanted in zip(segments, spans, strict=True):
        np.testing.assert_allclose(found, wanted, atol=2 * FRAME_SECONDS)


def test_short_pauses_are_bridged_and_short_sounds_left_out():
    spans = [[(0.0, 2.0), (2.2, 5.0), (8.0, 10.0)], [(6.0, 6.1), (6.8, 7.8)]]
    first, second = activity_of(spans).segments()
    np.testing.assert_allclose(first, [(0.0, 5.0), (8.0, 10.0)], atol=2 * FRAME_SECONDS)
    np.testing.assert_allclose(second, [(6.8, 7.8)], atol=2 * FRAME_SECONDS)


@pytest.mark.parametrize("pause_seconds", [0.0, 3.0, 30.0, 600.0, 3600.0])
@pytest.mark.parametrize("noise_db", [-42.0, -90.0])
def test_two_voices_of_one_second_are_found_in_pauses_of_any_length(pause_seconds, noise_db):
    """The level of a voice is that of its own frames, and not that of the noise in the pauses."""
    rng = np.random.default_rng(0)
    starts = (1.0 + pause_seconds, 2.0 + 2 * pause_seconds)
    n_frames = round((starts[1] + 1.0 + pause_seconds) / FRAME_SECONDS)
    powers = 10 ** (noise_db / 10) * rng.exponential(size=(2, n_frames))
    for voice, start in enumerate(starts):
        powers[voice, round(start / FRAME_SECONDS) :][: round(1.0 / FRAME_SECONDS)] += 1.0
    activity = SpeakerActivity(powers, np.ones(n_frames), np.ones(n_frames), FRAME_SECONDS, 0.0,
                               n_frames * FRAME_SECONDS)
    for found, start in zip(activity.segments(), starts, strict=True):
        np.testing.assert_allclose(found, [(start, start + 1.0)], atol=2 * FRAME_SECONDS)


def test_a_rare_voice_has_the_level_of_its_own_frames():
    """Voice 2 talks for 3 seconds, voice 1 for 3 minutes; both are 38 dB above the noise."""
    rng, n_frames = np.random.default_rng(0), round(300 / FRAME_SECONDS)
    rare = slice(round(100 / FRAME_SECONDS), round(103 / FRAME_SECONDS))
    powers = 10**-3.8 * rng.exponential(size=(2, n_frames))
    powers[0, : round(200 / FRAME_SECONDS)] += 1.0
    powers[0, rare] = 10**-3.8
    powers[1, rare] += 1.0
    activity = SpeakerActivity(powers, np.ones(n_frames), np.ones(n_frames), FRAME_SECONDS, 0.0, 300.0)
    first, second = activity.segments()
    np.testing.assert_allclose(first, [(0.0, 100.0), (103.0, 200.0)], atol=2 * FRAME_SECONDS)
    np.testing.assert_allclose(second, [(100.0, 103.0)], atol=2 * FRAME_SECONDS)


@pytest.mark.parametrize("noise_db", [-10.0, -15.0, -20.0, -25.0])
@pytest.mark.parametrize("margin", [0.2, 0.9])
def test_background_in_pauses_is_no_speech(noise_db, margin):
    """Half of the recording is pauses with a background this far below the mean power of the speech.

    Masks of a small margin give a fifth or more of every sound to the other voice.
    """
    rng = np.random.default_rng(0)
    spans = [[(2.0, 5.0), (14.0, 18.0), (26.0, 29.0)], [(8.0, 12.0), (20.0, 23.0), (32.0, 35.0)]]
    n_frames = round(40 / FRAME_SECONDS)
    times = np.arange(n_frames) * FRAME_SECONDS
    speech = np.array([np.any([(times >= start) & (times < end) for start, end in of_voice], axis=0)
                       for of_voice in spans])
    syllables = 10 ** (0.8 * np.sin(2 * np.pi * 4 * times))  # 4 a second, 16 dB between the loudest and the quietest
    syllables /= syllables.mean()
    noise = 10 ** (noise_db / 10) * rng.gamma(20, 1 / 20, n_frames)  # the mean over many bins varies little
    shares = np.array([[1, 1 - margin], [1 - margin, 1]]) ** 2
    powers = shares @ (speech * syllables) + 0.25 * noise
    activity = SpeakerActivity(powers, np.full(n_frames, margin), np.ones(n_frames), FRAME_SECONDS, 0.0, 40.0)
    for found, wanted in zip(activity.segments(), spans, strict=True):
        np.testing.assert_allclose(found, wanted, atol=0.2)


def test_one_voice_at_a_time_is_active_if_people_take_turns_and_the_masks_are_not_reliable():
    spans = [[(0.0, 5.0)], [(3.0, 9.0)]]
    assert activity_of(spans, margin=1.0).active().all(axis=0).any()
    unreliable = activity_of(spans, margin=0.4).active()
    assert unreliable.any(axis=1).all() and not unreliable.all(axis=0).any()


@pytest.mark.parametrize("margin", [0.4, 1.0])
def test_people_who_talk_at_once_are_all_active(margin):
    """Their syllables, three a second, lead in turns."""
    rng = np.random.default_rng(0)
    syllables = np.repeat(rng.exponential(1.0, (3, 30)), round(1 / 3 / FRAME_SECONDS), axis=1)[:, :360]
    owner = (syllables == syllables.max(axis=0)).astype(np.float32)[:, :, None] * np.ones(8, np.float32)
    owner[:, :, 4:] = np.moveaxis(rng.dirichlet(np.ones(3), (360, 4)), 2, 0)
    masks = margin * owner + (1 - margin) / 3
    activity = SpeakerActivity.from_masks(masks, np.ones((360, 8)), FRAME_SECONDS)
    assert (activity.confidence() < 0.6) == (margin == 0.4)
    assert activity.active().mean() > 0.9


@pytest.mark.parametrize("margin", [0.0, 0.3, 1.0])
def test_confidence_is_the_margin_of_the_masks(margin):
    activity = activity_of([[(0.0, 6.0)], [(0.0, 4.0)]], margin=margin)
    assert activity.confidence() == pytest.approx(margin, abs=0.01)
    by_second = activity.confidence_by_second()
    assert len(by_second) == 10
    np.testing.assert_allclose(by_second[:6], margin, atol=0.01)
    assert np.isnan(by_second[7:]).all()


def test_a_single_voice_has_no_confidence():
    activity = activity_of([[(0.0, 5.0)]])
    assert np.isnan(activity.confidence()) and np.isnan(activity.confidence_by_second()).all()


def test_parts_can_be_joined():
    whole = activity_of([[(0.0, 6.0)], [(2.0, 9.0)]])
    parts = [SpeakerActivity(whole.powers[:, part], whole.margins[part], whole.magnitudes[part], FRAME_SECONDS, 0.0,
                             5.0)
             for part in (slice(0, 133), slice(133, None))]
    joined = SpeakerActivity.concatenate(parts, duration_seconds=10.0)
    assert joined.segments() == whole.segments() and joined.confidence() == whole.confidence()


def test_frames_may_begin_before_the_recording():
    whole = activity_of([[(1.0, 6.0)], [(2.0, 9.0)]])
    earlier = replace(whole, first_frame_seconds=-0.5)
    np.testing.assert_allclose(np.array(earlier.segments()), np.array(whole.segments()) - 0.5)
    assert len(earlier.confidence_by_second()) == 10 and np.isnan(earlier.confidence_by_second()[9])


def test_no_segment_ends_after_the_recording():
    part = activity_of([[(0.0, 4.2)], [(1.0, 4.2)]], seconds=4.2)
    activity = SpeakerActivity.concatenate([part], duration_seconds=3.99)
    assert len(activity.confidence_by_second()) == 4
    assert max(end for of_voice in activity.segments() for _, end in of_voice) == 3.99


def test_silence_has_no_segments_and_no_confidence():
    activity = SpeakerActivity.from_masks(np.full((2, 40, 8), 0.5), np.zeros((40, 8)), FRAME_SECONDS)
    assert activity.segments() == [[], []]
    assert np.isnan(activity.confidence()) and np.isnan(activity.confidence_by_second()).all()


def test_rttm_lines_have_ten_fields_and_are_ordered_by_time():
    lines = rttm("two people", [[(0.0, 1.5), (4.0, 5.0)], [(1.0, 2.25)]]).splitlines()
    assert lines == ["SPEAKER two_people 1 0.000 1.500 <NA> <NA> voice_1 <NA> <NA>",
                     "SPEAKER two_people 1 1.000 1.250 <NA> <NA> voice_2 <NA> <NA>",
                     "SPEAKER two_people 1 4.000 1.000 <NA> <NA> voice_1 <NA> <NA>"]
    assert all(len(line.split()) == 10 for line in lines)


def test_a_very_quiet_recording_has_the_activity_of_a_loud_one():
    loud = activity_of([[(1.0, 4.0), (6.0, 9.0)], [(3.0, 7.0)]])
    quiet = replace(loud, powers=1e-15 * loud.powers, margins=1e-15 * loud.margins, magnitudes=1e-15 * loud.magnitudes)
    assert quiet.segments() == loud.segments() and quiet.confidence() == pytest.approx(loud.confidence())
    np.testing.assert_allclose(quiet.confidence_by_second(), loud.confidence_by_second())

"""The result of a separation becomes one line for a person: how many people talk, and whether to trust the voices."""

from lab41_sce.separation.result import Separation
from lab41_sce.separation.speaker_count import SpeakerCount

CLOSE_SHARE = 0.5  # a number that is at least so likely relative to the chosen one is "almost as likely"


def verdict(separation: Separation, advice: str) -> str:
    """Describe the number of people and the confidence in words.

    Args:
        separation: the result.
        advice: how to request another number of voices, with "{}" in its place, such as "give --speakers {}".

    Returns:
        A line such as "2 people, clear." or "3 people, unsure (2 is almost as likely): listen, or give --speakers 2.".
        Empty if the caller gave the number of voices, the recording is not silent, and their confidence is not low.
    """
    count, other = separation.count, "other" if separation.n_speakers == 2 else "others"
    warning = f"these voices may each hold parts of the {other}" if separation.low_confidence else ""
    if count is None and not separation.activity.powers.any():
        return "the recording is silent."
    if count is None:
        return warning and f"{warning}: listen to them."
    if count.silent or count.no_speech:
        return f"{count}."
    people = "1 person" if separation.n_speakers == 1 else f"{separation.n_speakers} people"
    if count.alternative:
        unsure = (f"{people}, unsure ({count.alternative} is {_likelihood(count, count.alternative)}): listen, or "
                  f"{advice.format(count.alternative)}.")
        return f"{unsure} {warning.capitalize()}." if warning else unsure
    if warning:
        return f"{people}, but {warning}: listen to them."
    if not any(separation.activity.segments()):
        return f"{people}, but no speech was found."
    measured = separation.low_confidence is not None or separation.n_speakers == 1
    return f"{people}, clear." if measured else f"{people}."


def _likelihood(count: SpeakerCount, alternative: int) -> str:
    """Compare the likelihood of an alternative with that of the chosen number."""
    shares = count.probabilities
    close = shares is not None and shares[alternative] >= CLOSE_SHARE * shares[count.n_speakers]
    return "almost as likely" if close else "possible"

"""The names of the metrics, and for each its definition, unit and number of digits, as a caption of a table.

A name that ends in "i" is the improvement of a metric over the unprocessed mixture.
"""

from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version

ENERGY_METRICS = ("SDR", "SIR", "SAR", "SI-SDR")  # in dB
PERCEPTUAL_METRICS = ("STOI", "ESTOI", "PESQ-NB", "PESQ-WB", "WAcc")  # of the packages in the extra `metrics`
ALL_METRICS = ENERGY_METRICS + PERCEPTUAL_METRICS
PACKAGES = {"STOI": "pystoi", "ESTOI": "pystoi", "PESQ-NB": "pesq", "PESQ-WB": "pesq",
            "WAcc": "pocketsphinx"}
_BSS_EVAL = ("{names}: BSS Eval of sources with a distortion filter of 512 taps (Vincent et al. 2006), in dB, at the "
             "sample rate of the mixture; mir_eval {mir_eval}.")
_STOI = "from 0 to 1, at 10 kHz; pystoi {pystoi}."
_PESQ = "mean over windows of at most 19 s; pesq {pesq}."
DEFINITIONS = {
    "SI-SDR": "SI-SDR: scale-invariant SDR of zero-mean signals (Le Roux et al. 2019), in dB, at the sample rate of "
              "the mixture.",
    "STOI": f"STOI: short-time objective intelligibility (Taal et al. 2011), {_STOI}",
    "ESTOI": f"ESTOI: extended STOI (Jensen and Taal 2016), {_STOI}",
    "PESQ-NB": f"PESQ-NB: narrow-band PESQ (ITU-T P.862 with P.862.1), MOS-LQO from 1 to 4.5, at 8 kHz, {_PESQ}",
    "PESQ-WB": f"PESQ-WB: wide-band PESQ (ITU-T P.862.2), MOS-LQO from 1 to 4.6, at 16 kHz, {_PESQ}",
    "WAcc": "WAcc: word accuracy, 1 minus the word error rate against the words that are recognised in the true voice, "
            "American English, at 16 kHz; pocketsphinx {pocketsphinx}.",
}


def with_improvements(metrics: Iterable[str]) -> tuple[str, ...]:
    """Return each metric followed by its improvement, such as SDR, SDRi."""
    return tuple(name for metric in ALL_METRICS if metric in set(metrics) for name in (metric, f"{metric}i"))


def base_metric(name: str) -> str:
    """Return the metric of an improvement, such as SDR of SDRi; a metric is returned as it is."""
    return name.removesuffix("i")


def unit(name: str) -> str:
    """Return the unit of a metric or an improvement: "dB", or an empty string."""
    return "" if base_metric(name) in PERCEPTUAL_METRICS else "dB"


def digits(name: str) -> int:
    """Return the number of decimals with which a metric or an improvement is printed."""
    metric = base_metric(name)
    return 3 if metric in ("STOI", "ESTOI") else 2 if metric in PERCEPTUAL_METRICS else 1


def caption(names: Iterable[str]) -> str:
    """Define metrics in sentences, with sample rates and the versions of the packages that compute them.

    Args:
        names: metrics and improvements, in any order.
    """
    wanted = {base_metric(name) for name in names}
    bss_eval = [metric for metric in ENERGY_METRICS[:3] if metric in wanted]
    sentences = [_BSS_EVAL] * bool(bss_eval) + [text for metric, text in DEFINITIONS.items() if metric in wanted]
    versions = {package: _version(package) for package in ("mir_eval", *{*PACKAGES.values()})}
    return " ".join(sentence.format(names=", ".join(bss_eval), **versions) for sentence in sentences)


def _version(package: str) -> str:
    """Return the version of an installed package."""
    try:
        return version(package)
    except PackageNotFoundError:
        return "(version unknown)"

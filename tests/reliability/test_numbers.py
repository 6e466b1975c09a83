"""Scores under suspicion: other programs must compute the same ones, and what is ideal must be beaten by nothing.

    python tools/torture_numbers.py rows.csv [--quick]

SDR, SIR and SAR are those of BSS Eval 3 (`bss_eval_sources`). museval, which is of version 4, gives them in the mode of
that name: its `bss_eval` with one window, `framewise_filters` and `bsseval_sources_version`.
"""

import importlib.util
import sys
from pathlib import Path

import numpy as np
from scipy.signal import lfilter
from torture import Campaigns, part_main

from lab41_sce.data import evaluation_set, librispeech
from lab41_sce.data.speech import Speech
from lab41_sce.evaluation import metrics
from lab41_sce.evaluation.scoring import apply_masks
from lab41_sce.methods import oracles
from lab41_sce.methods.base import Setup
from lab41_sce.models.front_end import FrontEnd

TOLERANCE_DB = 1e-6
MIXTURE_SECONDS = 2.0


def run(campaigns: Campaigns, quick: bool) -> None:
    """Run the campaigns."""
    cases = [draw_case(np.random.default_rng(seed)) for seed in range(4 if quick else 200)]
    scored = [np.array(metrics.best_bss_eval(*case)) for case in cases]
    for name, score in (("fast_bss_eval", score_fast), ("museval, BSS Eval 3", score_museval)):
        compare(campaigns, f"SDR, SIR, SAR as {name} has them", score, cases, scored)
    invariance(campaigns, cases[:50], scored[:50])
    references(campaigns, cases[:50])
    no_better_mask(campaigns, n_mixtures=2 if quick else 10, n_masks=20 if quick else 2000)


def draw_case(rng) -> tuple[np.ndarray, np.ndarray]:
    """Draw 2 or 3 coloured noises `[S, N]`, and estimates of them: filtered, mixed, noisy, in another order."""
    n_sources, length = int(rng.choice([2, 2, 2, 3])), int(rng.integers(2000, 8000))  # three take five times as long
    colours, noises = rng.uniform(-0.9, 0.9, (n_sources, 2)), rng.standard_normal((n_sources, length))
    sources = np.stack([lfilter([1, zero], [1, pole], noise)
                        for (zero, pole), noise in zip(colours, noises, strict=True)])
    sources *= 10 ** rng.uniform(-0.5, 0.5, (n_sources, 1))
    levels = sources.std(axis=1, keepdims=True)
    filtered = np.stack([lfilter(rng.standard_normal(rng.integers(1, 200)), 1, source) for source in sources])
    filtered *= levels / filtered.std(axis=1, keepdims=True)
    leak, noise = 10 ** (rng.uniform(-50, 5, 2) / 20)
    others = (sources / levels).sum(axis=0) - sources / levels
    estimates = filtered + levels * (leak * others + noise * rng.standard_normal(sources.shape))
    return sources, estimates[rng.permutation(n_sources)]


def score_fast(sources, estimates) -> np.ndarray:
    """Score with fast_bss_eval."""
    import fast_bss_eval

    return np.array(fast_bss_eval.bss_eval_sources(sources, estimates)[:3])


def museval_metrics():
    """Import museval's metrics without the rest of it, which wants ffmpeg to read music with."""
    place = Path(importlib.util.find_spec("museval").origin).with_name("metrics.py")
    spec = importlib.util.spec_from_file_location("museval_metrics", place)
    metrics_alone = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(metrics_alone)
    return metrics_alone


def score_museval(sources, estimates) -> np.ndarray:
    """Score with museval as BSS Eval 3 would."""
    return np.array(museval_metrics().bss_eval_sources(sources, estimates)[:3])[..., 0]


def compare(campaigns, name, score, cases, scored):
    """Compare with another program's scores."""
    apart = np.array([np.abs(score(*case) - ours).max() for case, ours in zip(cases, scored, strict=True)])
    campaigns.add(name, len(cases), int((apart <= TOLERANCE_DB).sum()),
                  note=f"agreement to {TOLERANCE_DB:g} dB; greatest difference {apart.max():.1e} dB")


def invariance(campaigns, cases, scored):
    """Neither order nor level of the estimates may change anything; another order of references, only the order."""
    worst, survived, rng = 0.0, 0, np.random.default_rng(0)
    for (sources, estimates), ours in zip(cases, scored, strict=True):
        scales = rng.choice([-1, 1], len(sources)) * 10 ** rng.uniform(-4, 4, len(sources))
        order, back = rng.permutation(len(sources)), rng.permutation(len(sources))
        changed = (scales[:, None] * estimates)[order]
        si_sdr = metrics.best_si_sdr(sources, estimates)
        apart = max(np.abs(metrics.best_bss_eval(sources[back], changed) - ours[:, back]).max(),
                    np.abs(metrics.best_si_sdr(sources[back], changed) - si_sdr[back]).max())
        worst, survived = max(worst, apart), survived + (apart <= TOLERANCE_DB)
    campaigns.add("Scores whatever the order and the levels", len(cases), survived,
                  note=f"SDR, SIR, SAR, SI-SDR; greatest difference {worst:.1e} dB")


def references(campaigns, cases):
    """Estimates that are the references score as high as can be; with a little noise, they score that noise."""
    survived, rng = 0, np.random.default_rng(0)
    for sources, _ in cases:
        perfect = [*metrics.best_bss_eval(sources, sources), metrics.best_si_sdr(sources, sources)]
        noise_db = rng.uniform(-60, -20)
        noise = sources.std(axis=1, keepdims=True) * rng.standard_normal(sources.shape)
        noisy = metrics.best_si_sdr(sources, sources + 10 ** (noise_db / 20) * noise)
        survived += bool((np.array(perfect) == metrics.LIMIT_DB).all() and np.allclose(noisy, -noise_db, atol=0.5))
    campaigns.add("Estimates that are the references, and those with noise of a known level", len(cases), survived,
                  note=f"{metrics.LIMIT_DB:g} dB each, and SI-SDR within 0.5 dB of the noise's level")


def no_better_mask(campaigns, n_mixtures, n_masks):
    """Search for binary masks that let less through of who is not wanted than the ideal one does.

    That energy is what the ideal binary mask makes least, bin by bin. Of the signals' scores nobody can promise it:
    frames overlap, and sources may cancel each other. So how near the search comes in SI-SDR is told, not judged.
    """
    front_end, survived, best_db = FrontEnd(), 0, -np.inf
    mixtures = draw_mixtures(front_end, n_mixtures)
    for number, mixture in enumerate(mixtures):
        rng = np.random.default_rng(number)
        ideal = oracles.ideal_binary_mask(Setup(front_end, None, mixture.n_speakers, ()))(mixture)
        powers = np.abs(front_end.spectrogram(mixture.sources)).astype(np.float64) ** 2

        def wrong(masks, powers=powers):
            return float((powers.sum(axis=0) * masks - powers * masks).sum())

        def improvement_db(masks, mixture=mixture):
            return metrics.si_sdr_improvement(mixture.sources, mixture.signal,
                                              apply_masks(front_end, mixture.signal, masks))

        least, ideal_db, owners = wrong(ideal), improvement_db(ideal), ideal.argmax(axis=0)
        for _ in range(n_masks):
            share = 10 ** rng.uniform(-4, 0)  # from a few bins to all of them
            changed = np.where(rng.random(owners.shape) < share, rng.integers(len(ideal), size=owners.shape), owners)
            masks = (np.arange(len(ideal))[:, None, None] == changed).astype(np.float32)
            survived += wrong(masks) >= least * (1 - 1e-9)
            if (changed != owners).any():
                best_db = max(best_db, improvement_db(masks) - ideal_db)
    campaigns.add("Random binary masks against the ideal one", n_masks * n_mixtures, survived,
                  note=f"{n_mixtures} mixtures of 2 or 3; survived: it lets more of who is not wanted through; the "
                       f"best was {best_db:+.4f} dB from the ideal one in SI-SDR")


def draw_mixtures(front_end, n_mixtures):
    """Mix the embedded corpus's speakers, by twos and threes."""
    utterances = librispeech.load(None, [librispeech.EMBEDDED_SUBSET], check="headers").assign(split="unseen")
    speech = Speech(utterances, front_end.sample_rate_hz, in_memory=False)
    mixtures = []
    for n_speakers in (2, 3):
        rows = evaluation_set.draw_evaluation_set(speech, utterances, "unseen", n_speakers, 2, MIXTURE_SECONDS,
                                     front_end.pre_emphasis)
        rows = rows.sample(n_mixtures // 2, random_state=0)
        mixtures += [evaluation_set.load_mixture(speech, row) for _, row in rows.iterrows()]
    return mixtures


if __name__ == "__main__":
    if missing := [name for name in ("fast_bss_eval", "museval") if importlib.util.find_spec(name) is None]:
        sys.exit(f'error: {missing[0]} is not here; install it: pip install -c constraints.txt -e ".[torture]"')
    part_main(run)

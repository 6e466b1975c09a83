"""Time updates of the shipped recipe in PyTorch, and networks of asteroid and speechbrain; `peers.py` runs this file.

    build/peers/bin/python peers_torch.py '{"network": {...}, "sizes": [[32, 100]], "seconds": [10], "rounds": 5}'

Prints rows of [name, value, unit] as JSON. Weights are random, because only times are measured.
"""

import json
import sys
import time

import torch
from torch.nn import functional

FRAME, HOP, PRE_EMPHASIS = 512, 256, 0.95  # of lab41_sce's front end at 10 kHz
N_BINS, EMBEDDING_SIZE, SPEAKERS = 257, 20, 100
SCALE, CENTROID_LOSS_WEIGHT = 5.0, 0.5
PEERS_RATE_HZ = 8000  # of the networks that asteroid and speechbrain publish
SEPFORMER_SECONDS = 10  # longest; a minute takes it ten minutes


class Blstm(torch.nn.Module):
    """The network of the shipped recipe: `[B, T, F]` to unit vectors `[B, T, F, K]`."""

    def __init__(self, n_layers, units, bottleneck_rank):
        super().__init__()
        self.lstm = torch.nn.LSTM(N_BINS, units, n_layers, batch_first=True, bidirectional=True)
        last = torch.nn.Linear(bottleneck_rank or 2 * units, N_BINS * EMBEDDING_SIZE)
        bottleneck = [torch.nn.Linear(2 * units, bottleneck_rank, bias=False)] if bottleneck_rank else []
        self.dense = torch.nn.Sequential(*bottleneck, last)

    def forward(self, features):
        """Embed."""
        vectors = self.dense(self.lstm(features)[0])
        return functional.normalize(vectors.reshape(*features.shape[:2], N_BINS, EMBEDDING_SIZE), dim=-1)


def transform(signals):
    """Pre-emphasise and transform `[B, S, N]` to complex spectra `[B, S, T, F]`."""
    emphasised = signals - PRE_EMPHASIS * functional.pad(signals, (1, 0))[..., :-1]
    flat = functional.pad(emphasised.reshape(-1, signals.shape[-1]), (FRAME - HOP, FRAME - 1))
    spectra = torch.stft(flat, FRAME, HOP, window=torch.hann_window(FRAME), center=False, return_complex=True)
    return spectra.transpose(1, 2).reshape(*signals.shape[:-1], spectra.shape[2], spectra.shape[1])


def loss_of(network, speakers, sources, speaker_ids):
    """Compute the recipe's loss of sources `[B, S, N]`: half from speaker vectors, half from centroids."""
    spectra = transform(sources)
    mixture, sources = spectra.sum(dim=1).abs(), spectra.abs()
    peak = mixture.amax(dim=(1, 2), keepdim=True)
    vectors = network((mixture / peak).sqrt())
    owners = functional.one_hot(sources.argmax(dim=1), sources.shape[1]).permute(0, 3, 1, 2).float()
    weights = (mixture / peak) * (mixture > peak * 0.01)
    owned = owners * weights[:, None]
    means = torch.einsum("bstf,btfk->bsk", owned, vectors) / owned.sum(dim=(2, 3))[..., None].clamp(min=1e-12)
    losses = []
    for centroids in (functional.normalize(speakers[speaker_ids], dim=-1), functional.normalize(means, dim=-1)):
        scores = SCALE * torch.einsum("btfk,bsk->bstf", vectors, centroids)
        losses.append((weights * functional.softplus((1 - 2 * owners) * scores).mean(dim=1)).sum() / weights.sum())
    return (1 - CENTROID_LOSS_WEIGHT) * losses[0] + CENTROID_LOSS_WEIGHT * losses[1]


def median_seconds(rounds, call, *arguments):
    """Return the median duration of a call, after one that does not count."""
    taken = []
    for _ in range(rounds + 1):
        start = time.perf_counter()
        call(*arguments)
        taken.append(time.perf_counter() - start)
    return sorted(taken[1:])[rounds // 2]


def training(options):
    """Yield rows of updates on prepared batches."""
    network, speakers = Blstm(**options["network"]), torch.nn.Parameter(torch.randn(SPEAKERS, EMBEDDING_SIZE))
    parameters = [*network.parameters(), speakers]
    optimizer = torch.optim.Adam(parameters, 1e-5)

    def update(sources, speaker_ids):
        optimizer.zero_grad()
        loss_of(network, speakers, sources, speaker_ids).backward()
        torch.nn.utils.clip_grad_norm_(parameters, 5.0)
        optimizer.step()

    for batch, length in options["sizes"]:
        sources, speaker_ids = torch.randn(batch, 2, length * HOP), torch.randint(SPEAKERS, (batch, 2))
        rate = batch * (length + 1) / median_seconds(2 * options["rounds"], update, sources, speaker_ids)
        name = f"PyTorch {torch.__version__}, the same network, {batch} x {length} frames: update on ready data"
        yield name, rate, "frames/s"


def sepformer():
    """Build speechbrain's SepFormer in the size of its recipe for WSJ0-2mix."""
    from speechbrain.lobes.models import dual_path

    encoder = dual_path.Encoder(kernel_size=16, out_channels=256)
    blocks = [dual_path.SBTransformerBlock(num_layers=8, d_model=256, nhead=8, d_ffn=1024, norm_before=True,
                                           use_positional_encoding=True) for _ in range(2)]
    masks = dual_path.Dual_Path_Model(256, 256, *blocks, num_layers=2, K=250, norm="ln", num_spks=2,
                                      skip_around_intra=True, linear_layer_after_inter_intra=False)
    decoder = dual_path.Decoder(in_channels=256, out_channels=1, kernel_size=16, stride=8, bias=False)

    def separate(signal):
        mixture = encoder(signal)
        return torch.stack([decoder(mask * mixture) for mask in masks(mixture)], dim=-1)

    return separate


@torch.inference_mode()
def separation(options):
    """Return rows of networks on noise of some lengths."""
    import asteroid
    import speechbrain

    networks = {f"asteroid {asteroid.__version__}, ConvTasNet": asteroid.models.ConvTasNet(n_src=2).eval(),
                f"asteroid {asteroid.__version__}, DPRNNTasNet": asteroid.models.DPRNNTasNet(n_src=2).eval(),
                f"speechbrain {speechbrain.__version__}, SepFormer": sepformer()}
    return [(f"{name}, separation of {length} s",
             length / median_seconds(1, network, torch.randn(1, length * PEERS_RATE_HZ)), "times real time")
            for name, network in networks.items() for length in options["seconds"]
            if length <= SEPFORMER_SECONDS or "SepFormer" not in name]


if __name__ == "__main__":
    settings = json.loads(sys.argv[1])
    print(json.dumps([*training(settings), *separation(settings)]))

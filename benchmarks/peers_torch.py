"""Time the same update in PyTorch, and networks of asteroid and speechbrain; `bench_peers.py` runs it.

    PEERS_PYTHON peers.py '{"network": {"n_layers": 3, ...}, "sizes": [[32, 100]], "seconds": [10, 60], "rounds": 3}'

Prints rows of [name, value, unit] as JSON. Weights are random: only the time says something.
"""

import json
import sys
import time

import torch
from torch.nn import functional

FRAME, HOP, PRE_EMPHASIS = 512, 256, 0.95  # of lab41_sce's front end at 10 kHz
SCALE, CENTRE_SHARE = 5.0, 0.5
PEERS_RATE_HZ = 8000  # of the networks that asteroid and speechbrain publish


class Blstm(torch.nn.Module):
    """The network of the shipped recipe: `[B, T, F]` to `[B, T, F, K]`, vectors of length one."""

    def __init__(self, n_bins, size, n_layers, units, rank):
        super().__init__()
        self.lstm = torch.nn.LSTM(n_bins, units, n_layers, batch_first=True, bidirectional=True)
        last = torch.nn.Linear(rank or 2 * units, n_bins * size)
        self.dense = torch.nn.Sequential(torch.nn.Linear(2 * units, rank, bias=False), last) if rank else last
        self.shape = n_bins, size

    def forward(self, features):
        """Embed."""
        vectors = self.dense(self.lstm(features)[0])
        return functional.normalize(vectors.reshape(*features.shape[:2], *self.shape), dim=-1)


def magnitudes(signals):
    """Pre-emphasise and transform `[..., N]` to magnitudes `[..., T, F]`."""
    emphasised = signals - PRE_EMPHASIS * functional.pad(signals, (1, 0))[..., :-1]
    flat = functional.pad(emphasised.reshape(-1, signals.shape[-1]), (FRAME - HOP, FRAME - 1))
    spectra = torch.stft(flat, FRAME, HOP, window=torch.hann_window(FRAME), center=False, return_complex=True)
    return spectra.transpose(1, 2).reshape(*signals.shape[:-1], spectra.shape[2], spectra.shape[1])


def loss_of(network, speakers, sources, speaker_ids):
    """Compute the recipe's loss of sources `[B, S, N]`: half with speaker vectors, half with the mixture's centres."""
    spectra = magnitudes(sources)
    mixture, sources = spectra.sum(dim=1).abs(), spectra.abs()
    peak = mixture.amax(dim=(1, 2), keepdim=True)
    features = (mixture / peak).sqrt()
    vectors = network(features)
    owners = functional.one_hot(sources.argmax(dim=1), sources.shape[1]).permute(0, 3, 1, 2).float()
    weights = (mixture / peak) * (mixture > peak * 0.01)
    owned = owners * weights[:, None]
    means = torch.einsum("bstf,btfk->bsk", owned, vectors) / owned.sum(dim=(2, 3))[..., None].clamp(min=1e-12)
    losses = []
    for centroids in (functional.normalize(speakers[speaker_ids], dim=-1), functional.normalize(means, dim=-1)):
        scores = SCALE * torch.einsum("btfk,bsk->bstf", vectors, centroids)
        losses.append((weights * functional.softplus((1 - 2 * owners) * scores).mean(dim=1)).sum() / weights.sum())
    return (1 - CENTRE_SHARE) * losses[0] + CENTRE_SHARE * losses[1]


def median_seconds(rounds, call, *arguments):
    """Time a call that was made once before."""
    call(*arguments)
    taken = []
    for _ in range(rounds):
        start = time.perf_counter()
        call(*arguments)
        taken.append(time.perf_counter() - start)
    return sorted(taken)[len(taken) // 2]


def training(options):
    """Time updates on ready batches of all sizes."""
    network, speakers = Blstm(257, 20, **options["network"]), torch.nn.Parameter(torch.randn(100, 20))
    parameters = [*network.parameters(), speakers]
    optimizer = torch.optim.Adam(parameters, 1e-5)

    def update(sources, speaker_ids):
        optimizer.zero_grad()
        loss_of(network, speakers, sources, speaker_ids).backward()
        torch.nn.utils.clip_grad_norm_(parameters, 5.0)
        optimizer.step()

    for batch, length in options["sizes"]:
        sources, speaker_ids = torch.randn(batch, 2, length * HOP), torch.randint(100, (batch, 2))
        rate = batch * (length + 1) / median_seconds(2 * options["rounds"], update, sources, speaker_ids)
        yield f"{batch} x {length} frames: update on ready data", rate, "frames/s"


def sepformer():
    """Build speechbrain's SepFormer in the size of its published recipe for WSJ0-2mix."""
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


def separation(options):
    """Time networks on noise of some lengths."""
    import asteroid
    import speechbrain

    networks = {f"asteroid {asteroid.__version__}, ConvTasNet": asteroid.models.ConvTasNet(n_src=2).eval(),
                f"asteroid {asteroid.__version__}, DPRNNTasNet": asteroid.models.DPRNNTasNet(n_src=2).eval(),
                f"speechbrain {speechbrain.__version__}, SepFormer": sepformer()}
    for name, network in networks.items():
        for seconds in options["seconds"]:
            signal = torch.randn(1, seconds * PEERS_RATE_HZ)
            taken = median_seconds(1, network, signal)
            yield f"{name}, separation of {seconds} s", seconds / taken, "times real time"


def main():
    """Measure all."""
    options = json.loads(sys.argv[1])
    rows = [[f"PyTorch {torch.__version__}, the same network, {name}", *cell] for name, *cell in training(options)]
    with torch.inference_mode():
        rows += separation(options)
    print(json.dumps(rows))


if __name__ == "__main__":
    main()

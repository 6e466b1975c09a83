"""The table of `timing.py` becomes a verdict on the time of an update, and a table of how the SCE loss grows."""

import pandas as pd

from lab41_sce.article import sizes
from lab41_sce.article.claim import FAILS, HOLDS, UNDECIDED, UPDATE_TIME, Claim
from lab41_sce.reporting.ordering import words
from lab41_sce.reporting.tables import Table

MAX_ALMOST_HALF = 0.6  # largest share of deep clustering's time that counts as almost half


def judge_update_time(timing: pd.DataFrame, machine: str = "") -> Claim:
    """Judge the claim that an update takes almost half the time of an update of deep clustering.

    Args:
        timing: rows of `timing.csv`.
        machine: description of the machine that measured the times.

    Returns:
        The claim with its verdict.
    """
    update = timing[timing["what"] == "update"].set_index("system")
    batch, ratio = int(update["batch"].iloc[0]), update.loc["sce", "seconds"] / update.loc["deep_clustering", "seconds"]
    rows = []
    for (what, batch_size, frames), case in timing.groupby(["what", "batch", "frames"], sort=False):
        times = case.drop_duplicates("system").set_index("system")
        if "sce" not in times.index or "deep_clustering" not in times.index:
            continue
        sce = times.loc["sce"]
        for system, other in times.drop(index="sce").iterrows():
            rows.append([what, f"{batch_size} x {frames}", words(str(system)), f"{sce['seconds']:.4g}",
                         f"{other['seconds']:.4g}", f"{sce['seconds'] / other['seconds']:.2g}",
                         f"{sce['megabytes']:.0f}", f"{other['megabytes']:.0f}"])
    losses = [row for row in rows if row[0] == "loss by batch"]
    heads = ["measurement", "batch x frames", "other system", "SCE (s)", "other (s)", "ratio", "SCE (MB)", "other (MB)"]
    verdict = UNDECIDED if batch != sizes.BATCH else HOLDS if ratio <= MAX_ALMOST_HALF else FAILS
    where = f"with batches of {batch}" + (f" on {machine}" if machine else "")
    reason = (f"An update of SCE takes {ratio:.2f} of the time of an update of deep clustering (low-rank form), "
              f"{where}. The claim holds if the ratio is at most {MAX_ALMOST_HALF} with the article's batches of "
              f"{sizes.BATCH}.")
    if losses:
        reason += f" For the losses alone, the ratio at batch x frames of {losses[-1][1]} is {losses[-1][5]}."
    loss = timing[(timing["what"] == "loss by batch") & (timing["batch"] == batch)].set_index("system")["seconds"]
    if batch == sizes.BATCH and {"sce", "deep_clustering"} <= set(loss.index):
        rest = update.loc["sce", "seconds"] - loss["sce"]
        limit = (MAX_ALMOST_HALF * loss["deep_clustering"] - loss["sce"]) / (1 - MAX_ALMOST_HALF)
        reason += (f" The network and everything else but the loss takes {rest:.2f} s of the update of SCE. With these "
                   + (f"losses, the ratio is {MAX_ALMOST_HALF} where that takes {limit:.2f} s; a slower network makes "
                      "the two systems more equal." if limit > 0 else "losses, no network gives a ratio of "
                      f"{MAX_ALMOST_HALF}."))
    if batch != sizes.BATCH:
        reason += " The measured batches have another size, so the claim is undecided."
    return Claim(UPDATE_TIME, verdict, reason, Table(heads, rows))


def loss_growth(timing: pd.DataFrame) -> Table:
    """Arrange seconds and memory of the SCE loss by the number of known speakers and of extra negatives.

    Args:
        timing: rows of `timing.csv`.

    Returns:
        Columns known speakers, negatives, batch x frames, seconds, MB.
    """
    rows = timing[timing["what"] == "loss by speakers and negatives"]
    cells = [[f"{row.speakers:,}", f"{row.negatives}", f"{row.batch} x {row.frames}", f"{row.seconds:.4g}",
              f"{row.megabytes:.0f}"] for row in rows.itertuples()]
    return Table(["known speakers", "negatives", "batch x frames", "seconds", "MB"], cells)

"""The verdict on the time of an update, with numbers on every side of the rule."""

import pandas as pd
import pytest

from lab41_sce.article import time_claims
from lab41_sce.article.claim import FAILS, HOLDS, UNDECIDED


def timing(seconds, batch=256):
    rows = [("update", "sce", seconds[0]), ("update", "deep_clustering", seconds[1]),
            ("loss by batch", "sce", 0.1), ("loss by batch", "deep_clustering", 0.4)]
    table = pd.DataFrame(rows, columns=["what", "system", "seconds"])
    return table.assign(batch=batch, frames=40, speakers=251, negatives=0, megabytes=7.0, rounds=5,
                        fastest=0.0, slowest=99.0)


@pytest.mark.parametrize(("seconds", "batch", "verdict"), [
    ((5.0, 10.0), 256, HOLDS), ((7.0, 10.0), 256, FAILS), ((5.0, 10.0), 32, UNDECIDED)])
def test_time_of_an_update(seconds, batch, verdict):
    claim = time_claims.judge_update_time(timing(seconds, batch))
    assert claim.verdict == verdict and f"takes {seconds[0] / seconds[1]:.2f} of the time" in claim.reason
    # 0.1 s of the update of SCE are its loss; (0.6 * 0.4 - 0.1) / 0.4 = 0.35 s beside it would make a ratio of 0.6
    change = (f"takes {seconds[0] - 0.1:.2f} s of the update of SCE. With these losses, the ratio is 0.6 where that "
              "takes 0.35 s;")
    assert (change in claim.reason) == (batch == 256)
    assert [row[5] for row in claim.table.rows] == [str(seconds[0] / seconds[1]), "0.25"]

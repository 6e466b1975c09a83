"""Tables of a run are read with names as text, under the current names of systems."""

import pandas as pd
import pytest

from lab41_sce.errors import UserError
from lab41_sce.reporting.run_files import read_table


def test_names_stay_text(tmp_path):
    pd.DataFrame({"mixture": ["007"], "system": ["1"], "value": [2.5]}).to_csv(tmp_path / "mixtures.csv", index=False)
    assert read_table(tmp_path / "mixtures.csv").to_dict("records") == [{"mixture": "007", "system": "1", "value": 2.5}]


def test_systems_of_old_runs_get_their_current_names(tmp_path):
    pd.DataFrame({"system": ["sce_true_centres", "sce"]}).to_csv(tmp_path / "summary.csv", index=False)
    assert read_table(tmp_path / "summary.csv")["system"].to_list() == ["sce_oracle_centroids", "sce"]


def test_a_missing_file_has_no_rows(tmp_path):
    table = read_table(tmp_path / "none.csv")
    assert table.empty and "system" in table and "metric" in table


def test_a_damaged_file_is_reported(tmp_path):
    (tmp_path / "summary.csv").write_text("")
    with pytest.raises(UserError, match=r"summary.csv cannot be read"):
        read_table(tmp_path / "summary.csv")

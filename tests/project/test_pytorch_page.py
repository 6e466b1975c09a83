"""The example of docs/pytorch.md trains on our mixtures and is compared with the shipped model, without a GPU."""

import re
import shlex
import sys
from pathlib import Path

import numpy as np
import pytest

from lab41_sce.commands import benchmark

PAGE = Path(__file__).parents[2] / "docs" / "pytorch.md"


@pytest.mark.skipif(not PAGE.exists(), reason="an installed package has no documents")
def test_the_example_is_compared_with_the_shipped_model(scored_run, tmp_path, monkeypatch, capsys):
    torch = pytest.importorskip("torch")
    text = PAGE.read_text("utf-8")
    code, read_differences, batches = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    assert len([line for line in code.splitlines() if line.strip()]) <= 30
    (tmp_path / "my_separator.py").write_text(code)
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "mixtures").symlink_to(scored_run[0])
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    train = re.search(r'python -c "(.*?)"', text)[1]
    torch.manual_seed(0)
    exec(train.replace("1000", "2"))
    command = re.search(r"^lab41-sce benchmark (.*)$", text, re.MULTILINE)[1]
    assert benchmark.main([*shlex.split(command), "--jobs", "1"]) == 0
    assert "Differences from pretrained" in capsys.readouterr().out
    names = {}
    exec(read_differences, names)
    row = names["differences"].loc[("mine", "SI-SDRi", "All")]
    assert row["n"] == 4 and np.isfinite(row["mean"])
    exec(batches, {"sce": sys.modules["lab41_sce"]})
    assert "(4, 15000) (4, 2, 15000) ['FF', 'FM', 'MF', 'MM']" in capsys.readouterr().out

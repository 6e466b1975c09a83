"""Folders of runs with text that a browser, a spreadsheet, a terminal or Hydra would obey."""

import json
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import soundfile
import yaml

HOSTILE = ["$\\nosuch$", "<script>alert(1)</script>", "<img src=x onerror=alert(1)>",
           '"><b onclick=a>', "[a](javascript:alert(1))",
           "![a](http://example.com/a.png)", "`code` **bold** _em_ | cell", "=HYPERLINK(1)", "+1", "@sum", "a\x1b[31mb",
           "a\u202eb", "${oc.env:HOME}", "&lt;b&gt;", "a\\`b", "```", "<!-- "]


class Elements(HTMLParser):
    """Collect the elements, the attributes and the text of a page."""

    def __init__(self, html):
        super().__init__()
        self.tags, self.attributes, self.text = [], [], ""
        self.feed(html)

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.attributes += attributes

    def handle_data(self, data):
        self.text += data


def write_run(folder, text):
    """Write the folder of a finished run that has a text wherever a run has text."""
    folder.mkdir(parents=True)
    system = text.replace("\x1b", "") or "sce"
    method = {"name": system, "about": text, "build": {"value": text}}
    config = {"name": text, "seed": text, "method": method, "others": {"other": {"name": "other", "about": text}}}
    (folder / "config.yaml").write_text(yaml.safe_dump(config), "utf-8")
    about = {"command": text, "git_commit": text, "platform": text, "started": text, "resumed": [{"started": text}]}
    (folder / "version.json").write_text(json.dumps(about), "utf-8")
    rows = [(name, text, kind, "SDRi", 1.0, 0.5, 1.5, 20) for name in (system, "other") for kind in (text, "All")]
    columns = ["system", "split", "kind", "metric", "mean", "low", "high", "n"]
    pd.DataFrame(rows, columns=columns).to_csv(folder / "summary.csv", index=False)
    (folder / "examples" / "one").mkdir(parents=True)
    soundfile.write(folder / "examples" / "one" / "mixture.wav", np.zeros(2000), 8000)
    examples = [("one", text, text, text, "1"), ("../../outside", text, text, text, "1")]
    pd.DataFrame(examples, columns=["example", "split", "kind", "speakers", "mixture"]).to_csv(
        folder / "examples.csv", index=False)
    scores = [("1", text, text, system, "SDRi", 1.0)]
    pd.DataFrame(scores, columns=["mixture", "split", "kind", "system", "metric", "value"]).to_csv(
        folder / "mixtures.csv", index=False)
    return folder

"""Files of strangers become plain data, or are refused; names are shown as they are."""

import pytest

from lab41_sce.errors import UserError
from lab41_sce.plain_data import MAX_ALIASES, MAX_DEPTH, check_yaml, read_json, read_yaml
from lab41_sce.printable import printable


def written(path, text):
    path.write_text(text, "utf-8")
    return path


def test_interpolations_stay_text(tmp_path, monkeypatch):
    monkeypatch.setenv("SECRET", "hidden")
    path = written(tmp_path / "config.yaml", "seed: 3\nname: ${oc.env:SECRET}\nrate: 1e-3\nother: ${seed}\n")
    assert read_yaml(path) == {"seed": 3, "name": "${oc.env:SECRET}", "rate": 0.001, "other": "${seed}"}


@pytest.mark.parametrize(("text", "reason"), [
    ("a: " + "[" * (MAX_DEPTH + 1) + "]" * (MAX_DEPTH + 1), f"nests more than {MAX_DEPTH} levels"),
    ("a: &a [1]\nb: [" + ", ".join(["*a"] * (MAX_ALIASES + 1)) + "]", f"more than {MAX_ALIASES} aliases"),
    ("# " + "x" * 2**20, "more than 1,048,576 bytes"), ("- 1\n- 2\n", "no settings"),
    ("a: [1", "while parsing"), ("a: 1\na: 2\n", "while constructing")])
def test_yaml_that_grows_or_is_none_is_refused(tmp_path, text, reason):
    with pytest.raises(UserError, match=f"config.yaml cannot be read .*{reason}"):
        read_yaml(written(tmp_path / "config.yaml", text))


def test_yaml_just_within_the_limits_is_read():
    check_yaml("a: " + "[" * (MAX_DEPTH - 1) + "]" * (MAX_DEPTH - 1))
    check_yaml("a: &a [1]\nb: [" + ", ".join(["*a"] * MAX_ALIASES) + "]")


@pytest.mark.parametrize("text", ["", "[1]", "{", '{"a": ' + "[" * 3000 + "]" * 3000 + "}"])
def test_json_that_is_no_object_is_refused(tmp_path, text):
    path = written(tmp_path / "version.json", text)
    try:
        values = read_json(path)
    except UserError as error:
        assert "version.json cannot be read" in str(error)
    else:
        assert isinstance(values, dict) and "3000" not in text  # newer Pythons can follow 3000 levels


def test_names_are_shown_as_they_are():
    for name in ("Größe – 話.wav", "نامه\u200cها.wav", "👩\u200d🔬"):  # letters that are joined by hidden characters
        assert printable(name) == name
    assert printable("a\x1b[2Jb\nc\u202ed\udcffe") == "a\\x1b[2Jb\\nc\\u202ed\\udcffe"

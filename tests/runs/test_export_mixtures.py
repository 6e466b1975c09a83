"""The mixtures of a run become files: each mixture is the sum of its sources and its noise."""

import shutil

import numpy as np
import pandas as pd
import pytest
import soundfile

from lab41_sce import audio
from lab41_sce.commands import export_mixtures as command
from lab41_sce.data import splits
from lab41_sce.data.corpus import load_corpus
from lab41_sce.data.evaluation_set import add_noise_at, draw_evaluation_set, load_mixture
from lab41_sce.data.noise import Noise
from lab41_sce.data.speech import Speech

CONFIG = """
corpus: {{root: {root}, subsets: [train]}}
splits: {{seed: 0}}
mixtures: {{n_speakers: 2}}
noise: {{kinds: [white]}}
training: {{updates: 1}}
"""


@pytest.fixture
def run(corpus_root, tmp_path):
    """Make the folder of a run with two mixtures, the second with noise; return it and the mixtures."""
    utterances = splits.split(load_corpus(corpus_root, ["train"]), 2)
    speech = Speech(utterances, 10000)
    clean = draw_evaluation_set(speech, utterances, "unseen", 2, 1, 1.5, 0.95)[:1]
    noise = Noise(speech, utterances, ["white"])
    mixtures = pd.concat([clean, add_noise_at(clean, noise, 5.0)])
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "config.yaml").write_text(CONFIG.format(root=corpus_root))
    mixtures.to_csv(folder / "evaluation.csv", index=False)
    return folder, [load_mixture(speech, row, noise) for _, row in mixtures.iterrows()], list(mixtures["mixture"])


def files_of(folder, split, name):
    """Read the files of a mixture by folder, int or float as they were written."""
    kinds = {"PCM_16": "int16", "FLOAT": "float32"}
    paths = sorted((folder / split).glob(f"*/{name}.wav"))
    return {path.parent.name: soundfile.read(path, dtype=kinds[soundfile.info(path).subtype])[0] for path in paths}


def test_files_are_the_mixtures_of_the_run_and_add_up(run, tmp_path):
    folder, (clean, noisy), (name, _) = run
    assert command.main([str(folder), str(tmp_path / "float")]) == 0
    found = files_of(tmp_path / "float", "unseen", name)
    assert [*found] == ["mix", "s1", "s2"]
    np.testing.assert_array_equal(found["mix"], clean.signal)
    np.testing.assert_array_equal(np.stack([found["s1"], found["s2"]]), clean.sources)
    found = files_of(tmp_path / "float", "unseen_SNR_5_dB", f"{name}_SNR_5_dB")
    assert [*found] == ["mix", "noise", "s1", "s2"]
    np.testing.assert_array_equal(found["mix"], noisy.signal)
    np.testing.assert_array_equal(found["mix"], found["s1"] + found["s2"] + found["noise"])


def test_noise_of_the_validation_split_is_that_of_the_run(corpus_root, tmp_path):
    """It is made from training speech, at all speeds of the training."""
    utterances = splits.perturb_speed(splits.split(load_corpus(corpus_root, ["train"]), 2), [0.8, 1.0])
    speech = Speech(utterances, 10000)
    noise = Noise(speech, utterances, ["speech_shaped"])
    mixtures = add_noise_at(draw_evaluation_set(speech, utterances, "validation", 2, 1, 1.5, 0.95)[:2], noise, 5.0)
    (tmp_path / "run").mkdir()
    config = CONFIG.format(root=corpus_root).replace("n_speakers: 2", "n_speakers: 2, speeds: [0.8, 1.0]")
    (tmp_path / "run" / "config.yaml").write_text(config.replace("white", "speech_shaped"))
    mixtures.to_csv(tmp_path / "run" / "evaluation.csv", index=False)
    assert command.main([str(tmp_path / "run"), str(tmp_path / "out")]) == 0
    for _, row in mixtures.iterrows():
        name = row["mixture"].replace(", ", "_").replace(" ", "_")
        found = files_of(tmp_path / "out", "validation_SNR_5_dB", name)
        np.testing.assert_array_equal(found["noise"], load_mixture(speech, row, noise).noise)


def test_names_may_be_numbers(run, tmp_path, corpus_root, monkeypatch):
    """pandas would read 00 as the number 0, and NA as no source at all."""
    folder, (clean, _), (name, _) = run
    evaluation = pd.read_csv(folder / "evaluation.csv")
    names = {evaluation["utterance_1"][0]: "0042", evaluation["utterance_2"][0]: "NA"}
    (tmp_path / "corpus").mkdir()
    shutil.copy(corpus_root / "SPEAKERS.TXT", tmp_path / "corpus")
    for path in corpus_root.glob("train/*/*/*.flac"):
        place = tmp_path / "corpus" / path.relative_to(corpus_root).with_stem(names.get(path.stem, path.stem))
        place.parent.mkdir(parents=True, exist_ok=True)
        place.symlink_to(path)
    (folder / "config.yaml").write_text(CONFIG.format(root=tmp_path / "corpus"))
    monkeypatch.setattr("lab41_sce.runs.run_mixtures.load_split_speech",
                        lambda settings: splits.split(load_corpus(settings.corpus.root, ["train"]), 2).assign(
                            split="unseen"))
    evaluation.replace(names)[:1].to_csv(folder / "evaluation.csv", index=False)
    assert command.main([str(folder), str(tmp_path / "out")]) == 0
    found = files_of(tmp_path / "out", "unseen", name)
    np.testing.assert_array_equal(np.stack([found["s1"], found["s2"]]), clean.sources)


def test_files_of_16_bits_add_up_exactly(run, tmp_path):
    folder, (clean, _), (name, _) = run
    assert command.main([str(folder), str(tmp_path / "out"), "--encoding", "16"]) == 0
    found = files_of(tmp_path / "out", "unseen", name)
    np.testing.assert_array_equal(found["mix"], found["s1"] + found["s2"])
    assert max(np.abs(signal).max() for signal in found.values()) == pytest.approx(audio.FULL_SCALE / 2, abs=2)
    assert np.corrcoef(found["s1"], clean.sources[0])[0, 1] > 0.9999


def test_the_same_command_continues_and_another_list_is_refused(run, tmp_path, capsys, monkeypatch):
    folder, _, _ = run
    write, n_written = audio.write, []

    def interrupted(path, *arguments):
        n_written.append(path)
        if len(n_written) == 5:  # a source of the second mixture
            raise KeyboardInterrupt
        write(path, *arguments)

    monkeypatch.setattr(audio, "write", interrupted)
    assert command.main([str(folder), str(tmp_path / "out")]) == 130
    monkeypatch.setattr(audio, "write", write)
    assert command.main([str(folder), str(tmp_path / "out")]) == 0
    assert "2 mixtures, 1 of them were there already" in capsys.readouterr().out
    assert command.main([str(folder), str(tmp_path / "anew")]) == 0
    listed = [sorted(path.relative_to(tmp_path / name) for path in (tmp_path / name).rglob("*.*"))
              for name in ("out", "anew")]
    assert listed[0] == listed[1] and len(listed[0]) == 8
    assert command.main([str(folder), str(tmp_path / "out"), "--encoding", "16"]) == 1
    assert "holds the mixtures of another list or in another encoding" in capsys.readouterr().err
    (tmp_path / "out" / "mixtures.csv").write_bytes(b"\xff")
    assert command.main([str(folder), str(tmp_path / "out")]) == 1
    assert "holds the mixtures of another list" in capsys.readouterr().err


def test_a_folder_without_an_evaluation_set_is_refused(tmp_path, capsys):
    assert command.main([str(tmp_path), str(tmp_path / "out")]) == 1
    assert "evaluation.csv cannot be read (No such file or directory); give" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(("kept", "damaged", "message"), [
    ("{kinds: [white]}", "3", "noise=3 in config.yaml is no group of settings"),
    ("{n_speakers: 2}", "{n_speakers: x}", "mixtures.n_speakers=x"),
])
def test_damaged_settings_are_reported_in_one_sentence(run, tmp_path, kept, damaged, message, capsys):
    config = run[0] / "config.yaml"
    config.write_text(config.read_text().replace(kept, damaged))
    assert command.main([str(run[0]), str(tmp_path / "out")]) == 1
    assert message in capsys.readouterr().err and not (tmp_path / "out").exists()

"""Intended attacks by files: archives that write outside their folder, lists and corpora that point outside."""

import gzip
import hashlib
import io
import itertools
import os
import shutil
import tarfile

import numpy as np
import pandas as pd
import pytest
import soundfile

from lab41_sce.data import evaluation_set
from lab41_sce.data.corpus import load_corpus
from lab41_sce.data.download import Archive, download_subsets
from lab41_sce.data.speech import Speech
from lab41_sce.errors import UserError
from reliability.bad_files import files_with_false_headers
from reliability.campaign import Lost

pytestmark = pytest.mark.torture(part="inputs")
SUBSET = "train-clean-5"
FLAC, LINK = f"LibriSpeech/{SUBSET}/19/198/19-198-0000.flac", f"LibriSpeech/{SUBSET}/link"
MEGABYTE, LARGE_MEGABYTES = bytes(1_000_000), 250
KINDS = (tarfile.REGTYPE, tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE,
         tarfile.FIFOTYPE, tarfile.CONTTYPE, tarfile.GNUTYPE_SPARSE, b"Z")
PATH_PARTS = ("..", ".", "a", "LibriSpeech", SUBSET, "", "C:", "\\..", "~", "/", "\0", "*", "ü")
LINK_TARGETS = ("..", "../../evil", "/etc/passwd", ".", FLAC, LINK)
SUBSETS = ("..", ".", "/", "train/../../elsewhere/train", "../elsewhere/train", "", "~", "*", "way/train", "\0", 5,
           None)


def member(name, kind=tarfile.REGTYPE, target="", size=0, pax=None):
    """Make the header of an archive's member."""
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.size, info.pax_headers = kind, target, size, pax or {}
    return info


def compress(content, times=1):
    """Compress a content, repeated."""
    file = io.BytesIO()
    with gzip.GzipFile(fileobj=file, mode="wb", compresslevel=1) as packed:
        for _ in range(times):
            packed.write(content)
    return file.getvalue()


def archive(*members):
    """Make an archive of headers and of (name, content)."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w:gz") as tar:
        for item in members:
            if isinstance(item, tarfile.TarInfo):
                tar.addfile(item)
            else:
                tar.addfile(member(item[0], size=len(item[1])), io.BytesIO(item[1]))
    return file.getvalue()


def hostile_archives(outside, n_random):
    """Yield functions that make archives."""
    rng, sound = np.random.default_rng(0), (FLAC, b"sound")
    listed = [[member(name, kind, ".."), sound] for kind in KINDS
              for name in ("../evil", str(outside), f"LibriSpeech/{SUBSET}/../../../evil", LINK)]
    listed += [
        [member(LINK, tarfile.SYMTYPE, "../../.."), (f"{LINK}/evil", b"evil")],  # would be written through the link
        [member(FLAC, pax={"path": "../../evil"}), sound],
        [member(FLAC, tarfile.SYMTYPE, pax={"linkpath": "/etc/passwd"})],
        [(f"LibriSpeech/{SUBSET}/{'a/' * 2000}x", b"deep")], [("n" * 5000, b"long"), sound]]
    for _ in range(n_random):
        name = "/".join(rng.choice(PATH_PARTS, rng.integers(1, 6)))
        listed.append([member(name, KINDS[rng.integers(len(KINDS))], str(rng.choice(LINK_TARGETS))), sound])
    for members in listed:
        yield lambda members=members: archive(*members)

    whole = gzip.decompress(archive(sound, (f"LibriSpeech/{SUBSET}/b.flac", b"more")))
    for _ in range(n_random):
        damaged = bytearray(whole)
        for place in rng.integers(len(whole), size=rng.integers(1, 10)):
            damaged[place] = rng.integers(256)
        yield lambda damaged=damaged: compress(bytes(damaged))

    sparse = {"GNU.sparse.major": "0", "GNU.sparse.minor": "1", "GNU.sparse.map": "0,0", "GNU.sparse.name": FLAC,
              "GNU.sparse.size": str(10**12)}
    empty = b"".join(member(f"LibriSpeech/{SUBSET}/{number}").tobuf() for number in range(1000))
    yield lambda: archive((FLAC, 30 * MEGABYTE))
    yield lambda: compress(empty, 100)
    yield lambda: compress(member(FLAC, pax=sparse).tobuf(tarfile.PAX_FORMAT) + bytes(1024))
    for kind, size in ((tarfile.XHDTYPE, LARGE_MEGABYTES * 10**6), (tarfile.GNUTYPE_LONGNAME, LARGE_MEGABYTES * 10**6),
                       (tarfile.REGTYPE, 10**12)):
        header = member(FLAC, kind, size=size).tobuf(tarfile.GNU_FORMAT)
        yield lambda header=header: compress(header) + compress(MEGABYTE, LARGE_MEGABYTES)


def unpack(around, content, outside, check_message):
    """Unpack an archive: nothing may appear outside the corpus, nor anything but files and folders inside."""
    root = around / "deep" / "corpus"
    root.mkdir(parents=True)
    (root / f"{SUBSET}.tar.gz").write_bytes(content)
    checksum, refused = hashlib.sha256(content).hexdigest(), False
    try:
        download_subsets([SUBSET], root, catalogue={SUBSET: Archive(31, f"sha256:{checksum}")})
    except UserError as error:
        check_message(error)
        refused = True
    found = {*around.rglob("*")} - {around / "deep", root, root / f"{SUBSET}.tar.gz"}
    if os.path.lexists(outside) or [path for path in found if root not in path.parents]:
        outside.unlink(missing_ok=True)
        raise Lost("it wrote outside the folder")
    assert not [path for path in found if path.is_symlink() or not (path.is_file() or path.is_dir())]
    assert not (refused and found), "files of a refused archive are left"
    shutil.rmtree(around)


def test_archives(campaign, fuzz, limited_memory, quick, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    outside = tmp_path / "elsewhere" / "evil"
    for make in hostile_archives(outside, 4 if quick else 150):
        campaign.run(lambda make=make: unpack(tmp_path / "archive", make(), outside, fuzz.is_clear))
        shutil.rmtree(tmp_path / "archive", ignore_errors=True)
    campaign.record("Archives that would write elsewhere or grow without end", campaign.time_and_memory())


def refused(action, check_message):
    """Check that an action fails with an error message."""
    try:
        found = action()
    except UserError as error:
        check_message(error)
    else:
        raise Lost(f"it was accepted: {found}")


def make_lists_corpus(around):
    """Make a corpus, another one outside, and a link from the first to the second; return their folders."""
    root, elsewhere = around / "corpus", around / "elsewhere"
    noise = np.random.default_rng(0).standard_normal(32000) / 10
    for base, speaker in ((root / "train", "1"), (elsewhere / "train", "2")):
        (base / speaker / "1").mkdir(parents=True)
        soundfile.write(base / speaker / "1" / f"{speaker}-1-0.flac", noise, 16000)
    (root / "SPEAKERS.TXT").write_text("1 | F | train | 1 | One\n2 | M | train | 1 | Two\n")
    (root / "way").symlink_to(elsewhere)
    return root, elsewhere


def load_bad_files(root, check_message):
    """Load a corpus with a pipe, links to nothing, to themselves and to devices, and false headers."""
    folder = root / "train" / "1" / "1"
    os.mkfifo(folder / "1-1-1.flac")
    for number, target in enumerate(("missing", folder / "1-1-3.wav", "/dev/zero", "/dev/stdin"), start=2):
        (folder / f"1-1-{number}.wav").symlink_to(target)
    (folder / "1-1-9.flac").mkdir()
    for number, (name, content) in enumerate(files_with_false_headers().items()):
        (folder / f"1-2-{number}.{name.rpartition('.')[2]}").write_bytes(content)
    for check, in_memory in itertools.product(("samples", "headers"), (False, True)):
        table = load_corpus(root, ["train"], check=check)
        assert [name for name in table["utterance"] if name.startswith("1-1-")] == ["1-1-0"]
        try:
            speech = Speech(table, 16000, in_memory)
            for name in table["utterance"]:
                speech.excerpt(name, 0, 100)
        except UserError as error:
            check_message(error)


def test_lists(campaign, fuzz, limited_memory, tmp_path):
    root, elsewhere = make_lists_corpus(tmp_path)

    def check(action):
        campaign.run(lambda: refused(action, fuzz.is_clear))

    def restricted(name):
        pd.DataFrame({"utterance": [name]}).to_csv(tmp_path / "list.csv", index=False)
        return load_corpus(root, ["train"], utterances=tmp_path / "list.csv")

    outside = elsewhere / "train" / "2" / "1" / "2-1-0"
    names = ["../elsewhere/train/2/1/2-1-0", str(outside), f"{outside}.flac", "way/train/2/1/2-1-0", "2-1-0", "", "\0",
             "2-1-0.flac", "..", "/", "/etc/passwd", "/dev/zero", "train/../../elsewhere/train/2/1/2-1-0", "~",
             "$HOME", "1-1-0/../2-1-0", "file:///etc/passwd", "1-1-0+../x", "*", "1-1-?"]
    for name in names:
        check(lambda name=name: restricted(name))
    for subset in (*SUBSETS, str(elsewhere / "train")):
        check(lambda subset=subset: load_corpus(root, [subset]))
    table = load_corpus(root, ["train"])
    row = {"mixture": "m", "split": "unseen", "kind": "FF", "sample_rate_hz": 16000, "length": 16000, "speaker_1": "1",
           "utterance_1": "1-1-0", "start_1": 0, "gain_1": 1.0}
    for in_memory in (True, False):
        speech = Speech(table, 16000, in_memory)
        evaluation_set.load_mixture(speech, pd.Series(row))  # is accepted
        for change in (*({"utterance_1": name} for name in names), {"length": 10**13}, {"length": -1}, {"length": 0},
                       {"start_1": -5}, {"start_1": 10**13}, {"gain_1": float("nan")}, {"gain_1": float("inf")}):
            check(lambda speech=speech, change=change: evaluation_set.load_mixture(speech, pd.Series(row | change)))
    campaign.run(lambda: load_bad_files(root, fuzz.is_clear))
    campaign.record("Lists that point outside the corpus", campaign.time_and_memory())

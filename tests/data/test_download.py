"""`lab41_sce.data.download`, against a local server that resumes downloads, drops connections, or ignores ranges."""

import gzip
import hashlib
import io
import random
import socket
import tarfile
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from lab41_sce.data.download import (
    ARCHIVES,
    LIBRIMIX_METADATA,
    LIBRIMIX_URL,
    Archive,
    download_metadata,
    download_subsets,
)
from lab41_sce.errors import UserError

SUBSET = "train-clean-5"
AUDIO = random.Random(0).randbytes(300_000)  # incompressible, so that the archive is as large
SPEAKERS = b"19 | F | train-clean-100 | 25.19 | Kara Shallenberg\n"


class Handler(BaseHTTPRequestHandler):
    """Serve `server.files`, with the faults that the server's settings ask for."""

    def do_GET(self):
        server = self.server
        requested = self.headers.get("Range")
        server.requested_ranges.append(requested)
        content = server.files.get(self.path)
        if content is None:
            self.send_error(404)
            return
        start = int(requested.removeprefix("bytes=").removesuffix("-")) if requested and server.resumes else 0
        if start and start >= len(content):
            self.send_error(416)
            return
        body = content[start:]
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Content-Encoding", "x-gzip")  # as some Apache servers label .tar.gz
        self.end_headers()
        cut = server.cuts.pop(0) if server.cuts else len(body)
        self.wfile.write(body[:cut])
        server.bytes_sent += len(body[:cut])

    def log_message(self, *args):
        """Keep the test output clean."""


@pytest.fixture
def server():
    """A local mirror; `cuts` lists the number of bytes after which each of the next responses breaks off."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.files, server.cuts, server.resumes = {}, [], True
    server.requested_ranges, server.bytes_sent = [], 0
    server.url = f"http://127.0.0.1:{server.server_port}"
    # The default poll of 0.5 s would make each test's shutdown wait.
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


def tar_gz(*members):
    """Make an archive of (name, content) pairs and of TarInfo objects."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for member in members:
            if isinstance(member, tarfile.TarInfo):
                tar.addfile(member)
                continue
            name, content = member
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def corpus_archive(subset=SUBSET, speakers=SPEAKERS):
    return tar_gz(
        ("LibriSpeech/SPEAKERS.TXT", speakers), (f"LibriSpeech/{subset}/19/198/19-198-0000.flac", AUDIO)
    )


def catalogue_of(content, subset=SUBSET):
    return {subset: Archive(31, "sha256:" + hashlib.sha256(content).hexdigest())}


def fetch(server, root, content, catalogue=None):
    """Serve `content` as the archive of SUBSET and download it."""
    server.files[f"/31/{SUBSET}.tar.gz"] = content
    download_subsets([SUBSET], root, server.url, catalogue=catalogue or catalogue_of(content), retry_wait_seconds=0.0)


def tree(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


COMPLETE = ["SPEAKERS.TXT", f"{SUBSET}/19/198/19-198-0000.flac"]


def test_full_download_leaves_the_corpus_and_nothing_else(server, tmp_path):
    root = tmp_path / "new" / "corpus"
    fetch(server, root, corpus_archive())
    assert tree(root) == COMPLETE
    assert (root / SUBSET / "19" / "198" / "19-198-0000.flac").read_bytes() == AUDIO
    assert (root / "SPEAKERS.TXT").read_bytes() == SPEAKERS
    assert {path.name for path in root.iterdir()} == {SUBSET, "SPEAKERS.TXT"}


@pytest.mark.parametrize("place", [1e-6, 0.001, 0.01, 0.1, 0.3, 0.5, 0.7, 0.9, 0.999, 0.999999])
def test_resumes_after_a_cut(server, tmp_path, place):
    content = corpus_archive()
    cut = max(1, min(len(content) - 1, round(place * len(content))))
    server.cuts = [cut]
    fetch(server, tmp_path, content)
    assert tree(tmp_path) == COMPLETE
    assert server.requested_ranges == [None, f"bytes={cut}-"]
    assert server.bytes_sent == len(content)


def test_many_dropped_connections_are_retried_while_data_arrives(server, tmp_path):
    server.cuts = [10_000] * 12
    fetch(server, tmp_path, corpus_archive())
    assert tree(tmp_path) == COMPLETE


def test_gives_up_when_nothing_arrives_and_keeps_the_part(server, tmp_path):
    server.cuts = [1000] + [0] * 10
    with pytest.raises(UserError, match="could not be reached"):
        fetch(server, tmp_path, corpus_archive())
    assert len(server.requested_ranges) == 4
    assert (tmp_path / f"{SUBSET}.tar.gz.part").stat().st_size == 1000


def test_continues_the_part_of_an_earlier_run(server, tmp_path):
    content = corpus_archive()
    (tmp_path / f"{SUBSET}.tar.gz.part").write_bytes(content[:1000])
    fetch(server, tmp_path, content)
    assert tree(tmp_path) == COMPLETE
    assert server.requested_ranges == ["bytes=1000-"]


def test_complete_part_is_not_sent_again(server, tmp_path):
    content = corpus_archive()
    (tmp_path / f"{SUBSET}.tar.gz.part").write_bytes(content)
    fetch(server, tmp_path, content)
    assert tree(tmp_path) == COMPLETE
    assert server.bytes_sent == 0


def test_starts_over_where_the_server_cannot_resume(server, tmp_path):
    content = corpus_archive()
    server.resumes, server.cuts = False, [len(content) // 2]
    fetch(server, tmp_path, content)
    assert tree(tmp_path) == COMPLETE
    assert server.bytes_sent == len(content) // 2 + len(content)


def test_wrong_checksum_is_refused_and_removed(server, tmp_path):
    with pytest.raises(UserError, match="damaged and has been deleted") as caught:
        fetch(server, tmp_path, corpus_archive(), catalogue_of(b"something else"))
    assert hashlib.sha256(b"something else").hexdigest() in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_an_archive_downloaded_by_hand_is_used(server, tmp_path):
    content = corpus_archive()
    (tmp_path / f"{SUBSET}.tar.gz").write_bytes(content)
    fetch(server, tmp_path, content)
    assert tree(tmp_path) == COMPLETE
    assert server.requested_ranges == []


def link(kind):
    info = tarfile.TarInfo(f"LibriSpeech/{SUBSET}/link")
    info.type, info.linkname = kind, "../../../evil"
    return info


@pytest.mark.parametrize(
    "bad",
    [
        ("../evil", b"evil"),
        ("LibriSpeech/../../../evil", b"evil"),
        ("..\\evil", b"evil"),
        ("C:evil", b"evil"),
        link(tarfile.SYMTYPE),
        link(tarfile.LNKTYPE),
        link(tarfile.CHRTYPE),
    ],
    ids=lambda bad: getattr(bad, "type", bad[0] if isinstance(bad, tuple) else bad),
)
def test_unsafe_archive_is_refused_and_writes_nothing(server, tmp_path, bad):
    root = tmp_path / "deep" / "corpus"
    with pytest.raises(UserError, match="could not be unpacked"):
        fetch(server, root, tar_gz((f"LibriSpeech/{SUBSET}/a.flac", AUDIO), bad))
    assert list(root.iterdir()) == []
    assert tree(tmp_path) == []


def test_absolute_member_is_refused(server, tmp_path):
    root = tmp_path / "corpus"
    with pytest.raises(UserError, match="outside the archive"):
        fetch(server, root, tar_gz((str(tmp_path / "evil"), b"evil")))
    assert tree(tmp_path) == []


def test_archive_that_grows_without_end_is_refused(server, tmp_path):
    """A few kilobytes unpack to 30 MB, which no recording does."""
    zeros = (f"LibriSpeech/{SUBSET}/19/198/19-198-0000.flac", bytes(30_000_000))
    with pytest.raises(UserError, match="could not be unpacked and has been deleted .*times its own size"):
        fetch(server, tmp_path, tar_gz(zeros))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", [tarfile.XHDTYPE, tarfile.GNUTYPE_LONGNAME], ids=["pax", "long name"])
def test_a_header_that_grows_without_end_is_refused(server, tmp_path, kind):
    """It is no file: tarfile would keep it in memory."""
    info = tarfile.TarInfo("long")
    info.type, info.size = kind, 30_000_000
    content = gzip.compress(info.tobuf(tarfile.GNU_FORMAT) + bytes(info.size))
    with pytest.raises(UserError, match="times its own size"):
        fetch(server, tmp_path, content)
    assert list(tmp_path.iterdir()) == []


def test_a_member_with_an_impossible_time_is_an_error(server, tmp_path):
    info = tarfile.TarInfo(f"LibriSpeech/{SUBSET}/a.flac")
    info.mtime = 10**30
    with pytest.raises(UserError, match="could not be unpacked"):
        fetch(server, tmp_path, tar_gz(info))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "content",
    [b"no archive", corpus_archive()[:100_000], corpus_archive("another-subset")],
    ids=["not an archive", "truncated", "without the subset"],
)
def test_bad_archive_is_one_clear_error_and_leaves_nothing(server, tmp_path, content):
    with pytest.raises(UserError, match=f"{SUBSET}.tar.gz could not be unpacked and has been deleted"):
        fetch(server, tmp_path, content)
    assert list(tmp_path.iterdir()) == []


def test_unpacked_subset_is_skipped_without_a_request(server, tmp_path):
    fetch(server, tmp_path, corpus_archive())
    server.requested_ranges.clear()
    fetch(server, tmp_path, corpus_archive())
    assert server.requested_ranges == []


def test_remains_of_a_killed_run_do_not_reach_the_corpus(server, tmp_path):
    stale = tmp_path / f"{SUBSET}.unpacking" / "LibriSpeech" / SUBSET / "half.flac"
    stale.parent.mkdir(parents=True)
    stale.write_bytes(b"half")
    fetch(server, tmp_path, corpus_archive())
    assert tree(tmp_path) == COMPLETE


def test_the_longer_list_of_speakers_stays(server, tmp_path):
    (tmp_path / "SPEAKERS.TXT").write_bytes(SPEAKERS * 2)
    fetch(server, tmp_path, corpus_archive())
    assert (tmp_path / "SPEAKERS.TXT").read_bytes() == SPEAKERS * 2


def test_the_error_without_a_connection_names_the_remedies(tmp_path):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))  # bound but not listening: connections are refused
        url = f"http://127.0.0.1:{unused.getsockname()[1]}"
        with pytest.raises(UserError, match="could not be reached") as caught:
            download_subsets([SUBSET], tmp_path, url, retry_wait_seconds=0.0)
    for hint in (f"{url}/31/{SUBSET}.tar.gz", "connect to the internet", "by hand", "corpus.root"):
        assert hint in str(caught.value)


def test_a_missing_file_is_requested_once(server, tmp_path):
    with pytest.raises(UserError, match="HTTP status 404"):
        download_subsets([SUBSET], tmp_path, server.url, retry_wait_seconds=0.0)
    assert server.requested_ranges == [None]


def test_unknown_subset_names_the_known_ones(tmp_path):
    root = tmp_path / "corpus"
    with pytest.raises(UserError, match="no LibriSpeech subset 'train-clean-6' to download") as caught:
        download_subsets([SUBSET, "train-clean-6"], root)
    assert all(name in str(caught.value) for name in ARCHIVES)
    assert not root.exists()


def test_a_root_that_cannot_be_written_is_an_error(server, tmp_path):
    root = tmp_path / "corpus"
    root.write_text("a file where the folder should be")
    with pytest.raises(UserError, match="could not be written"):
        fetch(server, root, corpus_archive())


def test_failing_write_keeps_the_part(server, tmp_path):
    resource = pytest.importorskip("resource", reason="limits on file sizes exist on Unix only")
    archive = corpus_archive()  # made once: a second archive would contain another time
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))  # stands in for a full disk
    try:
        with pytest.raises(UserError, match=r"could not be written .* make room"):
            fetch(server, tmp_path, archive)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert (tmp_path / f"{SUBSET}.tar.gz.part").stat().st_size == 100_000
    fetch(server, tmp_path, archive)
    assert tree(tmp_path) == COMPLETE


METADATA = b"mixture_ID,source_1_path\n"


def fetch_metadata(server, root, content=METADATA, name="libri2mix_test-clean"):
    """Serve `content` as a metadata file of LibriMix and download it; the checksum is that of `METADATA`."""
    server.files["/Libri2Mix/libri2mix_test-clean.csv"] = content
    download_metadata([name], root, server.url, catalogue={name: hashlib.sha256(METADATA).hexdigest()},
                      retry_wait_seconds=0.0)


def test_metadata_is_downloaded_once(server, tmp_path):
    server.cuts = [5]
    fetch_metadata(server, tmp_path / "new")
    assert (tmp_path / "new" / "libri2mix_test-clean.csv").read_bytes() == METADATA
    fetch_metadata(server, tmp_path / "new")
    assert server.requested_ranges == [None, "bytes=5-"]
    assert [path.name for path in (tmp_path / "new").glob("libri*")] == ["libri2mix_test-clean.csv"]


def test_other_metadata_is_refused(server, tmp_path):
    with pytest.raises(UserError, match="libri2mix_test-clean.csv.part was damaged and has been deleted"):
        fetch_metadata(server, tmp_path, b"other")
    assert not [*tmp_path.glob("libri*")]
    (tmp_path / "libri2mix_test-clean.csv").write_bytes(b"of the user")
    with pytest.raises(UserError, match="is not the file of LibriMix; move it to another place"):
        fetch_metadata(server, tmp_path)
    assert (tmp_path / "libri2mix_test-clean.csv").read_bytes() == b"of the user"


def test_missing_metadata_is_one_sentence(server, tmp_path):
    with pytest.raises(UserError, match=r"Libri3Mix/libri3mix_dev-clean.csv could not be reached \(HTTP status 404\).*"
                                        r"by hand to .*libri3mix_dev-clean.csv\.$"):
        fetch_metadata(server, tmp_path, name="libri3mix_dev-clean")


def test_the_metadata_are_those_of_one_commit():
    assert LIBRIMIX_URL.count("b898ca375c03e4039cdb3dbe3dd485aad58ec7d1") == 1
    assert {*LIBRIMIX_METADATA} == {f"libri{n}mix_{part}-clean" for n in (2, 3) for part in ("dev", "test")}
    assert all(len(bytes.fromhex(checksum)) == 32 for checksum in LIBRIMIX_METADATA.values())

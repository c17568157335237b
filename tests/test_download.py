"""Downloads from servers that break off, refuse, lie, stall or fail; archives; two threads at once."""

import hashlib
import io
import re
import socket
import tarfile
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from slurm_cluster import wait_for

from repro.data.downloads import download, transfer
from repro.data.downloads.archives import unpack
from repro.errors import RunFailed, UserError

FILE = bytes(range(256)) * 400
MD5 = hashlib.md5(FILE).hexdigest()
WHOLE, BREAKS, NO_RANGE, WRONG, BUSY, STALLS, ABSENT, SHIFTED = range(8)


class Server:
    """Answers each request for a file by the next behaviour of its name; the last one stays."""

    def __init__(self) -> None:
        self.plans: dict[str, list[int]] = {}
        self.content = FILE
        self.ranges: list[str | None] = []
        """The Range header of each request."""
        self.release = threading.Event()
        self.address = ""

    def url(self, name: str, *plan: int) -> str:
        self.plans[name] = list(plan)
        return f"{self.address}/{name}"

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        plan = self.plans[request.path.lstrip("/")]
        what = plan.pop(0) if len(plan) > 1 else plan[0]
        asked = request.headers.get("Range")
        self.ranges.append(asked)
        if what in (BUSY, ABSENT):
            return request.send_error(503 if what == BUSY else 404)
        content = FILE[::-1] if what == WRONG else self.content
        begin = int(asked.removeprefix("bytes=").rstrip("-")) if asked and what != NO_RANGE else 0
        if begin >= len(content) and asked:
            return request.send_error(416)
        request.send_response(206 if asked and what != NO_RANGE else 200)
        request.send_header("Content-Length", str(len(content) - begin))
        if asked and what != NO_RANGE:
            first = begin + (what == SHIFTED)
            request.send_header("Content-Range", f"bytes {first}-{len(content) - 1}/{len(content)}")
        request.end_headers()
        end = begin + 30_000 if what in (BREAKS, STALLS) else None
        request.wfile.write(content[begin:end])
        if what == STALLS:
            request.wfile.flush()
            self.release.wait(60)
        return None


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            made.answer(self)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as httpd:
        thread = threading.Thread(target=httpd.serve_forever, args=(0.01,))
        thread.start()
        made.address = f"http://127.0.0.1:{httpd.server_port}"
        yield made
        made.release.set()
        httpd.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def no_pauses_and_no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download, "PAUSES", (0.001, 0.001))
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)


def names(folder: Path) -> list[str]:
    """Return the names in a folder without locks."""
    return sorted(path.name for path in folder.iterdir() if path.suffix != ".lock")


def test_a_broken_download_continues_where_it_broke_off(server: Server, tmp_path: Path) -> None:
    download.fetch_file([server.url("file", BREAKS)], MD5, tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == FILE
    assert server.ranges == [None, "bytes=30000-", "bytes=60000-", "bytes=90000-"]
    assert names(tmp_path) == ["file"]


def test_an_interrupted_download_is_resumed_by_the_next_command(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(download, "checksum", interrupted)
        patch.setattr(download, "transfer", only_once)
        with pytest.raises(KeyboardInterrupt):
            download.fetch_file([server.url("file", BREAKS)], MD5, tmp_path / "file")
    assert (tmp_path / "file.part").read_bytes() == FILE[:30_000]
    download.fetch_file([server.url("file", WHOLE)], MD5, tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == FILE
    assert server.ranges[1:] == ["bytes=30000-"]


def only_once(url: str, part: Path, name: str) -> None:
    try:
        transfer.transfer(url, part, name)
    except transfer.Broken:
        raise KeyboardInterrupt from None


def interrupted(*_: object) -> str:
    raise AssertionError("the file is not complete")


def test_a_part_that_is_complete_is_verified_and_not_transferred_again(server: Server, tmp_path: Path) -> None:
    (tmp_path / "file.part").write_bytes(FILE)
    download.fetch_file([server.url("file", WHOLE)], MD5, tmp_path / "file")
    assert server.ranges == [f"bytes={len(FILE)}-"]
    assert (tmp_path / "file").read_bytes() == FILE


@pytest.mark.parametrize("part", [b"other" * 1000, FILE + b"more"])
def test_a_wrong_part_is_replaced(server: Server, tmp_path: Path, part: bytes) -> None:
    (tmp_path / "file.part").write_bytes(part)
    download.fetch_file([server.url("file", WHOLE)], MD5, tmp_path / "file")
    assert server.ranges == [f"bytes={len(part)}-", None]
    assert (tmp_path / "file").read_bytes() == FILE


def test_a_server_without_range_sends_the_whole_file_again(server: Server, tmp_path: Path) -> None:
    download.fetch_file([server.url("file", BREAKS, NO_RANGE)], MD5, tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == FILE
    assert server.ranges == [None, "bytes=30000-"]


def test_a_server_that_sends_another_range_is_refused(server: Server, tmp_path: Path) -> None:
    with pytest.raises(RunFailed, match=r"it sent the range 'bytes 30001-102399/102400' instead of the bytes from 30"):
        download.fetch_file([server.url("file", BREAKS, SHIFTED)], MD5, tmp_path / "file")
    assert (tmp_path / "file.part").read_bytes() == FILE[:30_000]


def test_a_busy_server_is_asked_again(server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    download.fetch_file([server.url("file", BUSY, BUSY, WHOLE)], MD5, tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == FILE
    assert capsys.readouterr().err.count("503 Service Unavailable; trying again in 0 s") == 2


def test_a_server_that_stays_busy_is_given_up_and_the_part_stays(server: Server, tmp_path: Path) -> None:
    with pytest.raises(RunFailed, match=r"file is not in .* cannot be downloaded \(127\.0\.0\.1:\d+: 503 Service Unav"):
        download.fetch_file([server.url("file", BREAKS, BUSY)], MD5, tmp_path / "file")
    assert len(server.ranges) == 2 + 2
    assert names(tmp_path) == ["file.part"]


def test_a_stalled_server_is_left_after_a_while(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a busy machine the good answer may come too late as well, and is asked for again."""
    monkeypatch.setattr(transfer, "TIMEOUT_SECONDS", 0.5)
    download.fetch_file([server.url("file", STALLS, WHOLE)], MD5, tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == FILE
    assert server.ranges[0] is None
    assert {*server.ranges[1:]} == {"bytes=30000-"}


def test_the_next_mirror_is_used_when_one_has_no_file_or_a_wrong_one(server: Server, tmp_path: Path) -> None:
    urls = [server.url("absent", ABSENT), server.url("lies", WRONG), server.url("good", WHOLE)]
    download.fetch_file(urls, MD5, tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == FILE
    assert len(server.ranges) == 3


def test_a_mirror_without_the_file_is_not_asked_again(server: Server, tmp_path: Path) -> None:
    urls = [server.url("absent", ABSENT), server.url("lies", WRONG)]
    with pytest.raises(RunFailed, match=r"404 Not Found; 127\..*: MD5 .* instead of the published .* put it there by"):
        download.fetch_file(urls, MD5, tmp_path / "file")
    assert len(server.ranges) == 2
    assert names(tmp_path) == []


def test_without_a_network_nothing_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def unknown(*_: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    with pytest.raises(RunFailed, match=r"cannot be downloaded \(host\.invalid: .*not known\); put it there by hand"):
        download.fetch_file(["http://host.invalid/file"], MD5, tmp_path / "file")
    assert "trying again" not in capsys.readouterr().err


def test_a_full_disk_is_not_taken_for_a_broken_connection(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space"):
        download.fetch_file([server.url("file", WHOLE)], MD5, tmp_path / "file")
    assert len(server.ranges) == 1


def test_two_threads_download_a_file_once(server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    urls = [server.url("file", STALLS, WHOLE)]
    threads = [threading.Thread(target=download.fetch_file, args=(urls, MD5, tmp_path / "file")) for _ in range(2)]
    for each in threads:
        each.start()
    wait_for("the second thread", lambda: "waiting for the download of file by" in capsys.readouterr().err, 60)
    server.release.set()
    for each in threads:
        each.join()
    assert (tmp_path / "file").read_bytes() == FILE
    assert server.ranges == [None, "bytes=30000-"]


def archive_of(*members: tarfile.TarInfo | str) -> bytes:
    """Return a tar archive; a name is a file with the content `pixels`."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for each in members:
            if isinstance(each, tarfile.TarInfo):
                tar.addfile(each)
            else:
                entry = tarfile.TarInfo(each)
                entry.size = 6
                tar.addfile(entry, io.BytesIO(b"pixels"))
    return buffer.getvalue()


def special(name: str, kind: bytes, target: str = "") -> tarfile.TarInfo:
    made = tarfile.TarInfo(name)
    made.type, made.linkname = kind, target
    return made


def sparse(name: str) -> tarfile.TarInfo:
    """Return a file of a terabyte that takes no room in an archive."""
    made = tarfile.TarInfo(name)
    made.pax_headers = {"GNU.sparse.major": "0", "GNU.sparse.size": str(1 << 40), "GNU.sparse.map": "0,0"}
    return made


def fetch(server: Server, archive: bytes, root: Path) -> None:
    server.content = archive
    download.fetch_archive([server.url("set.tar.gz", WHOLE)], hashlib.md5(archive).hexdigest(), root, "set")


def test_an_archive_is_unpacked_and_removed(server: Server, tmp_path: Path) -> None:
    (tmp_path / ".unpacking-set.tar.gz" / "set").mkdir(parents=True)
    (tmp_path / ".unpacking-set.tar.gz" / "set" / "old").touch()  # of a killed process
    fetch(server, archive_of(special("set", tarfile.DIRTYPE), "set/train", "set/test"), tmp_path)
    assert names(tmp_path) == ["set"]
    assert names(tmp_path / "set") == ["test", "train"]
    assert (tmp_path / "set" / "train").read_bytes() == b"pixels"
    fetch(server, b"", tmp_path)  # it is there
    assert len(server.ranges) == 1


@pytest.mark.parametrize(
    "member",
    [
        "../escaped",
        "/escaped",
        "set/../../escaped",
        "set/deep/test",
        "set/a\nb",
        f"set/{'a' * 300}",
        f"{'long/' * 900}../escaped",
        sparse("set/sparse"),
        special("set/link", tarfile.SYMTYPE, "/etc/passwd"),
        special("set/hard", tarfile.LNKTYPE, "set/train"),
        special("set/pipe", tarfile.FIFOTYPE),
        special("set/device", tarfile.CHRTYPE),
    ],
    ids=lambda each: getattr(each, "name", each)[-12:],
)
def test_only_regular_files_with_plain_names_are_unpacked(
    server: Server, tmp_path: Path, member: tarfile.TarInfo | str
) -> None:
    name = re.escape(repr(getattr(member, "name", member)[:255])).replace(r"\\n", r"\\+n")
    with pytest.raises(UserError, match=rf"set\.tar\.gz .*{name} is not a regular file with a plain name.*nothing"):
        fetch(server, archive_of("set/train", member), tmp_path / "root")
    assert names(tmp_path / "root") == ["set.tar.gz.part"]
    assert names(tmp_path) == ["root"]


def test_an_empty_archive_is_refused_and_an_empty_folder_hides_none(server: Server, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"set\.tar\.gz is not the expected archive of set \(it has no files\)"):
        fetch(server, archive_of(), tmp_path)
    (tmp_path / "set").mkdir()
    (tmp_path / "set.tar.gz.part").unlink()
    fetch(server, archive_of("set/train"), tmp_path)
    assert names(tmp_path / "set") == ["train"]


def test_an_archive_of_another_folder_is_refused(server: Server, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"set\.tar\.gz is not the expected archive of set"):
        fetch(server, archive_of("other/train"), tmp_path)


def test_a_file_is_not_written_through_a_link(tmp_path: Path) -> None:
    (tmp_path / "archive").write_bytes(archive_of(special("set", tarfile.SYMTYPE, str(tmp_path)), "set/train"))
    with tarfile.open(tmp_path / "archive") as tar, pytest.raises(tarfile.ReadError, match="'set' is not a regular"):
        unpack(tar, tmp_path / "into")
    assert not (tmp_path / "train").exists()

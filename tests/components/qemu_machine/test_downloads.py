"""Images by URL: a real server, real files, and every way in which there is no image in the end."""

import asyncio
import hashlib
import http.server
import os
import pathlib
import resource
import socket
import subprocess
import threading
from collections.abc import Iterator

import pytest

from components.errors import ImageError
from components.places import image_file, image_folder
from components.qemu_machine import downloads, images
from components.qemu_machine.images import Image
from components.qemu_machine.searches import ImageSearches
from tests.waiting import until

MIB = 1024 * 1024
QCOW2 = b"QFI\xfb" + os.urandom(3 * MIB)


class Server(http.server.ThreadingHTTPServer):
    """Serves what `bodies` holds, and can be told to stop in the middle, to lie, or to lead elsewhere."""

    daemon_threads = False

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.bodies: dict[str, bytes] = {"/debian-12.qcow2": QCOW2}
        self.redirects: dict[str, str] = {}
        self.announced_bytes = 0
        self.asked: list[str] = []
        self.half = threading.Event()
        """Half of a body was sent."""
        self.go = threading.Event()
        """The other half may follow."""
        self.go.set()

    def url(self, path: str = "/debian-12.qcow2", body: bytes = QCOW2) -> str:
        """As a stack file has it."""
        return f"http://127.0.0.1:{self.server_address[1]}{path}#sha256={hashlib.sha256(body).hexdigest()}"


class Handler(http.server.BaseHTTPRequestHandler):
    """One request."""

    server: Server

    def do_GET(self) -> None:
        """Answer it."""
        self.server.asked.append(self.path)
        if self.path in self.server.redirects:
            self.send_response(302)
            self.send_header("Location", self.server.redirects[self.path])
            self.end_headers()
            return
        if self.path not in self.server.bodies:
            self.send_error(404)
            return
        body = self.server.bodies[self.path]
        self.send_response(200)
        self.send_header("Content-Length", str(self.server.announced_bytes or len(body)))
        self.end_headers()
        half = len(body) // 2
        self.wfile.write(body[:half])
        self.server.half.set()
        assert self.server.go.wait(20)
        self.wfile.write(body[half:])

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class names it
        """Say nothing."""


@pytest.fixture
def server() -> Iterator[Server]:
    """One with the image at /debian-12.qcow2."""
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.go.set()
        server.shutdown()
        thread.join()


def nobody(words: str) -> None:
    """Hears of the progress."""


def kept() -> list[str]:
    """What lies in the folder of images."""
    folder = image_folder("x").parent
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


def test_an_image_is_downloaded_once_and_only_to_be_read(server: Server) -> None:
    said: list[str] = []

    first = images.find(server.url(), said.append)
    again = images.find(server.url(), said.append)

    assert first == again == Image(image_file(hashlib.sha256(QCOW2).hexdigest()))
    assert first.disk.read_bytes() == QCOW2
    assert first.disk.stat().st_mode & 0o777 == 0o444
    assert image_folder("x").parent.stat().st_mode & 0o777 == 0o755
    assert server.asked == ["/debian-12.qcow2"]
    assert said == ["downloading debian-12.qcow2"]
    assert kept() == [first.disk.name]


def test_the_same_image_from_elsewhere_is_not_downloaded_again(server: Server) -> None:
    images.find(server.url(), nobody)
    images.find(server.url("/mirror/debian-12.qcow2"), nobody)
    assert server.asked == ["/debian-12.qcow2"]


def test_how_far_it_is_is_said(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(downloads, "_SAY_EVERY_S", 0.0)
    said: list[str] = []
    images.find(server.url(), said.append)
    assert said[1:] == [f"downloading debian-12.qcow2: {done} of 3 MiB" for done in (1, 2, 3, 3)]


def test_another_digest_is_an_error_that_names_both_and_nothing_is_kept(server: Server) -> None:
    with pytest.raises(ImageError) as caught:
        images.find(server.url(body=b"else"), nobody)
    said = str(caught.value)
    assert f"it has sha256 {hashlib.sha256(QCOW2).hexdigest()}, and {hashlib.sha256(b'else').hexdigest()}" in said
    assert "correct the URL, or what stands behind #sha256=" in said
    assert kept() == []


def test_what_is_no_qcow2_is_refused_although_its_digest_is_right(server: Server) -> None:
    page = b"<html>Please log in</html>"
    server.bodies["/page"] = page
    with pytest.raises(ImageError, match=r"/page: it is no qcow2; a file that `qemu-img info` calls one is"):
        images.find(server.url("/page", page), nobody)
    assert kept() == []


def test_a_server_without_it_is_named_with_what_it_answers(server: Server) -> None:
    with pytest.raises(ImageError, match=r"the image http://127.*/nothing: the server answers 404 Not Found"):
        images.find(server.url("/nothing"), nobody)
    assert kept() == []


def test_a_server_that_is_not_there_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        closed = listener.getsockname()[1]
    with pytest.raises(ImageError, match=r"not reached: .*refused"):
        images.find(f"http://127.0.0.1:{closed}/d12.qcow2#sha256={'0' * 64}", nobody)


def test_a_silent_server_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(downloads, "SILENCE_LIMIT_S", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        with pytest.raises(ImageError, match="the server was silent for 0 s"):
            images.find(f"http://127.0.0.1:{port}/d12.qcow2#sha256={'0' * 64}", nobody)


def test_a_download_that_breaks_off_leaves_nothing_and_can_be_asked_for_again(server: Server) -> None:
    server.announced_bytes = len(QCOW2) + 1
    with pytest.raises(ImageError, match=rf"broke off after {len(QCOW2)} of {len(QCOW2) + 1} bytes"):
        images.find(server.url(), nobody)
    assert kept() == []
    server.announced_bytes = 0
    assert images.find(server.url(), nobody).disk.read_bytes() == QCOW2


def test_a_mirror_is_followed_but_not_out_of_tls(server: Server) -> None:
    server.redirects = {"/near": "/debian-12.qcow2", "/far": "http://example.org/debian-12.qcow2"}
    with pytest.raises(ImageError, match=r"/far: leads to http://example\.org/.*; an https:// URL is fetched"):
        images.find(server.url("/far"), nobody)
    assert images.find(server.url("/near"), nobody).disk.read_bytes() == QCOW2


def test_two_processes_do_not_download_the_same_at_once(server: Server) -> None:
    """Locks of open files hold between threads as they do between processes."""
    server.go.clear()
    said: list[list[str]] = [[], []]
    found: list[Image] = []
    threads = [
        threading.Thread(target=lambda words=words: found.append(images.find(server.url(), words.append)))
        for words in said
    ]
    threads[0].start()
    assert server.half.wait(20)
    assert not image_file(hashlib.sha256(QCOW2).hexdigest()).exists(), "whole or not at all"
    threads[1].start()
    until(lambda: said[1] == ["somebody else downloads this image already: waiting"])
    server.go.set()
    for thread in threads:
        thread.join()
    assert found[0] == found[1]
    assert server.asked == ["/debian-12.qcow2"]
    assert kept() == [found[0].disk.name]


def test_who_waited_for_a_download_that_failed_tries_it_again(server: Server) -> None:
    server.go.clear()
    server.announced_bytes = len(QCOW2) + 1
    said: list[str] = []
    failed: list[ImageError] = []

    def first() -> None:
        with pytest.raises(ImageError) as caught:
            images.find(server.url(), nobody)
        failed.append(caught.value)

    one = threading.Thread(target=first)
    two = threading.Thread(target=images.find, args=(server.url(), said.append))
    one.start()
    assert server.half.wait(20)
    two.start()
    until(lambda: len(said) == 1)
    server.announced_bytes = 0
    server.go.set()
    one.join()
    two.join()
    assert len(failed) == 1
    assert server.asked == ["/debian-12.qcow2"] * 2
    assert image_file(hashlib.sha256(QCOW2).hexdigest()).read_bytes() == QCOW2


def test_what_a_killed_download_left_is_not_in_the_way(server: Server) -> None:
    part = image_folder(f".{image_file(hashlib.sha256(QCOW2).hexdigest()).name}.part")
    part.parent.mkdir(mode=0o755)
    part.write_bytes(b"x" * (5 * MIB))
    assert images.find(server.url(), nobody).disk.read_bytes() == QCOW2
    assert not part.exists()


def test_nothing_is_kept_where_others_write(server: Server, tmp_path: pathlib.Path) -> None:
    folder = image_folder("x").parent
    folder.mkdir()
    folder.chmod(0o777)
    with pytest.raises(ImageError, match="others may write to it; remove it"):
        images.find(server.url(), nobody)
    folder.rmdir()
    (tmp_path / "elsewhere").mkdir(mode=0o755)
    folder.symlink_to(tmp_path / "elsewhere")
    assert images.find(server.url(), nobody).disk.read_bytes() == QCOW2, "whoever runs machines may lead elsewhere"


def test_one_that_never_ends_is_given_up(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(downloads, "SIZE_LIMIT_BYTES", MIB)
    with pytest.raises(ImageError, match="larger than 1 MiB"):
        images.find(server.url(), nobody)
    assert kept() == []


def test_what_cannot_be_written_is_said_and_nothing_is_kept(server: Server) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (MIB, hard))
    try:
        with pytest.raises(ImageError, match=r"debian-12\.qcow2 cannot be kept: File too large: /"):
            images.find(server.url(), nobody)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert kept() == []


def test_machines_of_a_fleet_share_one_download_and_hear_how_far_it_is(server: Server) -> None:
    said: list[str] = []

    async def say(words: str) -> None:
        said.append(words)

    async def fleet() -> list[Image]:
        searches = ImageSearches()
        return await asyncio.gather(*(searches.find(server.url(), say) for _ in range(16)))

    found = asyncio.run(fleet())
    assert len(set(found)) == 1
    assert server.asked == ["/debian-12.qcow2"]
    assert said == ["downloading debian-12.qcow2"] * 16


def test_machines_of_a_fleet_share_a_failure_and_the_next_update_asks_again(server: Server) -> None:
    async def say(words: str) -> None:
        del words

    async def fleet() -> list[Image | BaseException]:
        searches = ImageSearches()
        first = await asyncio.gather(
            *(searches.find(server.url("/late"), say) for _ in range(3)), return_exceptions=True
        )
        server.bodies["/late"] = QCOW2
        return [*first, await searches.find(server.url("/late"), say)]

    *failed, found = asyncio.run(fleet())
    assert all(isinstance(one, ImageError) for one in failed)
    assert isinstance(found, Image)
    assert server.asked == ["/late"] * 2


@pytest.mark.vm
def test_a_real_qcow2_arrives_as_one(server: Server, tmp_path: pathlib.Path) -> None:
    made = tmp_path / "made.qcow2"
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", made, "16M"], check=True)
    server.bodies["/made.qcow2"] = made.read_bytes()
    found = images.find(server.url("/made.qcow2", made.read_bytes()), nobody)
    subprocess.run(["qemu-img", "check", "-q", found.disk], check=True)

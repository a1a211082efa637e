"""The official download, as far as it can be seen without the internet: above all how it fails."""

import http.server
import pathlib
import socket
import sys
import threading
import time
from collections.abc import Iterator

import pytest

from tools.engine import download
from tools.engine.errors import EngineError

PYTHON = pathlib.Path(sys.executable)


@pytest.fixture
def silent_server() -> Iterator[str]:
    """Takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/"


@pytest.fixture
def empty_server() -> Iterator[str]:
    """Answers every question with 404."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}/"
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_server_that_refuses_fails_at_once(tmp_path: pathlib.Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        closed = listener.getsockname()[1]
    with pytest.raises(EngineError, match=r"http://127\.0\.0\.1:\d+/ not reached: .*refused"):
        download.fetch(tmp_path, "3.259.0", PYTHON, server=f"http://127.0.0.1:{closed}/")


def test_a_server_that_never_answers_is_given_up_within_the_limit(
    tmp_path: pathlib.Path, silent_server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(download, "PROBE_TIME_LIMIT_S", 1.0)
    started = time.monotonic()
    with pytest.raises(EngineError, match="not reached within 1 s"):
        download.fetch(tmp_path, "3.259.0", PYTHON, server=silent_server)
    assert time.monotonic() - started < 10


def test_a_server_without_the_installer_is_an_error_of_one_line(tmp_path: pathlib.Path, empty_server: str) -> None:
    with pytest.raises(EngineError) as caught:
        download.fetch(tmp_path, "3.259.0", PYTHON, server=empty_server)
    assert "\n" not in str(caught.value)


def test_a_failed_download_leaves_nothing_behind(tmp_path: pathlib.Path, empty_server: str) -> None:
    with pytest.raises(EngineError):
        download.fetch(tmp_path, "3.259.0", PYTHON, server=empty_server)
    assert list(tmp_path.iterdir()) == []


def test_an_earlier_download_is_used_again(tmp_path: pathlib.Path) -> None:
    binary = download.folder(tmp_path, "3.259.0") / "bin" / "pulumi"
    binary.parent.mkdir(parents=True)
    binary.write_text("#!/bin/sh\necho v3.259.0\n")
    binary.chmod(0o755)
    found = download.cached(tmp_path, "3.259.0")
    assert found is not None
    assert (found.source, found.binary) == ("download", binary)


def test_without_an_earlier_download_there_is_none(tmp_path: pathlib.Path) -> None:
    assert download.cached(tmp_path, "3.259.0") is None

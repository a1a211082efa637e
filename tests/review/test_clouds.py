"""Fleets of both vendors: the engine's preview of a branch and its stack file alone lead to the same review."""

import dataclasses
import http.server
import threading
import typing
from collections.abc import Callable, Iterator

import pytest

from tests.clouds.standin import launchers
from tests.review.cases import RENDER
from tests.review.repository import TestRepository, replaced

pytestmark = [pytest.mark.engine, pytest.mark.timeout(300)]
BOTH = "stacks/Pulumi.both.yaml"


class PublicList(http.server.BaseHTTPRequestHandler):
    """What Linode tells everybody, and all that a preview asks."""

    asked: typing.ClassVar[set[str]] = set()
    headers_seen: typing.ClassVar[list[str]] = []

    def do_GET(self) -> None:
        self.asked.add(self.path.split("?")[0])
        self.headers_seen.append(str(self.headers))
        data = b'{"data": [], "page": 1, "pages": 1, "results": 0}'
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        """Nothing: a log is no part of a test's output."""


@pytest.fixture(scope="module")
def with_plugins(repository: TestRepository, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestRepository]:
    """The repository of an engine that finds plugins of both vendors; they are stand-ins, and call nobody here."""
    folder = tmp_path_factory.mktemp("plugins")
    launchers.write(folder)
    environment = {**repository.environment, "PATH": f"{folder}:{repository.environment['PATH']}"}
    # Credentials that no review may need, and that none may see.
    environment |= {"LINODE_TOKEN": "of-the-user", "VULTR_API_KEY": "of-the-user"}
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), PublicList) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        environment["LINODE_URL"] = f"http://127.0.0.1:{server.server_port}"
        yield dataclasses.replace(repository, environment=environment)
        server.shutdown()
        thread.join()
    assert PublicList.asked == {"/v4/linode/types"}
    assert "of-the-user" not in "".join(PublicList.headers_seen)


def told(comment: str) -> list[str]:
    """A comment without its last paragraphs, which say how it came about and who was not asked."""
    return comment.partition("\n`BASE` → `HEAD`")[0].splitlines()


@pytest.mark.parametrize(
    ("name", "file", "edit", "code"),
    [
        ("vendors-grow", BOTH, replaced("nodes: 3", "nodes: 4"), 0),
        ("vendors-image", BOTH, lambda text: text.replace("debian12", "debian13").replace("2136", "2625"), 0),
        ("vendors-ssh", BOTH, replaced("sshCidrs: [203.0.113.7/32]", "sshCidrs: [203.0.113.0/24]"), 0),
        ("vendors-budget", RENDER, replaced("g6-standard-2", "g6-dedicated-8"), 2),
    ],
)
def test_a_preview_and_the_stack_file_say_the_same(
    with_plugins: TestRepository, name: str, file: str, edit: Callable[[str], str], code: int
) -> None:
    with_plugins.branch(name, {file: edit})

    previewed = with_plugins.review(name)
    static = with_plugins.review(name, "--static")

    assert (previewed.code, static.code) == (code, code), previewed.stdout + previewed.stderr
    assert told(previewed.stdout) == told(static.stdout)
    assert "of-the-user" not in previewed.stdout


def test_a_plugin_that_is_not_there_fails_the_review_and_names_the_way_out(repository: TestRepository) -> None:
    repository.branch("no-plugin", {BOTH: replaced("nodes: 3", "nodes: 2")})
    # Nobody answers there: a download must not be what a test waits for.
    environment = {**repository.environment, "HTTPS_PROXY": "http://127.0.0.1:9", "NO_PROXY": ""}

    answer = dataclasses.replace(repository, environment=environment).review("no-plugin")

    assert answer.code == 1
    assert "**the preview failed**" in answer.stdout
    assert "gaxx review --static" in answer.stdout
    assert "no rule broken" not in answer.stdout

"""A node that lies: whatever it calls its files and whatever it sends, nothing outside of the target is touched."""

import contextlib
import hashlib
import pathlib
from collections.abc import Iterator
from concurrent import futures
from typing import Any

import grpc
import pytest

from agent.proto import agent_pb2 as pb
from agent.proto.agent_pb2_grpc import AgentServicer, add_AgentServicer_to_server
from tests.tasks.files.places import Answer, make, tree
from tests.tasks.fleet import AGENT_PORT, Fleet, Machine, fleet

pytestmark = pytest.mark.engine

EMPTY = hashlib.sha256(b"").hexdigest()


def header(path: str, size: int = 0, *, mode: int = 0o644, is_directory: bool = False) -> pb.GetReply:
    return pb.GetReply(header=pb.GetReply.Header(path=path, size_bytes=size, mode=mode, is_directory=is_directory))


def whole(path: str, data: bytes, **more: Any) -> list[pb.GetReply]:
    """A file as an honest node would send it."""
    digest = hashlib.sha256(data).hexdigest()
    return [
        header(path, len(data), **more),
        pb.GetReply(data=data),
        pb.GetReply(trailer=pb.GetReply.Trailer(sha256=digest)),
    ]


class Liar(AgentServicer):
    """Sends what it was told to send, whatever it is asked for."""

    def __init__(self) -> None:
        self.replies: list[pb.GetReply] = []

    def Info(self, _request: pb.InfoRequest, _context: Any) -> pb.NodeInfo:
        return pb.NodeInfo(node="demo-1")

    def Get(self, _request: pb.GetRequest, _context: Any) -> Iterator[pb.GetReply]:
        yield from self.replies

    def Put(self, requests: Iterator[pb.PutRequest], _context: Any) -> Iterator[pb.PutReply]:
        next(requests)
        yield pb.PutReply(have_bytes=1 << 40)


@contextlib.contextmanager
def lying(machine: Machine) -> Iterator[Liar]:
    """A liar in the place of a node's agent, with that node's certificate."""
    machine.kill_agent()
    liar = Liar()
    key, certificate, authority = ((machine.folder / name).read_bytes() for name in ("tls.key", "tls.crt", "ca.crt"))
    server = grpc.server(futures.ThreadPoolExecutor(4))
    add_AgentServicer_to_server(liar, server)
    tls = grpc.ssl_server_credentials([(key, certificate)], authority, require_client_auth=True)
    server.add_secure_port(f"{machine.node.address}:{AGENT_PORT}", tls)
    server.start()
    yield liar
    server.stop(0).wait()


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Fleet, Liar]]:
    """One node, and its agent is a liar."""
    with pytest.MonkeyPatch.context() as patch:
        base = tmp_path_factory.mktemp("lying")
        for variable in ("HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_STATE_HOME", "XDG_RUNTIME_DIR"):
            patch.setenv(variable, str(base / variable.lower()))
        with fleet(base, 1) as made, lying(made.machines["demo-1"]) as liar:
            yield made, liar


def get(stack: tuple[Fleet, Liar], target: pathlib.Path, glob: str, *replies: pb.GetReply) -> Answer:
    made, liar = stack
    liar.replies = list(replies)
    return made.gaxx("get", glob, str(target))


@pytest.mark.parametrize(
    "name",
    [
        "../evil", "../../evil", "/tmp/evil", "a/../../evil", "..", ".", "", "./evil", "a//evil", "evil/", "x\0/evil",
        "a" * 300, ".gaxx-get-1/evil", "a/.gaxx-get-1/evil",
    ],
)  # fmt: skip
def test_a_name_that_leads_out_is_refused(stack: tuple[Fleet, Liar], tmp_path: pathlib.Path, name: str) -> None:
    for replies in (whole(name, b"evil"), [header(name, is_directory=True)]):
        answer = get(stack, tmp_path / "in", "*", *replies)
        assert answer.returncode == 2
        assert b"nothing more is taken from this node" in answer.stderr
        assert b"Traceback" not in answer.stderr
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["in"]


@pytest.mark.parametrize("name", ["Makefile", ".git/hooks/post-commit", "x.png.sh", "sub/1.png"])
def test_a_file_that_nobody_asked_for_is_refused(stack: tuple[Fleet, Liar], tmp_path: pathlib.Path, name: str) -> None:
    make(tmp_path, {"Makefile": b"mine"})
    answer = get(
        stack, tmp_path, "out/*.png", *whole("1.png", b"good"), *whole(name, b"evil"), *whole("2.png", b"late")
    )
    assert answer.returncode == 2
    assert b"the node sends a file that nobody asked for" in answer.stderr
    assert tree(tmp_path) == {"Makefile": (b"mine", 0o644), "1.png": (b"good", 0o644)}


def test_set_user_id_is_never_taken_over(stack: tuple[Fleet, Liar], tmp_path: pathlib.Path) -> None:
    replies = [
        *whole("x", b"x", mode=0o106755),
        header("d", mode=0o3777, is_directory=True),
        pb.GetReply(trailer=pb.GetReply.Trailer()),
    ]
    assert get(stack, tmp_path, "*", *replies).returncode == 0
    assert {path.name: path.stat().st_mode & 0o7777 for path in tmp_path.iterdir()} == {"x": 0o755, "d": 0o777}


def test_content_that_is_not_what_the_digest_says_is_refused(stack: tuple[Fleet, Liar], tmp_path: pathlib.Path) -> None:
    replies = [header("x", 4), pb.GetReply(data=b"data"), pb.GetReply(trailer=pb.GetReply.Trailer(sha256=EMPTY))]
    answer = get(stack, tmp_path, "*", *replies)
    assert answer.returncode == 2
    assert b"has not the sha256 that the node announced" in answer.stderr
    assert list(tmp_path.iterdir()) == []


def test_data_without_end_is_cut_where_the_announced_size_ends(
    stack: tuple[Fleet, Liar], tmp_path: pathlib.Path
) -> None:
    answer = get(stack, tmp_path, "*", header("x", 10), *[pb.GetReply(data=bytes(1 << 20))] * 200)
    assert answer.returncode == 2
    assert b"more came than the 10 bytes announced" in answer.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_file_larger_than_the_disk_is_not_begun(stack: tuple[Fleet, Liar], tmp_path: pathlib.Path) -> None:
    answer = get(stack, tmp_path, "*", header("x", 1 << 62), pb.GetReply(data=b"x"))
    assert answer.returncode == 3
    assert b"no space left here" in answer.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "replies",
    [
        [pb.GetReply(data=b"of no file")],
        [pb.GetReply(trailer=pb.GetReply.Trailer(sha256=EMPTY))],
        [header("x", 0), header("y", 0)],
        [header("x", 5), pb.GetReply(data=b"x")],
        [header("d", is_directory=True), pb.GetReply(data=b"x")],
        [pb.GetReply()],
    ],
)
def test_nonsense_is_one_clear_error(
    stack: tuple[Fleet, Liar], tmp_path: pathlib.Path, replies: list[pb.GetReply]
) -> None:
    answer = get(stack, tmp_path, "*", *replies)
    assert answer.returncode in {1, 2}
    assert b"Traceback" not in answer.stderr
    assert b"internal error" not in answer.stderr
    assert tree(tmp_path) == {}


def test_a_link_that_lies_in_the_target_is_not_followed(stack: tuple[Fleet, Liar], tmp_path: pathlib.Path) -> None:
    outside = make(tmp_path / "outside", {"x": b"mine"})
    (tmp_path / "in").mkdir()
    (tmp_path / "in/d").symlink_to(outside)
    answer = get(stack, tmp_path / "in", "*", *whole("d/x", b"evil"))
    assert answer.returncode == 2
    assert tree(outside) == {"x": (b"mine", 0o644)}


def test_words_of_a_node_do_not_reach_the_terminal_as_they_are(
    stack: tuple[Fleet, Liar], tmp_path: pathlib.Path
) -> None:
    trailer = pb.GetReply(trailer=pb.GetReply.Trailer(error="\x1b]0;owned\x07\r\nfake line"))
    answer = get(stack, tmp_path, "*", header("x\x1b[2J"), trailer)
    assert answer.returncode == 3
    assert b"\x1b" not in answer.stderr
    assert len(answer.stderr.splitlines()) == 2


def test_a_node_that_has_more_than_there_is_is_not_believed(stack: tuple[Fleet, Liar], tmp_path: pathlib.Path) -> None:
    make(tmp_path, {"x": b"x"})
    answer = stack[0].gaxx("put", str(tmp_path / "x"))
    assert answer.returncode == 1
    assert b"the agent says it has 1099511627776 bytes of 1" in answer.stderr

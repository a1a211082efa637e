"""`gaxx status --exposure` over real agents and sshds: the matrix, and what is not as declared."""

import json
import pathlib
import socket
from collections.abc import Iterator

import pytest

from tests.tasks.fleet import Fleet, fleet

pytestmark = pytest.mark.engine

STACK_FILE = "config:\n  gaxx:fleets:\n    - {name: demo, nodes: 3}\n"


@pytest.fixture
def declared(three: Fleet) -> Iterator[Fleet]:
    """The standing stack with a stack file beside it."""
    path = three.root / "stacks/Pulumi.demo.yaml"
    path.parent.mkdir(exist_ok=True)
    path.write_text(STACK_FILE)
    yield three
    path.unlink()


def test_nodes_as_declared_are_one_row_from_here_and_one_from_their_peers(declared: Fleet) -> None:
    answer = declared.gaxx("status", "--exposure")
    assert (answer.returncode, answer.stderr) == (0, b"")
    rows = [line.split() for line in answer.stdout.decode().splitlines()]
    assert rows[0] == ["FROM", "NODES", "SSH", "AGENT", "METRICS", "6060", "OTHERS"]
    assert rows[1][0] == "here"
    assert rows[1][-6:] == ["demo-[1-3]", "open", "open", "open", "closed", "-"]
    assert rows[2] == ["a", "peer", "demo-[1-3]", "open", "open", "open", "closed", "-"]


def test_every_cell_says_who_asked_whom_and_what_was_heard(declared: Fleet) -> None:
    answer = declared.gaxx("status", "--exposure", "--json", "-n", "demo-[1-2]")
    cells = [json.loads(line) for line in answer.stdout.splitlines()]
    assert len(cells) == 2 * 2 * 4
    assert {(cell["asker"], cell["node"]) for cell in cells if cell["asker"] != "here"} == {
        ("demo-2", "demo-1"),
        ("demo-1", "demo-2"),
    }
    assert {cell["answer"] for cell in cells if cell["port"] == 6060} == {"refused"}


def test_who_listens_on_6060_is_found_from_both_sides_and_is_an_error(declared: Fleet) -> None:
    address = declared.known.nodes[1].address
    with socket.create_server((address, 6060)):
        answer = declared.gaxx("status", "--exposure", "--timeout", "0.5")
    assert answer.returncode == 3
    assert b"SILENT!" in answer.stdout
    assert answer.stderr.count(b"gaxx: demo-2: 6060 (profiler) must not be open from") == 2


def test_a_port_that_is_asked_for_is_asked_too(declared: Fleet) -> None:
    address = declared.known.nodes[0].address
    with socket.create_server((address, 0)) as server:
        port = server.getsockname()[1]
        answer = declared.gaxx("status", "--exposure", "--timeout", "0.5", "--ports", f"{port - 1}-{port}")
    assert answer.returncode == 3
    assert f"gaxx: demo-1: {port} must not be open".encode() in answer.stderr


def test_an_agent_under_another_authority_is_no_answer(declared: Fleet) -> None:
    first, second = declared.known.nodes[:2]
    swapped = first._replace(tls_name=second.tls_name)
    declared.rewrite(declared.known._replace(nodes=(swapped, *declared.known.nodes[1:])))
    answer = declared.gaxx("status", "--exposure", "-n", "demo-[1-2]")
    assert answer.returncode == 3
    assert b"demo-1: 8088 (agent) must answer from" in answer.stderr
    assert b"FOREIGN!" in answer.stdout


def test_a_dead_agent_is_a_mismatch_and_its_peer_goes_unasked(tmp_path: pathlib.Path) -> None:
    with fleet(tmp_path, 2, sshd=True) as two:
        (two.root / "stacks").mkdir()
        (two.root / "stacks/Pulumi.demo.yaml").write_text(STACK_FILE)
        two.machines["demo-1"].kill_agent()
        answer = two.gaxx("status", "--exposure")
    assert answer.returncode == 3
    assert b"demo-1: 8088 (agent) must answer from" in answer.stderr
    assert b"demo-1 could not ask its peer: connection refused" in answer.stderr


@pytest.mark.parametrize("ports", ["0-5", "5-1", "70000", "ssh"])
def test_a_range_that_is_none_is_refused(declared: Fleet, ports: str) -> None:
    answer = declared.gaxx("status", "--exposure", "--ports", ports)
    assert answer.returncode == 1
    assert b"is no port and no range of ports" in answer.stderr
    assert b"Traceback" not in answer.stderr


def test_without_a_stack_file_there_is_nothing_to_hold_it_to(three: Fleet) -> None:
    answer = three.gaxx("status", "--exposure")
    assert answer.returncode == 1
    assert b"Pulumi.demo.yaml: No such file or directory" in answer.stderr

"""`gaxx audit` and `gaxx audit verify` over real nodes, whose files are edited, cut, reordered and rewritten."""

import contextlib
import hashlib
import json
import pathlib
import socket
import ssl
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from components import places
from components.authority import Authority
from tasks import identity
from tests.tasks.fleet import Fleet, fleet
from tests.waiting import until

pytestmark = pytest.mark.engine

Lines = list[bytes]


@pytest.fixture
def one(tmp_path: pathlib.Path) -> Iterator[Fleet]:
    """A node of its own, to be harmed."""
    with fleet(tmp_path, 1) as made:
        assert made.gaxx("run", "--", "true").returncode == 0
        yield made


def trail(made: Fleet, node: str = "demo-1") -> pathlib.Path:
    return made.machines[node].folder / "var/lib/audit/000000000001.jsonl"


def records(answer: "subprocess.CompletedProcess[bytes]") -> list[dict[str, Any]]:
    assert answer.stderr == b""
    return [json.loads(line) for line in answer.stdout.splitlines()]


def test_what_was_done_on_all_nodes_is_shown_in_one_line(three: Fleet) -> None:
    assert three.gaxx("run", "--", "printf", "%s", "told-in-secret").returncode == 0
    answer = three.gaxx("audit", "--since", "10m", "--principal", "ada", "--kind", "command")
    assert (answer.returncode, answer.stderr) == (0, b"")
    header, *rows = answer.stdout.decode().splitlines()
    assert header.split() == ["TIME", "NODES", "WHO", "WHAT", "TIMES"]
    (started,) = [row for row in rows if "command printf started (3 words)" in row]
    assert "demo-[1-3]" in started
    assert started.endswith("3")
    assert "told-in-secret" not in answer.stdout.decode()


def test_items_fold_and_json_has_every_line(three: Fleet) -> None:
    done = three.gaxx(
        "map", "--", "sh", "-c", "exit $((GAXX_ITEM % 2))", stdin=b"".join(b"%d\n" % at for at in range(40))
    )
    assert done.returncode == 3, done.stderr
    shown = three.gaxx("audit", "--kind", "item").stdout.decode()
    assert "item exited 0" in shown
    assert "item exited 1" in shown
    lines = records(three.gaxx("audit", "--kind", "item", "--json"))
    run = lines[-1]["run"]
    for event in ("start", "end"):
        indexes = [line["index"] for line in lines if line["run"] == run and line["event"] == event]
        assert sorted(indexes) == list(range(40))


def test_a_node_is_chosen_and_a_time(three: Fleet) -> None:
    nodes = {line["node"] for line in records(three.gaxx("audit", "--json", "-n", "demo-2"))}
    assert nodes == {"demo-2"}
    assert records(three.gaxx("audit", "--json", "--since", "2999-01-01T00:00:00Z")) == []
    answer = three.gaxx("audit", "--since", "yesterday")
    assert (answer.returncode, answer.stdout) == (1, b"")
    assert answer.stderr.startswith(b"gaxx: --since yesterday: no time; ")


def test_trails_that_nobody_touched_are_whole(three: Fleet) -> None:
    answer = three.gaxx("audit", "verify")
    assert (answer.returncode, answer.stderr) == (0, b"")
    assert [line.split()[:2] for line in answer.stdout.splitlines()[1:]] == [
        [b"demo-%d" % index, b"whole"] for index in (1, 2, 3)
    ]
    lines = records(three.gaxx("audit", "verify", "--json"))
    assert all(line["ok"] and line["seen"] and line["fault"] is None for line in lines)


def test_what_was_collected_lies_where_only_its_user_reads(three: Fleet) -> None:
    assert three.gaxx("audit", "verify").returncode == 0
    folder = places.audit_folder(three.stack.backend_id, three.stack.project, three.stack.name)
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert len(files) >= 6
    assert all(path.stat().st_mode & 0o077 == 0 for path in files)
    whole = three.gaxx("audit", "verify", str(next(folder.glob("demo-1/*"))))
    assert whole.stdout.startswith(b"lines 1 to ")


def test_who_does_not_prove_himself_gets_no_trail(three: Fleet) -> None:
    me = three.known.principals[0]._replace(token="wrong")
    three.rewrite(three.known._replace(principals=(me,)))
    answer = three.gaxx("audit", "verify")
    assert answer.returncode == 2
    assert b"gaxx: demo-3: the token is not the one of ada; " in answer.stderr


def test_who_was_refused_is_told_to_who_may_know(one: Fleet) -> None:
    known = one.known
    me = known.principals[0]._replace(token="wrong")
    one.rewrite(known._replace(principals=(me,)))
    assert one.gaxx("run", "--", "true").returncode == 2
    one.rewrite(known)
    (line,) = records(one.gaxx("audit", "--kind", "refused", "--json"))
    assert (line["node"], line["reason"], line["principal"], line["call"]) == ("demo-1", "wrong_token", "ada", "Exec")
    shown = one.gaxx("audit", "--kind", "refused").stdout.decode()
    assert "refused Exec from 127.0.0.1: the token is not the one of ada (wrong_token)" in shown


def test_a_refused_handshake_is_told_with_its_reason(one: Fleet) -> None:
    stranger = Authority.create("another")
    operator, _ = identity.ensure("ada")
    known = one.known
    certificate = stranger.sign_client_csr(operator.csr, name="ada", role="operator", days=1)
    me = known.principals[0]._replace(certificate=certificate)
    one.rewrite(known._replace(principals=(me,)))
    answer = one.gaxx("audit")
    assert answer.returncode == 2
    assert b"our certificate was signed by another authority than this stack's" in answer.stderr
    one.rewrite(known)
    (line, *_more) = records(one.gaxx("audit", "--kind", "refused", "--json"))
    assert (line["reason"], line["why"]) == ("handshake", "unable to get local issuer certificate")


def edited(lines: Lines) -> Lines:
    lines[3] = lines[3].replace(b"ada", b"eve")
    return lines


def cut(lines: Lines) -> Lines:
    return lines[:4]


def reordered(lines: Lines) -> Lines:
    lines[2], lines[3] = lines[3], lines[2]
    return lines


def removed(lines: Lines) -> Lines:
    return [*lines[:3], *lines[4:]]


def rewritten(lines: Lines) -> Lines:
    """Without ada, and whole in itself."""
    made: Lines = []
    for raw in edited(lines):
        record = json.loads(raw)
        if made:
            record["prev"] = hashlib.sha256(made[-1]).hexdigest()
        made.append(json.dumps(record, separators=(",", ":")).encode())
    return made


HARM = [
    (edited, 4, "it has been changed", "not the one that was collected before"),
    # It goes on behind the cut: with the connection that asks.
    (cut, 5, "line 5 is missing", "rewritten"),
    (reordered, 3, "line 3 is missing: this is line 4", "line 3 is missing"),
    (removed, 4, "line 4 is missing: this is line 5", "line 4 is missing"),
]


def harm(made: Fleet, change: Callable[[Lines], Lines]) -> None:
    path = trail(made)
    lines = path.read_bytes().splitlines()
    assert b'"principal":"ada"' in lines[3]
    path.write_bytes(b"".join(line + b"\n" for line in change(lines)))


@pytest.mark.parametrize(("change", "line", "what", "_"), HARM)
def test_a_harmed_trail_is_found_at_first_sight(
    one: Fleet, change: Callable[[Lines], Lines], line: int, what: str, _: str
) -> None:
    until(lambda: trail(one).read_bytes().count(b"\n") > 4)
    harm(one, change)
    answer = one.gaxx("audit", "verify")
    assert answer.returncode == 2
    (said,) = answer.stderr.decode().splitlines()
    assert said.startswith(f"gaxx: demo-1: 000000000001.jsonl:{line}: ")
    assert what in said
    assert answer.stdout.splitlines()[1].split()[:2] == [b"demo-1", b"broken"]


@pytest.mark.parametrize(("change", "line", "_", "what"), HARM)
def test_a_harmed_trail_is_found_after_its_agent_was_started_anew(
    one: Fleet, change: Callable[[Lines], Lines], line: int, _: str, what: str
) -> None:
    assert one.gaxx("audit").returncode == 0
    machine = one.machines["demo-1"]
    machine.kill_agent()
    harm(one, change)
    machine.start_agent()
    until(lambda: one.gaxx("status", "--json").stdout.count(b'"agent_answers": true') == 1)
    answer = one.gaxx("audit", "verify", "--json")
    assert answer.returncode == 2
    (found,) = map(json.loads, answer.stdout.splitlines())
    assert found["fault"]["line"] == line
    assert what in found["fault"]["what"]


def test_a_trail_that_was_rewritten_is_found_by_what_was_collected(one: Fleet) -> None:
    assert one.gaxx("audit").returncode == 0
    machine = one.machines["demo-1"]
    machine.kill_agent()
    harm(one, rewritten)
    machine.start_agent()
    until(lambda: one.gaxx("status", "--json").stdout.count(b'"agent_answers": true') == 1)
    for verb in (("audit", "verify"), ("audit",)):
        answer = one.gaxx(*verb)
        assert answer.returncode == 2
        assert b"not the one that was collected before: the trail has been rewritten" in answer.stderr


def test_a_killed_agent_leaves_a_trail_that_goes_on(one: Fleet) -> None:
    machine = one.machines["demo-1"]
    machine.kill_agent()
    path = trail(one)
    path.write_bytes(path.read_bytes()[:-10])
    machine.start_agent()
    until(lambda: one.gaxx("status", "--json").stdout.count(b'"agent_answers": true') == 1)
    answer = one.gaxx("audit", "verify")
    assert answer.returncode == 0
    assert b"was torn when the agent was killed" in answer.stderr
    kept = one.gaxx("audit", "--kind", "gap")
    assert b"was torn when the agent was killed" in kept.stdout


def test_a_node_that_does_not_answer_is_shown_as_it_was_last_collected(one: Fleet) -> None:
    before = records(one.gaxx("audit", "--json"))
    one.machines["demo-1"].kill_agent()
    answer = one.gaxx("audit", "--json")
    assert answer.returncode == 5
    assert [json.loads(line) for line in answer.stdout.splitlines()] == before
    assert b"gaxx: demo-1: connection refused; what it wrote up to line" in answer.stderr
    assert one.gaxx("audit", "verify").returncode == 5


def test_a_flood_of_refused_handshakes_is_counted_and_not_written_one_by_one(one: Fleet) -> None:
    node = one.machines["demo-1"].node
    context = ssl.create_default_context(cadata=one.known.authority_certificate)
    made = 0

    def knock() -> None:
        nonlocal made
        made += 1
        with (
            contextlib.suppress(OSError),
            socket.create_connection((node.address, node.agent_port)) as plain,
            context.wrap_socket(plain, server_hostname=node.tls_name) as tls,
        ):
            tls.recv(1)

    def told() -> list[int]:
        return [1 + line.get("unnoted_before", 0) for line in records(one.gaxx("audit", "--kind", "refused", "--json"))]

    for _ in range(60):
        knock()

    def all_counted() -> bool:
        # The count comes with the next line that is written.
        knock()
        return sum(told()) == made

    until(all_counted)
    assert len(told()) < made


def test_two_who_collect_at_once_wait_for_each_other(three: Fleet) -> None:
    both = [
        subprocess.Popen(
            [sys.executable, "-m", "tasks.cli.main", "audit", "verify"],
            cwd=three.root, env=three.environ, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
        )
        for _ in range(3)
    ]  # fmt: skip
    assert [(process.communicate(timeout=60)[1], process.returncode) for process in both] == [(b"", 0)] * 3


def test_a_file_is_checked_without_asking_anybody(one: Fleet, tmp_path: pathlib.Path) -> None:
    verified = one.gaxx("audit", "verify").stdout.split()[-1].decode()
    copy = tmp_path / "copy.jsonl"
    number = int(verified.partition(":")[0])
    lines = trail(one).read_bytes().splitlines(keepends=True)[:number]
    copy.write_bytes(b"".join(lines))
    answer = one.gaxx("audit", "verify", str(copy), "--head", verified)
    assert (answer.returncode, answer.stdout.decode()) == (0, f"lines 1 to {number} are whole; head {verified}\n")
    copy.write_bytes(b"".join(lines[:-1]))
    assert one.gaxx("audit", "verify", str(copy)).returncode == 0, "nothing tells where it should end"
    assert one.gaxx("audit", "verify", str(copy), "--head", verified).returncode == 2
    copy.write_bytes(b"".join(lines[1:2] + lines[:1]))
    found = one.gaxx("audit", "verify", "--json", str(copy))
    assert found.returncode == 2
    assert json.loads(found.stdout)["fault"]["line"] == 2

"""`gaxx run` against real agents."""

import json
import os
import pathlib
import signal
import subprocess
import sys
from typing import Any

import pytest

from components.authority import Authority
from tests.tasks.fleet import Fleet
from tests.waiting import alive, until

pytestmark = pytest.mark.engine


def lines(answer: "subprocess.CompletedProcess[bytes]") -> list[dict[str, Any]]:
    return [json.loads(line) for line in answer.stdout.splitlines()]


def test_equal_answers_are_shown_once_with_the_nodes_folded(three: Fleet) -> None:
    answer = three.gaxx("run", "--", "echo", "a b", "$HOME")
    assert answer.stdout == b"--- demo-[1-3] (3): ok\na b $HOME\n", "no shell may touch the arguments"
    assert answer.returncode == 0
    assert b"3 nodes: 3 ok in" in answer.stderr


def test_a_remote_exit_code_is_shown_and_is_never_ours(three: Fleet) -> None:
    answer = three.gaxx("run", "-n", "demo-[1-2]", "--", "sh", "-c", "echo x; echo y >&2; exit 7")
    assert answer.returncode == 3
    assert answer.stdout == b"--- demo-[1-2] (2): exit 7\nx\n"
    assert b"--- demo-[1-2]: stderr\ny\n" in answer.stderr


def test_who_forgets_the_shell_is_told_how_to_say_it(three: Fleet) -> None:
    answer = three.gaxx("run", "-n", "demo-1", "--", "echo it's $HOME")
    assert answer.returncode == 3
    assert answer.stderr.endswith(
        b"""gaxx: no shell is implied; a script is said as: -- sh -c 'echo it'"'"'s $HOME'\n"""
    )
    assert b"no shell" not in three.gaxx("run", "-n", "demo-1", "--", "no-such-program").stderr


def test_groups_and_set_algebra_select_nodes(three: Fleet) -> None:
    answer = three.gaxx("run", "-n", "@odd!demo-3", "--", "sh", "-c", "echo $GAXX_NODE")
    assert answer.stdout == b"--- demo-1 (1): ok\ndemo-1\n"


def test_the_command_learns_where_it_is(three: Fleet) -> None:
    script = 'echo "$GAXX_NODE $GAXX_NODE_RANK of $GAXX_NODE_COUNT $FROM_MANIFEST $MINE"; test -n "$GAXX_RUN_ID"'
    answer = three.gaxx("run", "--json", "-n", "demo-[2-3]", "--env", "MINE=a=b", "--", "sh", "-c", script)
    said = {line["node"]: line["stdout"] for line in lines(answer)[:-1]}
    assert said == {"demo-2": "demo-2 0 of 2 yes a=b\n", "demo-3": "demo-3 1 of 2 yes a=b\n"}


def test_nothing_of_the_agent_is_in_the_commands_environment(three: Fleet) -> None:
    answer = three.gaxx("run", "--", "env")
    assert answer.returncode == 0
    assert b"GAXX_AGENT" not in answer.stdout


def test_json_ends_with_a_ledger_that_adds_up(three: Fleet) -> None:
    answer = three.gaxx("run", "--json", "--", "sh", "-c", 'printf "\\377"; exit $GAXX_NODE_RANK')
    *nodes, ledger = lines(answer)
    assert {line["node"]: line["exit_code"] for line in nodes} == {"demo-1": 0, "demo-2": 1, "demo-3": 2}
    assert {line["stdout_base64"] for line in nodes} == {"/w=="}
    assert ledger["event"] == "ledger"
    parts = ("ok", "failed", "quarantined", "skipped", "cancelled")
    assert ledger["total"] == 3 == sum(ledger[part] for part in parts)


def test_output_that_is_not_utf8_comes_through_as_it_is(three: Fleet) -> None:
    answer = three.gaxx("run", "-n", "demo-1", "--", "printf", r"\377\000\376")
    assert answer.stdout == b"--- demo-1 (1): ok\n\xff\x00\xfe\n"


def test_a_pipe_is_given_to_every_node(three: Fleet) -> None:
    data = os.urandom(300_000)
    answer = three.gaxx("run", "--", "sha256sum", stdin=data)
    assert answer.stdout.startswith(b"--- demo-[1-3] (3): ok\n")
    assert answer.stdout.split()[-2] == _sha256(data)


def test_a_command_that_reads_nothing_ends_although_the_pipe_goes_on(three: Fleet) -> None:
    reading, writing = os.pipe()
    try:
        done = subprocess.run(
            [sys.executable, "-m", "tasks.cli.main", "run", "--", "true"],
            cwd=three.root, env=three.environ, stdin=reading, capture_output=True, timeout=30, check=False,
        )  # fmt: skip
    finally:
        os.close(reading)
        os.close(writing)
    assert done.returncode == 0


def test_the_largest_group_is_what_others_are_compared_with(three: Fleet) -> None:
    answer = three.gaxx("run", "--diff", "--", "sh", "-c", "echo a; [ $GAXX_NODE != demo-2 ] || echo b")
    assert answer.stdout.splitlines() == [
        b"--- demo-[1,3] (2): ok", b"a", b"--- demo-2 (1): ok", b"--- demo-[1,3] stdout", b"+++ demo-2 stdout",
        b"@@ -1 +1,2 @@", b" a", b"+b",
    ]  # fmt: skip


def test_streamed_lines_bear_their_nodes_names(three: Fleet) -> None:
    answer = three.gaxx("run", "--stream", "--", "sh", "-c", "echo out; echo err >&2; printf end")
    assert sorted(answer.stdout.splitlines()) == sorted(
        f"demo-{index}: {word}".encode() for index in (1, 2, 3) for word in ("out", "end")
    )
    assert answer.stderr.count(b": err\n") == 3


def test_output_beyond_the_limit_is_cut_and_said_to_be(three: Fleet) -> None:
    answer = three.gaxx("run", "-n", "demo-1", "--output-limit", "1", "--", "head", "-c", "3000000", "/dev/zero")
    assert answer.returncode == 0
    assert len(answer.stdout) < 1_100_000
    assert b"stdout was longer and is cut" in answer.stderr


def test_what_takes_too_long_is_killed(three: Fleet) -> None:
    answer = three.gaxx("run", "--timeout", "0.3", "--", "sleep", "60")
    assert answer.returncode == 3
    assert answer.stdout == b"--- demo-[1-3] (3): timed out\n"


@pytest.mark.parametrize(
    ("command", "ending"),
    [
        (["no-such-program"], b"could not be started: no-such-program"),
        (["sh", "-c", "kill -9 $$"], b"killed by SIGKILL"),
    ],
)
def test_other_endings_are_told_apart(three: Fleet, command: list[str], ending: bytes) -> None:
    answer = three.gaxx("run", "--", *command)
    assert answer.returncode == 3
    assert answer.stdout.startswith(b"--- demo-[1-3] (3): " + ending)


@pytest.mark.parametrize("times", [1, 2])
def test_ctrl_c_stops_the_commands_and_shows_what_arrived(three: Fleet, times: int) -> None:
    # The first asks with SIGTERM, which this command does not hear; the second does not ask.
    script = ("trap '' TERM; " if times > 1 else "") + "echo pid $$; echo begun >&2; while :; do sleep 0.2; done"
    process = subprocess.Popen(
        [sys.executable, "-m", "tasks.cli.main", "run", "--stream", "--", "sh", "-c", script],
        cwd=three.root, env=three.environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stderr is not None
    pids = [int(process.stdout.readline().split()[-1]) for _ in range(3)]
    for _ in range(3):
        process.stderr.readline()
    process.send_signal(signal.SIGINT)
    assert b"stopping: waiting for demo-[1-3]" in process.stderr.readline()
    if times > 1:
        process.send_signal(signal.SIGINT)
    _, rest = process.communicate(timeout=20)
    assert process.returncode == 130
    assert (b"SIGTERM" if times == 1 else b"SIGKILL") in rest
    until(lambda: not any(map(alive, pids)))


def test_ctrl_c_reaches_a_command_that_does_not_read_what_it_is_given(three: Fleet, tmp_path: pathlib.Path) -> None:
    given = tmp_path / "given"
    with given.open("wb") as file:
        file.truncate(64 * 1024 * 1024)
    with given.open("rb") as stdin:
        process = subprocess.Popen(
            [sys.executable, "-m", "tasks.cli.main", "run", "--stream", "--", "sh", "-c", "echo begun; exec sleep 600"],
            cwd=three.root, env=three.environ, stdin=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
    assert process.stdout is not None
    for _ in range(3):
        process.stdout.readline()
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=20)
    assert process.returncode == 130, said
    # Where the signal came behind input that was not read, the call was given up, with the same end.
    for node in (b"demo-1", b"demo-2", b"demo-3"):
        assert any(f"gaxx: {node.decode()}: {end}".encode() in said for end in ("killed by SIGTERM", "cancelled")), said


def test_a_closed_pipe_ends_it_silently(three: Fleet) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "tasks.cli.main", "run", "--stream", "--", "yes"],
        cwd=three.root, env=three.environ, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout is not None
    process.stdout.readline()
    process.stdout.close()
    assert process.stderr is not None
    said = process.stderr.read()
    process.stderr.close()
    assert (process.wait(timeout=20), said) == (141, b"")


def test_a_node_that_is_not_there_is_reported_and_the_others_answer(three: Fleet) -> None:
    away = three.known.nodes[2]._replace(agent_port=1)
    three.rewrite(three.known._replace(nodes=(*three.known.nodes[:2], away)))
    answer = three.gaxx("run", "--json", "--", "true")
    by_node = {line.get("node"): line for line in lines(answer)}
    assert answer.returncode == 5
    assert by_node["demo-3"]["ending"] == "unreachable"
    assert by_node["demo-3"]["error"] == "connection refused"
    assert by_node["demo-1"]["exit_code"] == 0
    assert by_node[None]["skipped"] == 1


def test_failing_and_missing_together_are_missing(three: Fleet) -> None:
    away = three.known.nodes[2]._replace(agent_port=1)
    three.rewrite(three.known._replace(nodes=(*three.known.nodes[:2], away)))
    assert three.gaxx("run", "--", "false").returncode == 5


def test_an_authority_that_is_not_the_nodes_is_refused_in_words(three: Fleet) -> None:
    other = Authority.create("another").certificate_pem
    three.rewrite(three.known._replace(authority_certificate=other))
    answer = three.gaxx("run", "--", "true")
    assert answer.returncode == 2
    assert b"refused: the node's certificate is not from the stack's authority" in answer.stdout


def test_a_certificate_of_another_authority_is_found_on_our_side_first(three: Fleet) -> None:
    me = three.known.principals[0]
    csr = three.environ["XDG_CONFIG_HOME"] + "/gaxx/operator/tls.csr"
    with open(csr) as file:  # noqa: PTH123 - one line
        certificate = Authority.create("another").sign_client_csr(file.read(), name="ada", role="operator", days=1)
    three.rewrite(three.known._replace(principals=(me._replace(certificate=certificate),)))
    answer = three.gaxx("run", "--", "true")
    assert answer.returncode == 2
    assert b"our certificate was signed by another authority" in answer.stdout


def test_a_wrong_token_is_refused(three: Fleet) -> None:
    me = three.known.principals[0]._replace(token="x" * 43)
    three.rewrite(three.known._replace(principals=(me,)))
    answer = three.gaxx("run", "--", "true")
    assert answer.returncode == 2
    assert b"demo-[1-3] (3): refused" in answer.stdout


def test_a_controller_that_is_no_operator_is_told_so(three: Fleet) -> None:
    other = three.known.principals[0]._replace(name="bob", key_sha256="0" * 64)
    three.rewrite(three.known._replace(principals=(other,)))
    answer = three.gaxx("run", "--", "true")
    assert answer.returncode == 2
    assert answer.stderr.startswith(b"gaxx: this controller's operator key is not among the stack's operators: ada")


def test_an_inventory_that_others_can_read_is_not_used(three: Fleet) -> None:
    three.stack.cache.chmod(0o644)
    answer = three.gaxx("run", "--", "true")
    assert answer.returncode == 2
    assert b"is open to others (mode 0644)" in answer.stderr
    assert b"chmod 600" in answer.stderr


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["run"], b"Missing argument"),
        (["run", "-n", "@nope", "--", "true"], b"no group @nope"),
        (["run", "-n", "demo-[4-5]", "--", "true"], b"demo-[4-5]: not a node of stack demo"),
        (["run", "-n", "demo-[1", "--", "true"], b"demo-[1"),
        (["run", "--env", "X", "--", "true"], b"K=V was expected"),
        (["run", "--env", "GAXX_NODE=x", "--", "true"], b"set by gaxx itself"),
        (["run", "--diff", "--json", "--", "true"], b"--diff"),
    ],
)
def test_wrong_usage_is_one_line_and_exit_code_1(three: Fleet, argv: list[str], words: bytes) -> None:
    # An unknown node is looked for at Pulumi, too: there is no stack here, and that must not hide the reason.
    answer = three.gaxx(*argv)
    assert answer.returncode == 1, answer.stderr
    assert words in answer.stderr
    assert answer.stderr.count(b"\n") == 1
    assert answer.stdout == b""


def after_running(three: Fleet, then: str) -> list[str]:
    """What Python says to these statements once it has run a command on the fleet."""
    program = f"import pathlib, sys; from tasks.cli.main import main; code = main(); {then}; sys.exit(code)"
    done = subprocess.run(
        [sys.executable, "-c", program, "run", "--", "true"],
        cwd=three.root, env=three.environ, capture_output=True, text=True, check=True,
    )  # fmt: skip
    return done.stdout.splitlines()[-1].split()


def test_running_loads_neither_pulumi_nor_fabric_nor_paramiko_nor_rich(three: Fleet) -> None:
    loaded = after_running(three, "print(*sys.modules)")
    assert not {"pulumi", "fabric", "invoke", "paramiko", "rich", "cryptography"} & set(loaded)


def test_running_loads_no_openssl_and_leaves_it_to_whoever_wants_it(three: Fleet) -> None:
    libraries = "{word.rpartition('/')[2].partition('.so')[0] for word in maps if '.so' in word}"
    loaded = after_running(three, f"maps = pathlib.Path('/proc/self/maps').read_text().split(); print(*{libraries})")
    assert "libc" in loaded
    assert not {"libssl", "libcrypto", "libuuid"} & set(loaded)
    assert after_running(three, "import ssl; print(ssl.OPENSSL_VERSION)")[0] == "OpenSSL"


def test_what_stands_in_for_a_module_at_the_start_gives_way_to_it(three: Fleet) -> None:
    then = (
        "import gettext, grpc_health, pkgutil, textwrap, tokenize, traceback, typing_extensions, urllib.parse, uuid;"
        "print(urllib.parse.urlsplit('http://[::1]/').hostname, typing_extensions.override.__name__,"
        "*(module.__file__.rpartition('/')[2] for module in (gettext, grpc_health, pkgutil, textwrap, tokenize, uuid)))"
    )
    files = ["gettext.py", "__init__.py", "pkgutil.py", "textwrap.py", "tokenize.py", "uuid.py"]
    assert after_running(three, then) == ["::1", "override", *files]


def _sha256(data: bytes) -> bytes:
    import hashlib

    return hashlib.sha256(data).hexdigest().encode()


def test_fab_runs_the_same_command(three: Fleet) -> None:
    (three.root / "fabfile.py").write_text("from tasks.fabric_tasks import namespace\n")
    argv = ["run", "--nodes", "demo-[1-2]", "--command", "sh -c 'echo \"a b\"; exit 7'"]
    done = subprocess.run(
        [pathlib.Path(sys.prefix) / "bin" / "fab", *argv],
        cwd=three.root, env=three.environ, stdin=subprocess.DEVNULL, capture_output=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (3, b"--- demo-[1-2] (2): exit 7\na b\n"), done.stderr

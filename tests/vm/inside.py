"""Scripts on a machine: as an item, and through the tests' back door as root."""

import json

from tests.stack.project import Project
from tests.vm.root_image import DOOR

_ANSWER_LIMIT_S = 200
_ASK_ROOT = f"""\
import socket, sys
with socket.socket(socket.AF_UNIX) as door:
    door.settimeout({_ANSWER_LIMIT_S})
    door.connect({DOOR!r})
    door.sendall(sys.stdin.buffer.read())
    door.shutdown(socket.SHUT_WR)
    while said := door.recv(65536):
        sys.stdout.buffer.write(said)
"""


def inside(vm: Project, script: str, node: str = "demo-1") -> str:
    """What an item that executes `script` says, whatever its exit code."""
    found = _answer(vm, node, "sh", "-c", script)
    return str(found["stdout"]) + str(found["stderr"])


def as_root(vm: Project, script: str, node: str = "demo-1") -> str:
    """What root says, whatever the script's exit code."""
    found = _answer(vm, node, "python3", "-c", _ASK_ROOT, stdin=script)
    # Of the item that is killed with its service nobody hears how it ended.
    assert not found["stderr"], f"{found}\n{console(vm, node)}"
    return str(found["stdout"])


def console(vm: Project, node: str) -> str:
    """The end of what the machine has written to its serial console."""
    return (vm.machine(node) / "serial.log").read_text(errors="replace")[-4000:]


def _answer(vm: Project, node: str, *argv: str, stdin: str = "") -> dict[str, object]:
    done = vm.gaxx("run", "-n", node, "--json", "--", *argv, check=None, stdin=stdin)
    found = [json.loads(line) for line in done.stdout.splitlines() if '"node"' in line]
    assert len(found) == 1, done.text
    return dict(found[0])

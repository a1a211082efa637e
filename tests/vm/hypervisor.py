"""What a computer does with its virtual machines behind everybody's back: pause them, cut the power."""

import contextlib
import json
import os
import pathlib
import socket
from collections.abc import Callable, Iterator

from components.inventory import Node
from tests.stack.project import Project
from tests.waiting import until

Execute = Callable[..., str]


@contextlib.contextmanager
def monitor(vm: Project, node: Node) -> Iterator[Execute]:
    """QEMU's monitor: a call gets a command and its arguments, and returns what QEMU says."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(30)
        # A socket's name ends at 107 bytes; the folder's own is longer.
        with contextlib.chdir(vm.machine(node.name)):
            connection.connect("monitor.sock")
        talk = connection.makefile("rwb")
        talk.readline()

        def execute(command: str, **arguments: object) -> str:
            talk.write(json.dumps({"execute": command, "arguments": arguments}).encode() + b"\n")
            talk.flush()
            while True:
                said = json.loads(talk.readline())
                assert "error" not in said, said
                if "return" in said:
                    return str(said["return"])

        execute("qmp_capabilities")
        try:
            yield execute
        finally:
            talk.close()


def pid(vm: Project, node: Node) -> int:
    """QEMU's."""
    return int((vm.machine(node.name) / "qemu.pid").read_text())


def cut_power(vm: Project, node: Node) -> None:
    """End QEMU at once."""
    process = pid(vm, node)
    os.kill(process, 9)
    until(lambda: not pathlib.Path(f"/proc/{process}").exists())

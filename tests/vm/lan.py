"""A network namespace with a tap device on a virtual machine's own network: hosts beside it, with any address."""

import contextlib
import json
import os
import pathlib
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence

from components.inventory import Node
from tasks.exposure import probe
from tests.stack.project import Project
from tests.vm import bridge
from tests.vm.hypervisor import monitor

TAP = "tap0"
# Filters see what a guest sends in the reverse order of their making: `out` takes all, `back` gives some again.
_FILTERS = {"in": ("tx", "indev"), "back": ("rx", "indev"), "out": ("rx", "outdev")}


class Lan:
    """A host on the machine's network; `be` says which."""

    def __init__(self, namespace: str) -> None:
        self._namespace = namespace

    def be(self, *addresses: str) -> None:
        """Have these addresses (with prefix length) and no others."""
        self._ip("address", "flush", "dev", TAP)
        for address in addresses:
            # IPv6 would first ask whether the address is taken.
            self._ip("address", "add", address, "dev", TAP, *(["nodad"] if ":" in address else []))

    def ask(self, authority: str, targets: Sequence[dict[str, object]], timeout_s: float) -> dict[int, str]:
        """What each port says: see tasks/exposure/probe.py."""
        request = {"authority": authority, "timeout_s": timeout_s, "targets": list(targets)}
        argv = ["ip", "netns", "exec", self._namespace, sys.executable, "-I", str(pathlib.Path(probe.__file__))]
        done = subprocess.run(argv, input=json.dumps(request), capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return {answer["port"]: answer["answer"] for answer in json.loads(done.stdout)}

    def _ip(self, *argv: str) -> None:
        _run("ip", "-netns", self._namespace, *argv)


@contextlib.contextmanager
def beside(vm: Project, node: Node) -> Iterator[Lan]:
    """A host beside the machine, which keeps all that it has."""
    namespace = f"gaxx-{os.getpid()}"
    with contextlib.ExitStack() as stack:
        _run("ip", "netns", "add", namespace)
        stack.callback(_run, "ip", "netns", "delete", namespace)
        _run("ip", "-netns", namespace, "tuntap", "add", "dev", TAP, "mode", "tap")
        _run("ip", "-netns", namespace, "link", "set", TAP, "addrgenmode", "none", "up")
        folder = stack.enter_context(tempfile.TemporaryDirectory(dir="/tmp"))
        pathlib.Path(folder).chmod(0o711)
        argv = ["ip", "netns", "exec", namespace, sys.executable, "-I", bridge.__file__, TAP, folder]
        process = stack.enter_context(subprocess.Popen(argv, stdout=subprocess.PIPE))
        stack.callback(process.kill)
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        execute = stack.enter_context(monitor(vm, node))
        for name in bridge.SOCKETS:
            address = {"type": "unix", "data": {"path": f"{folder}/{name}"}}
            execute("chardev-add", id=name, backend={"type": "socket", "data": {"addr": address, "server": False}})
            stack.callback(execute, "chardev-remove", id=name)
        for name, (queue, device) in _FILTERS.items():
            wire = {"netdev": "net0", "queue": queue, device: name}
            execute("object-add", **{"qom-type": "filter-redirector", "id": f"filter-{name}", **wire})
            stack.callback(execute, "object-del", id=f"filter-{name}")
        yield Lan(namespace)


def _run(*argv: str) -> None:
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{argv}: {done.stderr}"

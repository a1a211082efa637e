"""Agent and runner as plain processes: what systemd is on a machine, this is on a local node.

Each is started in a session of its own, survives who started it, and writes its pid; a pid counts only
while its process carries the machine's mark on its command line, so that a reused number fools nobody (the
environment of the agent is closed even to its own user).
"""

import os
import pathlib
import select
import signal
import socket
import subprocess
import sys
import time

from agent.install.layout import InstallError, Layout

READY_LIMIT_S = 30.0
DRAIN_LIMIT_S = 15.0


class Processes:
    """The services of one local node."""

    def __init__(self, layout: Layout, machine: str, bundle: pathlib.Path) -> None:
        self._layout = layout
        self._machine = machine
        self._bundle = bundle
        # Python takes any -X; whoever stops the machine finds its processes by this path.
        self._mark = f"gaxx_root={layout.root}/"

    def alive(self, service: str) -> int | None:
        """The pid of a running service."""
        try:
            pid = int((self._layout.run / f"{service}.pid").read_text())
            command = pathlib.Path(f"/proc/{pid}/cmdline").read_bytes()
        except (OSError, ValueError):
            return None
        # A zombie has no command line left.
        return pid if self._mark.encode() in command.split(b"\0") else None

    def start(self, service: str, module: str, environment: dict[str, str]) -> None:
        """Start a service and wait until it says that it is ready; raise InstallError with its last words."""
        notify_path = self._layout.run / f"{service}.notify"
        notify_path.unlink(missing_ok=True)
        self._layout.run.mkdir(parents=True, exist_ok=True, mode=0o700)
        log = self._layout.log / f"{service}.log"
        # Socket paths may not exceed 107 bytes, a node's folder may: both sides use the run folder as theirs.
        os.chdir(self._layout.run)
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify, log.open("ab") as output:
            notify.bind(notify_path.name)
            process = subprocess.Popen(
                [sys.executable, "-s", "-X", self._mark, "-m", module],
                cwd=self._layout.run,
                env={
                    **environment,
                    "PATH": os.environ["PATH"],
                    "LANG": "C.UTF-8",
                    "PYTHONPATH": str(self._bundle),
                    "GAXX_MACHINE": self._machine,
                    "NOTIFY_SOCKET": notify_path.name,
                },
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
            (self._layout.run / f"{service}.pid").write_text(f"{process.pid}\n")
            self._await_ready(service, process, notify)
        notify_path.unlink(missing_ok=True)

    def stop(self, service: str) -> None:
        """Let a service drain, then end it."""
        pid = self.alive(service)
        if pid is None:
            return
        descriptor = os.pidfd_open(pid)
        for number in (signal.SIGTERM, signal.SIGKILL):
            signal.pidfd_send_signal(descriptor, number)
            if select.select([descriptor], [], [], DRAIN_LIMIT_S)[0]:
                return
        message = f"the {service} (pid {pid}) does not end"
        raise InstallError(message)

    def reload(self, service: str) -> None:
        """Make a running service read its settings again."""
        pid = self.alive(service)
        if pid is not None:
            os.kill(pid, signal.SIGHUP)

    def _await_ready(self, service: str, process: "subprocess.Popen[bytes]", notify: socket.socket) -> None:
        exited = os.pidfd_open(process.pid)
        deadline = time.monotonic() + READY_LIMIT_S
        try:
            while True:
                readable = select.select([notify.fileno(), exited], [], [], max(0.0, deadline - time.monotonic()))[0]
                if notify.fileno() in readable and b"READY=1" in notify.recv(4096).split(b"\n"):
                    return
                if exited in readable or not readable:
                    process.poll()
                    how = f"ended with status {process.returncode}" if readable else "is not ready in time"
                    message = f"the {service} {how}: {self._last_words(service)}"
                    raise InstallError(message)
        finally:
            os.close(exited)

    def _last_words(self, service: str) -> str:
        lines = (self._layout.log / f"{service}.log").read_text(errors="replace").strip().splitlines()
        return lines[-1] if lines else "it left no word"


def reload_sshd(layout: Layout) -> None:
    """Make the node's sshd take its new host key; running sessions go on."""
    try:
        os.kill(int((layout.root / "run/sshd.pid").read_text()), signal.SIGHUP)
    except (OSError, ValueError) as error:
        message = f"the node's sshd cannot be reloaded: {error}"
        raise InstallError(message) from error

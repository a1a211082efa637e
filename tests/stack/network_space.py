"""A network of its own: nothing but a loopback device, which nobody else's packets reach."""

import contextlib
import subprocess
from collections.abc import Iterator


@contextlib.contextmanager
def network_space() -> Iterator[tuple[str, ...]]:
    """Make one, as root; yield what goes before a command for it to be run there."""
    script = "ip link set lo up && echo ready && exec cat"
    with subprocess.Popen(
        ["unshare", "--net", "sh", "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        try:
            assert holder.stdout is not None
            assert holder.stdout.readline() == "ready\n", "the network is prepared"
            yield ("nsenter", "--net", f"--target={holder.pid}", "--")
        finally:
            # Its end ends the network, as soon as nobody else is in it.
            holder.communicate()

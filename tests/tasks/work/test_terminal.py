"""A run on a terminal: a bar and lanes at its foot, the items' outputs whole above them, whatever its size becomes."""

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time

import pytest

from tests.tasks.fleet import Fleet

pytestmark = pytest.mark.engine
_ESCAPES = re.compile(rb"\x1b\[[0-9;?]*[A-Za-z]")


def on_terminal(fleet: Fleet, *argv: str, resize_after: bytes = b"", interrupt_after: bytes = b"") -> tuple[int, bytes]:
    """Run gaxx on a terminal of its own; return its exit code and everything that was written there."""
    controller, terminal = pty.openpty()
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 30, 100, 0, 0))
    running = subprocess.Popen(
        [sys.executable, "-m", "tasks.cli.main", *argv], cwd=fleet.root,
        env={**fleet.environ, "TERM": "xterm-256color"}, stdin=subprocess.DEVNULL, stdout=terminal, stderr=terminal,
    )  # fmt: skip
    os.close(terminal)
    written = b""
    deadline = time.monotonic() + 40
    while time.monotonic() < deadline:
        if select.select([controller], [], [], 0.2)[0]:
            try:
                written += os.read(controller, 65536)
            except OSError:
                break
        if resize_after and resize_after in written:
            resize_after = b""
            fcntl.ioctl(controller, termios.TIOCSWINSZ, struct.pack("HHHH", 12, 40, 0, 0))
            running.send_signal(signal.SIGWINCH)
        if interrupt_after and interrupt_after in written:
            interrupt_after = b""
            running.send_signal(signal.SIGINT)
    code = running.wait(10)
    os.close(controller)
    return code, written


@pytest.fixture
def items(three: Fleet) -> str:
    path = three.root / "thirty"
    path.write_bytes(b"".join(b"%d\n" % number for number in range(30)))
    return str(path)


def test_a_bar_and_a_lane_a_node_are_painted_and_gone_at_the_end(three: Fleet, items: str) -> None:
    code, written = on_terminal(three, "map", "-a", items, "--", "sleep", "0.2")
    text = _ESCAPES.sub(b"", written).decode()
    assert code == 0, text
    assert "█" in text
    assert all(f"{name} " in text for name in three.machines)
    assert re.search(r"\d+/30 · 0 failed · \d+ leased", text)
    assert text.rstrip().splitlines()[-1].strip().endswith("30 items: 30 ok in 1s") or "30 items: 30 ok" in text


def test_outputs_stay_whole_while_the_terminal_is_resized(three: Fleet, items: str) -> None:
    script = 'echo "<$GAXX_ITEM begins>"; sleep 0.15; echo "<$GAXX_ITEM ends>"'
    code, written = on_terminal(three, "map", "-a", items, "--", "sh", "-c", script, resize_after=b"<5 ends>")
    text = _ESCAPES.sub(b"", written).replace(b"\r", b"").decode()
    assert code == 0, text
    for number in range(30):
        assert f"<{number} begins>\n<{number} ends>\n" in text


def test_control_c_on_a_terminal_says_what_happens_and_sums_up(three: Fleet, items: str) -> None:
    script = 'echo "<$GAXX_ITEM>"; sleep 0.5'
    code, written = on_terminal(three, "map", "-a", items, "--", "sh", "-c", script, interrupt_after=b"<0>")
    text = _ESCAPES.sub(b"", written).decode()
    assert code == 130, text
    assert "stopping: what runs may finish" in text
    assert re.search(r"30 items: \d+ ok, \d+ cancelled", text)
    assert "Traceback" not in text

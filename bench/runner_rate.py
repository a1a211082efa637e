"""Measure how many trivial collected items a second one runner executes: `python bench/runner_rate.py [items] [slots]`.

Starts a real runner in a temporary folder, sends batches of `true` over its socket and waits for all results.
"""

import os
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from agent.proto.agent_pb2 import EXITED, Command  # noqa: E402 - after the path
from agent.proto.runner_pb2 import Batch, RunnerEvent, RunnerRequest, Spawn  # noqa: E402
from agent.runner.frames import Decoder, encode  # noqa: E402

_BATCH = 200


def measure(items: int, slots: int) -> tuple[float, float]:
    """Return items per second, and the runner's own seconds of processor time per 1000 items."""
    with tempfile.TemporaryDirectory(prefix="gaxx-rate-") as folder:
        path = Path(folder) / "runner.sock"
        environ = {
            "GAXX_RUNNER_SOCKET": str(path),
            "GAXX_RUNNER_WORK_DIR": f"{folder}/work",
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(ROOT),
        }
        with subprocess.Popen([sys.executable, "-m", "agent.runner"], env=environ) as runner:
            try:
                with _connect(path) as sock:
                    seconds = _drive(sock, items, slots)
                    ticks = Path(f"/proc/{runner.pid}/stat").read_text().rpartition(")")[2].split()[11:13]
            finally:
                runner.terminate()
        own_s = sum(map(int, ticks)) / os.sysconf("SC_CLK_TCK")
        return items / seconds, own_s / items * 1000


def _connect(path: Path) -> socket.socket:
    deadline = time.monotonic() + 10
    sock = socket.socket(socket.AF_UNIX)
    while True:
        try:
            sock.connect(str(path))
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.01)
        else:
            return sock


def _drive(sock: socket.socket, items: int, slots: int) -> float:
    spawns = [Spawn(id=at, command=Command(argv=[b"true"]), collect=True) for at in range(1, items + 1)]
    decoder = Decoder()
    done = sent = 0
    began = time.monotonic()
    while done < items:
        while sent < items and sent - done < 2 * _BATCH:
            batch = Batch(spawns=spawns[sent : sent + _BATCH], slots=slots)
            sock.sendall(encode(RunnerRequest(batch=batch)))
            sent += len(batch.spawns)
        for payload in decoder.feed(sock.recv(1024 * 1024)):
            for finished in RunnerEvent.FromString(payload).finished_batch.finished:
                if finished.exit.ending != EXITED or finished.exit.exit_code:
                    message = f"item {finished.id} failed: {finished.exit}"
                    raise RuntimeError(message)
                done += 1
    return time.monotonic() - began


if __name__ == "__main__":
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 4000
    for width in [int(sys.argv[2])] if len(sys.argv) > 2 else [1, 2, 4]:  # noqa: PLR2004 - the second argument
        rate, own = measure(count, width)
        print(f"{count} items, {width} slots: {rate:.0f} items/s, runner's own {own:.2f} s per 1000")

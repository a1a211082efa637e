"""Random misfortune for a run, by seed: who dies, stops or fills up, and when."""

import dataclasses
import os
import pathlib
import random
import resource
import signal
import subprocess
import sys
import time

from tasks.work import journal
from tests.tasks.fleet import Fleet, Machine

ITEMS = 2000
LEASE_S = 1.5
MISFORTUNES = ("controller", "agent", "node", "stop", "disk")


@dataclasses.dataclass
class Schedule:
    """What goes wrong in one run."""

    seed: int

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)  # noqa: S311 - to be repeated, not to be secret

    def run(self, fleet: Fleet, folder: pathlib.Path) -> tuple[pathlib.Path, str]:
        """Run with misfortune, then resume until all is done; return journal and the last ledger line."""
        rng = self._random
        items = folder / "items"
        items.write_bytes(b"".join(b"item %d\n" % (number % (ITEMS - 50)) for number in range(ITEMS)))
        record = folder / "journal.jsonl"
        argv = ["map", "-a", str(items), "--lease", str(LEASE_S), "--journal", str(record), "--json"]
        command = ["--", "sh", "-c", f'echo "$GAXX_ITEM_INDEX" >> {folder}/executed; echo "out $GAXX_ITEM_INDEX"']
        wanted = rng.sample(MISFORTUNES, rng.randint(1, 3))
        limit = rng.randint(2_000, 200_000) if "disk" in wanted else 0
        controller = _start(fleet, [*argv, *command], limit)
        machines = list(fleet.machines.values())
        for kind in wanted:
            time.sleep(rng.uniform(0.2, 0.9))
            _strike(kind, controller, rng.choice(machines))
        out, _ = controller.communicate(timeout=90)
        for _ in range(5):
            if controller.returncode == 0:
                break
            for machine in machines:
                assert machine.agent is not None
                if machine.agent.poll() is not None:
                    machine.start_agent()
            controller = _start(fleet, [*argv, "--resume", *command], 0)
            out, _ = controller.communicate(timeout=90)
        assert controller.returncode == 0, f"seed {self.seed}: exit {controller.returncode}"
        return record, out.decode().splitlines()[-1]


def accepted(record: pathlib.Path) -> dict[int, int]:
    """How many answers the journal has of each item."""
    answers: dict[int, int] = {}
    for line in journal.records(record):
        if line.get("state") == "ok":
            answers[line["index"]] = answers.get(line["index"], 0) + 1
    return answers


def _start(fleet: Fleet, argv: list[str], limit_bytes: int) -> "subprocess.Popen[bytes]":
    def limit_files() -> None:
        if limit_bytes:
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit_bytes, limit_bytes))
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)

    return subprocess.Popen(
        [sys.executable, "-m", "tasks.cli.main", *argv], cwd=fleet.root, env=fleet.environ,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, preexec_fn=limit_files,  # noqa: PLW1509 - no threads here
    )  # fmt: skip


def _strike(kind: str, controller: "subprocess.Popen[bytes]", machine: Machine) -> None:
    assert machine.agent is not None
    if kind == "controller":
        controller.kill()
    elif kind == "agent":
        if machine.agent.poll() is None:
            machine.agent.kill()
            machine.agent.wait()
            machine.start_agent()
    elif kind == "node":
        machine.kill_agent()
    elif kind == "stop" and machine.agent.poll() is None:
        processes = machine.processes()
        for pid in processes:
            _send(pid, signal.SIGSTOP)
        time.sleep(LEASE_S * 1.5)
        for pid in processes:
            _send(pid, signal.SIGCONT)


def _send(pid: int, number: int) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return

"""What `pulumi up` of a fleet on a vendor's cloud costs beyond the cloud itself: on a rehearsal, by whose time it is.

    python -m bench.cloud [--nodes 50] [--clouds linode,vultr] [--runs 1]

The vendors' plugins are those on PATH, else the tests' stand-ins. The rehearsal's machines are local nodes, so that
what a node does for itself (sshd, enrolment helper, agent) shares the processors here, which it does on no real cloud:
the second table says whose the processor time was.
"""

import argparse
import collections
import contextlib
import itertools
import json
import os
import pathlib
import re
import shlex
import shutil
import signal
import statistics
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import Any

import yaml

from bench import results, stack
from bench.up import timed, type_of
from components.authority import Authority
from components.creation_pace import PACES
from tasks.rehearsal.store import FAST
from tests.clouds.standin import launchers

REGIONS = {"linode": ["nl-ams"], "vultr": ["ams"]}
_MACHINE = {"linode": "linode:index/instance:Instance", "vultr": "vultr:index/instance:Instance"}
_IDENTITY, _ENROLMENT = "gaxx:index:BootstrapIdentity", "gaxx:index:Enrolment"
_LOOK_EVERY_S = 0.2
_TICKS_A_SECOND = os.sysconf("SC_CLK_TCK")

WHOSE = (
    ("engine", re.compile(r"\bpulumi (up|preview|destroy)\b")),
    ("program (Pulumi's SDK and our components)", re.compile(r"pulumi-language-python-exec|language_host\.py")),
    ("our provider", re.compile(r"/project/components \S+ ?$|/components 127\.")),
    ("vendor's plugin", re.compile(r"standin|pulumi-resource-(linode|vultr)")),
    ("the rehearsed cloud", re.compile(r"gaxx rehearse|exec\(compile\(sys\.stdin")),
    ("the nodes themselves", re.compile(r"gaxx_root=|agent\.install|gaxx-enrol|sshd: |/sshd ")),
)
OURS = ("engine", "program (Pulumi's SDK and our components)", "our provider")

Seconds = dict[str, float]


class Processors(threading.Thread):
    """Adds up whose the processor time of a measurement was; of a short process its last look is missing."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self._over = threading.Event()
        self._spent: dict[tuple[str, str], tuple[str, float]] = {}
        self._before: dict[tuple[str, str], float] = {}

    def run(self) -> None:
        """Look until `stop`."""
        self._before = {key: spent for key, (_, spent) in _processes().items()}
        while not self._over.wait(_LOOK_EVERY_S):
            for key, (command, spent) in _processes().items():
                # One that has ended and was not waited for has no command line any more.
                self._spent[key] = (command or self._spent.get(key, ("", 0.0))[0], spent)

    def stop(self) -> Seconds:
        """Seconds of a processor, by whose they were."""
        self._over.set()
        self.join()
        added: Seconds = dict.fromkeys((name for name, _ in WHOSE), 0.0)
        for key, (command, spent) in self._spent.items():
            for name, pattern in WHOSE:
                if pattern.search(command):
                    added[name] += spent - self._before.get(key, 0.0)
                    break
        return added


def _processes() -> dict[tuple[str, str], tuple[str, float]]:
    """Command line and seconds of every process, by pid and start."""
    found = {}
    for folder in pathlib.Path("/proc").iterdir():
        if folder.name.isdigit():
            with contextlib.suppress(OSError):
                fields = (folder / "stat").read_text().rpartition(")")[2].split()
                command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                found[folder.name, fields[19]] = (command, (int(fields[11]) + int(fields[12])) / _TICKS_A_SECOND)
    return found


@contextlib.contextmanager
def rehearsed(cloud: str, nodes: int) -> Iterator[stack.Project]:
    """A project on a rehearsal that declares one fleet of a vendor."""
    with stack.project() as made:
        plugins = made.base / "plugins"
        plugins.mkdir()
        path = made.environment["PATH"]
        launchers.write(plugins, [one for one in REGIONS if shutil.which(f"pulumi-resource-{one}", path=path) is None])
        made.environment["PATH"] = f"{plugins}:{made.environment['PATH']}"
        with subprocess.Popen(
            ("gaxx", "rehearse"),
            cwd=made.folder,
            env=made.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        ) as rehearsal:
            lines = rehearsal.stdout or ()
            exports = [shlex.split(line)[1] for line in itertools.islice(lines, 6)]
            made.environment.update({name: value for name, _, value in (line.partition("=") for line in exports)})
            try:
                _declare(made, cloud, nodes)
                yield made
                made.destroy()
            finally:
                rehearsal.send_signal(signal.SIGTERM)


def _declare(project: stack.Project, cloud: str, nodes: int) -> None:
    me = json.loads((project.operator / "operator.json").read_text())
    operator = {"name": me["name"], "role": "operator", "sshPublicKey": me["sshPublicKey"], "csr": me["csr"]}
    own = ["127.0.0.0/8"]
    reached = {"reach": "direct", "sshCidrs": own, "trustedCidrs": own}
    fleet = {"name": stack.FLEET, "cloud": cloud, "nodes": nodes, "regions": REGIONS[cloud], **reached}
    path = project.folder / "stacks" / f"Pulumi.{stack.STACK}.yaml"
    content: dict[str, Any] = yaml.safe_load(path.read_text())
    content["config"] = {"gaxx:ttl": "1h", "gaxx:operators": [operator], "gaxx:fleets": [fleet]}
    path.write_text(yaml.safe_dump(content))
    subprocess.run(
        ("pulumi", "config", "set", "--secret", "--stack", stack.STACK, "--non-interactive", "gaxx:authorityKey"),
        cwd=project.folder,
        env=project.environment,
        input=Authority.create(stack.STACK).pem,
        text=True,
        check=True,
    )


def measure(cloud: str, nodes: int) -> tuple[Seconds, Seconds]:
    """Make the fleet once; return seconds by phase, and seconds of a processor by whose they were."""
    with rehearsed(cloud, nodes) as project:
        processors = Processors()
        processors.start()
        wall_s, events = timed(project, "up", "--yes", "--skip-preview", "--parallel", stack.PARALLEL)
        spent = processors.stop()
    begins: dict[str, list[float]] = collections.defaultdict(list)
    ends: dict[str, list[float]] = collections.defaultdict(list)
    for when, event in events:
        for kind, times in (("resourcePreEvent", begins), ("resOutputsEvent", ends)):
            if kind in event:
                times[type_of(event[kind]["metadata"]["urn"])].append(when)
    # Pacing and boot are the cloud's; a rehearsed machine boots in so long, and creates wait for their window.
    waits_s = PACES[cloud].seconds(nodes) - PACES[cloud].boot_s
    cloud_s = waits_s + FAST.provision_s + FAST.boot_s
    return {
        "whole `up`": wall_s,
        "of it the cloud's: creates paced, boot": cloud_s,
        "**ours: the rest**": wall_s - cloud_s,
        "until the first identity (engine, program)": min(begins[_IDENTITY]),
        "first to last machine asked for": max(begins[_MACHINE[cloud]]) - min(begins[_IDENTITY]),
        "last machine asked for to last enrolled": max(ends[_ENROLMENT]) - max(begins[_MACHINE[cloud]]),
        "inventory and end": wall_s - max(ends[_ENROLMENT]),
    }, spent


def main() -> int:
    """Measure and write the section."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nodes", type=int, default=50)
    parser.add_argument("--clouds", default=",".join(REGIONS))
    parser.add_argument("--runs", type=int, default=1)
    chosen = parser.parse_args()
    load = results.load()
    clouds = chosen.clouds.split(",")
    measure(clouds[0], 1)  # builds the agent's bundle, which the user's cache keeps
    taken = {cloud: [measure(cloud, chosen.nodes) for _ in range(chosen.runs)] for cloud in clouds}
    phases = _medians({cloud: [one for one, _ in runs] for cloud, runs in taken.items()})
    spent = _medians({cloud: [one for _, one in runs] for cloud, runs in taken.items()})
    ours = [sum(statistics.median(one[name] for _, one in taken[cloud]) for name in OURS) for cloud in clouds]
    lines = [
        f"## `pulumi up` of {chosen.nodes} nodes on a rehearsed cloud, seconds",
        "",
        *results.table(["seconds", *clouds], phases),
        "",
        *results.table(["seconds of a processor", *clouds], spent),
        "",
        f"What a controller does itself (engine, program, provider): {' and '.join(f'{one:.0f} s' for one in ours)}",
        "of a processor; the nodes, which run on the same processors here, do the most.",
        "Reproduce: `make bench BENCH=cloud`.",
    ]
    results.write("cloud", lines, load_before=load)
    return 0


def _medians(taken: dict[str, list[Seconds]]) -> list[list[str]]:
    names = next(iter(taken.values()))[0]
    return [
        [name, *(f"{statistics.median(one[name] for one in runs):.1f}" for runs in taken.values())] for name in names
    ]


if __name__ == "__main__":
    sys.exit(main())

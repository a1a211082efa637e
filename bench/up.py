"""Where the seconds of `pulumi up` go, for local fleets of several sizes; an empty preview and update; destroy.

    python -m bench.up [--nodes 1,3,30] [--runs 3]

The phases are read from the engine's own event log while it is written: a resource's first event to its outputs,
and within an enrolment from one status to the next.
"""

import argparse
import collections
import itertools
import json
import os
import pathlib
import statistics
import subprocess
import sys
import threading
import time
from typing import Any

from bench import results, stack

Seconds = dict[str, float]
_NODE, _ENROLMENT, _PROVIDER = "gaxx:index:LocalNode", "gaxx:index:Enrolment", "pulumi:providers:gaxx"
PHASES = (
    ("engine and program start", "until the first resource"),
    ("provider start", "until the provider answers"),
    ("boot", "first to last LocalNode: folder, sshd"),
    ("enrol", "first to last Enrolment, overlaps boot"),
    ("inventory and end", "after the last Enrolment"),
)
_STEPS = {
    "waiting for SSH": "log-in, facts",
    "building the agent": "bundle from the cache (once)",
    "pushing the agent": "push the bundle (once a machine)",
    "exchanging keys": "keys, certificate, manifest, start of the agent",
    "asking the agent": "agent asked",
}


class Follower(threading.Thread):
    """Notes when each event of an engine's log arrives; the log's own time stamps are whole seconds."""

    def __init__(self, path: pathlib.Path) -> None:
        super().__init__()
        os.mkfifo(path)
        self._path = path
        self.events: list[tuple[float, dict[str, Any]]] = []

    def run(self) -> None:
        """Read to the end."""
        with self._path.open() as lines:
            for line in lines:
                self.events.append((time.monotonic(), json.loads(line)))


def timed(project: stack.Project, *argv: str) -> tuple[float, list[tuple[float, dict[str, Any]]]]:
    """Run `pulumi`; return its seconds and its events, each with the seconds since the start."""
    path = project.base / "home/events"
    follower = Follower(path)
    follower.start()
    began = time.monotonic()
    try:
        project.pulumi(*argv, f"--event-log={path}")
        wall_s = time.monotonic() - began
    finally:
        # Whoever waits for a writer that never came is let go.
        subprocess.run(["timeout", "1", "sh", "-c", f': > "{path}"'], check=False)
        follower.join()
        path.unlink()
    return wall_s, [(when - began, event) for when, event in follower.events]


def phases(wall_s: float, events: list[tuple[float, dict[str, Any]]]) -> tuple[Seconds, dict[str, list[float]]]:
    """Return the seconds of each phase, and of each step of every enrolment."""
    begins: dict[str, list[float]] = collections.defaultdict(list)
    ends: dict[str, list[float]] = collections.defaultdict(list)
    told: dict[str, list[tuple[float, str]]] = collections.defaultdict(list)
    for when, event in events:
        if "resourcePreEvent" in event:
            begins[type_of(event["resourcePreEvent"]["metadata"]["urn"])].append(when)
        elif "resOutputsEvent" in event:
            urn = event["resOutputsEvent"]["metadata"]["urn"]
            ends[type_of(urn)].append(when)
            told[urn].append((when, ""))
        elif event.get("diagnosticEvent", {}).get("urn"):
            told[event["diagnosticEvent"]["urn"]].append((when, event["diagnosticEvent"]["message"]))
    first = min(min(times) for times in begins.values())
    seconds = {
        "engine and program start": first,
        "provider start": max(ends[_PROVIDER]) - first,
        "boot": max(ends[_NODE]) - min(begins[_NODE]),
        "enrol": max(ends[_ENROLMENT]) - min(begins[_ENROLMENT]),
        "inventory and end": wall_s - max(ends[_ENROLMENT]),
    }
    steps: dict[str, list[float]] = collections.defaultdict(list)
    for urn, said in told.items():
        if type_of(urn) != _ENROLMENT:
            continue
        for (when, message), (after, _) in itertools.pairwise(said):
            for beginning, name in _STEPS.items():
                if message.startswith(beginning):
                    steps[name].append(after - when)
    return seconds, steps


def type_of(urn: str) -> str:
    """The type of the resource itself, of all those in its URN."""
    return urn.split("::")[2].rsplit("$", 1)[-1]


def measure(nodes: int) -> tuple[Seconds, Seconds, dict[str, list[float]]]:
    """Bring a new project's fleet up, look twice at it, take it down; return whole times, phases and steps."""
    always = ("--yes", "--skip-preview", "--parallel", stack.PARALLEL)
    with stack.project() as project:
        project.configure(nodes)
        up_s, events = timed(project, "up", *always)
        preview_s, _ = timed(project, "preview", "--expect-no-changes", "--parallel", stack.PARALLEL)
        again_s, _ = timed(project, "up", *always)
        destroy_s, _ = timed(project, "destroy", *always)
    whole = {
        "up": up_s,
        "preview, nothing to do": preview_s,
        "up, nothing to do": again_s,
        "destroy": destroy_s,
    }
    return whole, *phases(up_s, events)


def main() -> int:
    """Measure and write the section."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nodes", default="1,3,30", help="sizes of the fleet")
    parser.add_argument("--runs", type=int, default=3)
    chosen = parser.parse_args()
    load = results.load()
    sizes = [int(word) for word in chosen.nodes.split(",")]
    # The first of all builds the agent's bundle, which the user's cache keeps: it is not counted.
    measure(1)
    whole: dict[int, list[Seconds]] = {nodes: [] for nodes in sizes}
    parts: dict[int, list[Seconds]] = {nodes: [] for nodes in sizes}
    steps: dict[int, dict[str, list[float]]] = {nodes: collections.defaultdict(list) for nodes in sizes}
    for turn in range(chosen.runs):
        for nodes in sizes:
            got, got_parts, got_steps = measure(nodes)
            print(f"  run {turn + 1}, {nodes} nodes: {got['up']:.1f} s up, {got['destroy']:.1f} s destroy", flush=True)
            whole[nodes].append(got)
            parts[nodes].append(got_parts)
            for name, seconds in got_steps.items():
                steps[nodes][name] += seconds
    head = [f"{nodes} node{'s' if nodes > 1 else ''}" for nodes in sizes]
    lines = [
        "## `pulumi up` of local nodes, seconds",
        "",
        *results.table(["whole process", *head], _medians(whole, {name: name for name in whole[sizes[0]][0]})),
        "",
        *results.table(["phase of `up`", *head], _medians(parts, {name: f"{name}: {text}" for name, text in PHASES})),
        "",
        *results.table(["step of one enrolment, median (longest)", *head], _spread(steps)),
        "",
        f"Medians of {chosen.runs} runs, each with a new project, `--parallel {stack.PARALLEL}`; the agent bundle was",
        "built before. Reproduce: `make bench BENCH=up`.",
    ]
    results.write("up", lines, load_before=load)
    return 0


def _medians(taken: dict[int, list[Seconds]], labels: dict[str, str]) -> list[list[str]]:
    return [
        [label, *(f"{statistics.median(one[name] for one in runs):.1f}" for runs in taken.values())]
        for name, label in labels.items()
    ]


def _spread(steps: dict[int, dict[str, list[float]]]) -> list[list[str]]:
    def cell(seconds: list[float]) -> str:
        return f"{statistics.median(seconds):.1f} ({max(seconds):.1f})" if seconds else ""

    return [[name, *(cell(found[name]) for found in steps.values())] for name in _STEPS.values()]


if __name__ == "__main__":
    sys.exit(main())

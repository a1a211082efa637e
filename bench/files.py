"""One large file to every node: `gaxx put` beside parallel-ssh's SFTP and GNU parallel with scp, on the same nodes.

    python -m bench.files [--nodes 10] [--mib 200] [--runs 5]

Whole processes from a cold start. The file is a new one for every run, or gaxx would find that the nodes have it;
after every run its sha256 is compared on every node, outside of the measured time, and it is removed again.
"""

import argparse
import hashlib
import json
import os
import pathlib
import shutil
import sys
from collections.abc import Callable

from bench import results, stack, timing
from bench.peers import access
from components.inventory import Inventory

GOAL = 1.0
"""How much of the fastest peer's throughput, in sum over the nodes, gaxx is meant to have at least."""
_GAXX = "gaxx put"
_NAME = "bench-file"
_PEERS = pathlib.Path(__file__).resolve().parent / "peers"
_BLOCK_BYTES = 1 << 20


def measure(project: stack.Project, mib: int, runs: int) -> dict[str, timing.Summary]:
    """Let all tools that are installed take turns."""
    inventory = project.inventory()
    folder = access.write(project, inventory)
    targets = _targets(project, inventory)
    (folder / "targets.json").write_text(json.dumps({node.ssh_host: targets[node.name] for node in inventory.nodes}))
    (folder / "copies").write_text("".join(f"{name}\t{target}\n" for name, target in targets.items()))
    file = folder / "file"
    with file.open("wb") as writing:
        for _ in range(mib):
            writing.write(os.urandom(_BLOCK_BYTES))
    config, wide = str(folder / "ssh_config"), str(len(inventory.nodes))
    commands = {
        _GAXX: ["gaxx", "put", str(file), "--to", _NAME],
        "parallel-ssh library, SFTP": [sys.executable, str(_PEERS / "parallel_ssh_copy.py"), str(folder), str(file)],
        "GNU parallel + scp": [
            "parallel", "-j", wide, "-a", str(folder / "copies"), "--colsep", "\t",
            "scp", "-q", "-F", config, str(file), "{1}:{2}",
        ],
    }  # fmt: skip

    def runner(argv: list[str]) -> Callable[[], timing.Sample]:
        def run() -> timing.Sample:
            with file.open("r+b") as writing:
                writing.write(os.urandom(64))
            sample = timing.measure(argv, environment=project.environment, folder=project.folder)
            _check(project, file)
            return sample

        return run

    path = project.environment["PATH"]
    tools = {name: runner(argv) for name, argv in commands.items() if shutil.which(argv[0], path=path)}
    try:
        return timing.interleaved(tools, runs=runs)
    finally:
        shutil.rmtree(folder)


def _targets(project: stack.Project, inventory: Inventory) -> dict[str, str]:
    """Where the file goes on each node: the work folder, for all tools."""
    events = [json.loads(line) for line in project.run("gaxx", "run", "--json", "--", "pwd").splitlines()]
    folders = {event["node"]: event["stdout"].strip() for event in events if event["event"] == "node"}
    return {node.name: f"{folders[node.name]}/{_NAME}" for node in inventory.nodes}


def _check(project: stack.Project, file: pathlib.Path) -> None:
    """Compare the file on every node and remove it; raise RuntimeError when one is not whole."""
    with file.open("rb") as reading:
        digest = hashlib.file_digest(reading, "sha256").hexdigest()
    # One command, so that a file that is not whole ends the measurement.
    script = 'test "$(sha256sum < "$1")" = "$2  -" && rm "$1"'
    project.run("gaxx", "run", "--", "sh", "-c", script, "sh", _NAME, digest)


def main() -> int:
    """Measure and write the section."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nodes", type=int, default=10)
    parser.add_argument("--mib", type=int, default=200, help="size of the file")
    parser.add_argument("--runs", type=int, default=5, help="counted runs of each tool")
    chosen = parser.parse_args()
    load = results.load()
    with stack.fleet(chosen.nodes) as project:
        answers = measure(project, chosen.mib, chosen.runs)
    results.write("files", _section(answers, chosen.nodes, chosen.mib, chosen.runs), load_before=load)
    return 0


def _section(answers: dict[str, timing.Summary], nodes: int, mib: int, runs: int) -> list[str]:
    own = answers[_GAXX]
    rows = [
        [
            name,
            f"{got.wall_s:.2f}",
            f"{got.fastest_s:.2f} to {got.slowest_s:.2f}",
            f"{nodes * mib / got.wall_s:.0f}",
            f"{got.cpu_s:.2f}",
            results.mib(got.peak_rss_bytes),
            f"{got.wall_s / own.wall_s:.1f} x",
        ]
        for name, got in answers.items()
    ]
    peers = {name: got.wall_s for name, got in answers.items() if name != _GAXX}
    lines = [
        f"## A file of {mib} MiB to {nodes} nodes",
        "",
        *results.table(["tool", "wall s", "range", "MiB/s in sum", "CPU s", "RSS MiB", "gaxx = 1"], rows),
        "",
    ]
    if peers:
        fastest = min(peers, key=lambda name: peers[name])
        ratio = peers[fastest] / own.wall_s
        lines += [
            f"**{ratio:.1f} times the throughput of the fastest other tool** ({fastest}); the goal is {GOAL:.1f}.",
            "",
        ]
    lines += [
        (
            f"Medians of {runs} runs after a warm-up, taking turns; a new file every run, its sha256 compared on every "
            "node. gaxx also checks the sha256 itself, within its time. CPU is the controller's side only (children "
            "included), RSS that of the largest process. Controller and nodes share this machine's cores. "
            "Reproduce: `make bench BENCH=files`."
        ),
    ]
    return lines


if __name__ == "__main__":
    sys.exit(main())

"""One command on every node: `gaxx run -- true` beside other tools on the same nodes' sshd.

    python -m bench.run [--nodes 1,3,30] [--runs 7]

Whole processes from a cold start of the interpreter; the stack and its inventory are there, no connection is kept.
"""

import argparse
import pathlib
import shutil
import sys
from collections.abc import Callable

from bench import results, stack, timing
from bench.peers import access

GOAL = 3.0
"""How many times faster than the fastest of LIBRARIES gaxx is meant to be on the largest fleet."""
LIBRARIES = ("parallel-ssh library", "Fabric ThreadingGroup", "clush")
_GOAL_NODES = 30
_GAXX = "gaxx run"
_PEERS = pathlib.Path(__file__).resolve().parent / "peers"


def measure(project: stack.Project, nodes: int, runs: int) -> dict[str, timing.Summary]:
    """Let all tools that are installed take turns."""
    inventory = project.inventory()
    project.run("gaxx", "run", "--", "true")
    folder = access.write(project, inventory)
    names = [node.name for node in inventory.nodes]
    addresses = [f"{node.ssh_user}@{node.ssh_host}:{node.ssh_port}" for node in inventory.nodes]
    (folder / "names").write_text("".join(f"{name}\n" for name in names))
    (folder / "hosts").write_text("".join(f"{address}\n" for address in addresses))
    config, wide = str(folder / "ssh_config"), str(nodes)
    commands = {
        _GAXX: ["gaxx", "run", "--", "true"],
        LIBRARIES[0]: [sys.executable, str(_PEERS / "parallel_ssh.py"), str(folder), "true"],
        LIBRARIES[1]: [sys.executable, str(_PEERS / "fabric_group.py"), str(folder), "true"],
        LIBRARIES[2]: ["clush", "-S", "-f", wide, "-o", f"-F {config}", "-w", ",".join(names), "true"],
        "pssh": ["parallel-ssh", "-p", wide, "-h", str(folder / "hosts"), "-x", f"-F {config}", "true"],
        "GNU parallel + ssh": [
            "parallel", "-j", wide, "-a", str(folder / "names"), "ssh", "-n", "-F", config, "{}", "true",
        ],
        "xargs + ssh": ["xargs", "-P", wide, "-n1", "-a", str(folder / "names"), *_ssh_one(config)],
    }  # fmt: skip

    def runner(argv: list[str]) -> Callable[[], timing.Sample]:
        return lambda: timing.measure(argv, environment=project.environment, folder=project.folder)

    path = project.environment["PATH"]
    tools = {name: runner(argv) for name, argv in commands.items() if shutil.which(argv[0], path=path)}
    try:
        return timing.interleaved(tools, runs=runs)
    finally:
        shutil.rmtree(folder)


def _ssh_one(config: str) -> list[str]:
    # xargs puts the name last; ssh takes the command after it.
    return ["sh", "-c", f'exec ssh -n -F {config} "$1" true', "sh"]


def main() -> int:
    """Measure each size and write the section."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nodes", default="1,3,30", help="sizes of the fleet")
    parser.add_argument("--runs", type=int, default=7, help="counted runs of each tool")
    chosen = parser.parse_args()
    load = results.load()
    sizes = [int(word) for word in chosen.nodes.split(",")]
    answers: dict[int, dict[str, timing.Summary]] = {}
    with stack.project() as project:
        for nodes in sizes:
            print(f"{nodes} nodes")
            project.configure(nodes)
            project.up()
            answers[nodes] = measure(project, nodes, chosen.runs)
    lines = ["## One command on every node: `gaxx run -- true`", ""]
    for nodes in sizes:
        lines += [*_section(nodes, answers[nodes]), ""]
    lines += [
        f"Medians of {chosen.runs} runs after a warm-up, taking turns. CPU is the controller's side only (children",
        "included), RSS that of its largest process (about 9 MiB is the least that can be seen).",
        "Reproduce: `make bench BENCH=run`.",
    ]
    results.write("run", lines, load_before=load)
    return 0


def _section(nodes: int, answers: dict[str, timing.Summary]) -> list[str]:
    own = answers[_GAXX]
    rows = [
        [
            name,
            f"{got.wall_s:.2f}",
            f"{got.fastest_s:.2f} to {got.slowest_s:.2f}",
            f"{got.cpu_s:.2f}",
            results.mib(got.peak_rss_bytes),
            f"{got.wall_s / own.wall_s:.1f} x",
        ]
        for name, got in answers.items()
    ]
    compared = {name: answers[name].wall_s for name in LIBRARIES if name in answers}
    fastest = min(compared, key=lambda name: compared[name])
    ratio = compared[fastest] / own.wall_s
    verdict = f"**{ratio:.1f} times faster than the fastest of {', '.join(compared)}** ({fastest})"
    goal = f"; the goal is {GOAL:.0f} x" if nodes >= _GOAL_NODES else ""
    return [
        f"### {nodes} node{'s' if nodes > 1 else ''}",
        "",
        *results.table(["tool", "wall s", "range", "CPU s", "RSS MiB", "gaxx = 1"], rows),
        "",
        f"{verdict}{goal}.",
    ]


if __name__ == "__main__":
    sys.exit(main())

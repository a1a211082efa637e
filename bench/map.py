"""Trivial items over a fleet: `gaxx map` beside xargs and GNU parallel, which work locally and keep no ledger.

python -m bench.map [--items 20000] [--nodes 20] [--runs 3]
"""

import argparse
import json
import shutil
import sys
from collections.abc import Callable

from bench import results, stack, timing

XARGS_GOAL = 0.7
PARALLEL_GOAL = 4.0
_GAXX, _XARGS, _PARALLEL = "gaxx map", "xargs -P4", "GNU parallel -j4"


def rates(project: stack.Project, items: int, runs: int) -> dict[str, timing.Summary]:
    """Let the tools take turns on the same items."""
    path = project.base / "home/items"
    path.write_text("".join(f"item-{number}\n" for number in range(items)))
    commands = {
        _GAXX: ["gaxx", "map", "-a", str(path), "--", "true"],
        _XARGS: ["xargs", "-P4", "-n1", "-a", str(path), "true"],
        _PARALLEL: ["parallel", "-j4", "-a", str(path), "true"],
    }

    def runner(argv: list[str]) -> Callable[[], timing.Sample]:
        return lambda: timing.measure(argv, environment=project.environment, folder=project.folder)

    path_variable = project.environment["PATH"]
    tools = {name: runner(argv) for name, argv in commands.items() if shutil.which(argv[0], path=path_variable)}
    project.run("gaxx", "map", "-a", str(path), "--", "true")
    return timing.interleaved(tools, runs=runs, warm_up=0)


def main() -> int:
    """Measure and write the section."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, default=20_000)
    parser.add_argument("--nodes", type=int, default=20)
    parser.add_argument("--runs", type=int, default=3, help="counted runs of each tool")
    chosen = parser.parse_args()
    load = results.load()
    with stack.fleet(chosen.nodes) as project:
        print(f"{chosen.nodes} nodes, {chosen.items} items")
        answers = rates(project, chosen.items, chosen.runs)
        print(json.dumps({name: answer.wall_s for name, answer in answers.items()}))
    lines = [
        f"## Trivial items: {chosen.items:,} x `true`, {chosen.nodes} local nodes",
        "",
        *_rates(chosen.items, answers),
        "",
        f"Medians of {chosen.runs} runs, taking turns, whole processes; xargs and GNU parallel start the items",
        "themselves, without nodes, journal or results. Reproduce: `make bench BENCH=map`.",
    ]
    results.write("map", lines, load_before=load)
    return 0


def _rates(items: int, answers: dict[str, timing.Summary]) -> list[str]:
    own = answers[_GAXX]
    rows = [
        [
            name,
            f"{got.wall_s:.1f}",
            f"{got.fastest_s:.1f} to {got.slowest_s:.1f}",
            f"{items / got.wall_s:,.0f}",
            f"{got.cpu_s:.1f}",
            results.mib(got.peak_rss_bytes),
            f"{got.wall_s / own.wall_s:.2f}",
        ]
        for name, got in answers.items()
    ]
    goals = []
    for name, goal in ((_XARGS, XARGS_GOAL), (_PARALLEL, PARALLEL_GOAL)):
        if name in answers:
            ratio = answers[name].wall_s / own.wall_s
            goals.append(f"**{ratio:.2f} times the items a second of {name}** (the goal is {goal:g})")
        else:
            goals.append(f"{name} is not installed")
    head = ["tool", "wall s", "range", "items/s", "CPU s", "RSS MiB", "wall, gaxx = 1"]
    return [*results.table(head, rows), "", f"{'; '.join(goals)}."]


if __name__ == "__main__":
    sys.exit(main())

"""The controller's peak memory while items come from a pipe, for inputs of growing length.

python -m bench.map_memory [--nodes 20] [--items 10000,100000,1000000]
"""

import argparse
import pathlib
import sys
import tempfile

from bench import results, stack, timing


def memory(project: stack.Project, items: int) -> tuple[timing.Sample, int]:
    """Run so many items from a pipe; return the sample and the largest peak memory of the nodes' processes so far."""
    with tempfile.TemporaryFile() as said:
        sample = timing.measure(
            ["gaxx", "map", "--", "true"],
            environment=project.environment,
            folder=project.folder,
            piped_from=["seq", str(items)],
            keeps=said,
        )
        said.seek(0)
        ledger = said.read().decode()
    if f"{items}" not in ledger.replace(",", ""):
        message = f"the ledger does not say that {items} items were done:\n{ledger[-2000:]}"
        raise RuntimeError(message)
    return sample, _nodes_peak_bytes(project)


def _nodes_peak_bytes(project: stack.Project) -> int:
    mark = f"{project.base}/state/nodes".encode()
    peaks = [0]
    for folder in pathlib.Path("/proc").iterdir():
        if not folder.name.isdigit():
            continue
        try:
            if mark not in (folder / "cmdline").read_bytes():
                continue
            lines = (folder / "status").read_text().splitlines()
        except OSError:
            continue  # it has just ended
        peaks += [int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:")]
    return max(peaks)


def main() -> int:
    """Measure and write the section."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nodes", type=int, default=20)
    parser.add_argument("--items", default="10000,100000,1000000", help="lengths of the piped inputs")
    chosen = parser.parse_args()
    load = results.load()
    answers = {}
    with stack.fleet(chosen.nodes) as project:
        for items in (int(word) for word in chosen.items.split(",")):
            answers[items] = memory(project, items)
            print(f"  {items} items: {results.mib(answers[items][0].peak_rss_bytes)} MiB", flush=True)
    lines = [
        f"## Memory of a map: `seq N | gaxx map -- true`, {chosen.nodes} local nodes",
        "",
        *_rows(answers),
        "",
        "One run each. Reproduce: `make bench BENCH=map_memory`.",
    ]
    results.write("map_memory", lines, load_before=load)
    return 0


def _rows(answers: dict[int, tuple[timing.Sample, int]]) -> list[str]:
    rows = [
        [
            f"{items:,}",
            f"{sample.wall_s:.1f}",
            f"{items / sample.wall_s:,.0f}",
            results.mib(sample.peak_rss_bytes),
            results.mib(nodes_peak),
        ]
        for items, (sample, nodes_peak) in answers.items()
    ]
    head = ["items from a pipe", "wall s", "items/s", "controller's peak MiB", "largest process of a node so far, MiB"]
    return results.table(head, rows)


if __name__ == "__main__":
    sys.exit(main())

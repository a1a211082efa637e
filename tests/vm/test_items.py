"""An item on a real machine is in a control group of its own: what it takes and leaves is its own affair."""

import json

import pytest

from tests.stack.project import Project
from tests.vm.inside import inside

pytestmark = [pytest.mark.vm, pytest.mark.timeout(1800)]

GROUP = "/sys/fs/cgroup$(cut -d: -f3 /proc/self/cgroup)"
EATS = "exec head -c 20G /dev/zero | tail -n 1"
FORKS = "import threading as t, time\nwhile True: t.Thread(target=time.sleep, args=(60,), daemon=True).start()"


def test_each_item_is_in_a_group_with_limits_of_memory_processes_and_processor(vm: Project) -> None:
    groups = json.loads(
        vm.gaxx(
            "run", "-n", "demo-1", "--json", "--", "sh", "-c", f"cd {GROUP}; pwd; cat memory.max pids.max cpu.weight"
        ).stdout.splitlines()[0]
    )["stdout"].split()

    assert "gaxx-runner.service/item-" in groups[0]
    memory_bytes, processes, weight = (int(text) for text in groups[1:])
    assert 0 < memory_bytes < 2**31
    assert processes == 4096
    assert weight == 100


def test_what_an_item_leaves_behind_ends_with_it_even_in_a_session_of_its_own(vm: Project) -> None:
    leaves = "setsid sleep 86311 >/dev/null 2>&1 </dev/null & setsid -f sleep 86312 >/dev/null 2>&1"
    assert len(inside(vm, f"{leaves}; until pgrep -fc 'sleep 8631[12]$' | grep 2; do :; done").split()) == 1

    assert inside(vm, "pgrep -f 'sleep 8631[12]$' || echo nobody") == "nobody\n"


def test_an_item_that_takes_all_memory_is_ended_as_a_whole_and_the_others_work_on(vm: Project) -> None:
    # The shell would survive its child, were the group not killed as one.
    items = ["greedy", *(f"modest{number}" for number in range(8))]
    script = f'case "$GAXX_ITEM" in greedy) ({EATS}); echo survived;; *) sleep 3; echo fine;; esac'
    done = vm.gaxx("map", "-n", "demo-1", "--json", "--", "sh", "-c", script, stdin="\n".join(items) + "\n", check=3)

    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert (lines[-1]["ok"], lines[-1]["failed"]) == (8, 1)
    (failed,) = (line for line in lines if line.get("state") == "failed")
    assert "out of memory: all items together may use" in failed["error"], failed
    assert "survived" not in done.stdout


def test_an_item_that_forks_without_end_is_told_its_limit_and_the_machine_lives(vm: Project) -> None:
    done = vm.gaxx("run", "-n", "demo-1", "--json", "--", "python3", "-c", FORKS, check=3, limit_s=600)

    assert "it reached the limit of 4096 processes" in json.loads(done.stdout.splitlines()[0])["error"]
    vm.gaxx("run", "--", "true")

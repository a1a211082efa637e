"""A new authority, new keys and tokens, on machines that work meanwhile."""

import json

import pytest

from components.inventory import Node
from tests.stack.project import Project
from tests.vm import user_data
from tests.vm.inside import as_root
from tests.waiting import until

# As long as it takes; the engine's tier has the same on local nodes.
pytestmark = [pytest.mark.vm, pytest.mark.soak, pytest.mark.timeout(1800)]

ITEMS = 500


def test_all_is_renewed_under_a_map_of_which_no_item_fails(vm: Project, node: Node) -> None:
    answers, gate = vm.base / "answers", "/var/lib/gaxx/work/gate"
    answers.write_text("")
    (vm.base / "items").write_text("".join(f"{index}\n" for index in range(ITEMS)))
    # The last items are there until all is over.
    item = f'[ "$GAXX_ITEM" -lt {ITEMS - 8} ] || until [ -e {gate} ]; do sleep 0.2; done'
    work = f"exec gaxx map --json -a {vm.base}/items -- sh -c '{item}' >{answers} 2>{vm.base}/said"
    key = as_root(vm, "cat /etc/gaxx/tls/node.key")
    with vm.started("sh", "-c", work) as mapping:
        until(lambda: answers.stat().st_size > 0, deadline_s=120)

        vm.gaxx("rotate", "--authority", "--keys", "--tokens", "--yes", limit_s=1200)

        assert mapping.poll() is None, (vm.base / "said").read_text()
        vm.gaxx("run", "--", "touch", gate)
        mapping.wait(timeout=600)
    ledger = json.loads(answers.read_text().splitlines()[-1])
    assert (mapping.returncode, ledger["ok"], ledger["failed"]) == (0, ITEMS, 0), (vm.base / "said").read_text()
    vm.gaxx("run", "--", "rm", gate)
    after = vm.inventory().nodes[0]
    assert after.machine_id == node.machine_id
    assert set(after.ssh_host_keys).isdisjoint(node.ssh_host_keys)
    assert as_root(vm, "cat /etc/gaxx/tls/node.key") != key
    assert user_data.doors_opened(vm, after) == []
    vm.pulumi("preview", "--expect-no-changes")

"""The store of a rehearsal keeps time as a vendor does, and loses nothing."""

import hypothesis
import hypothesis.strategies as st
import pytest

from tasks.rehearsal.store import FAST, Instance, Order, Pace, Store

PACE = Pace(provision_s=5, boot_s=10, delete_s=2, slow_boot_s=60)


class Clock:
    """Stands still until it is told to go on."""

    def __init__(self) -> None:
        self.now = 1_700_000_000.0

    def __call__(self) -> float:
        return self.now


def order(label: str = "web-1", firewall: str = "") -> Order:
    return Order("linode", label, [], "nl-ams", "g6-nanode-1", "linode/debian12", firewall, "")


def made(store: Store, **options: bool) -> Instance:
    instance = store.create(order(), **options)
    instance.up = True
    return instance


def test_an_instance_goes_through_its_phases_in_time() -> None:
    clock = Clock()
    instance = made(Store(clock, PACE))
    phases = [instance.phase(clock.now + age_s) for age_s in (0, 4.9, 5, 14.9, 15)]
    assert phases == ["provisioning", "provisioning", "booting", "booting", "running"]


def test_it_does_not_run_before_its_local_node_does() -> None:
    clock = Clock()
    instance = Store(clock, PACE).create(order())
    assert instance.phase(clock.now + 1000) == "booting"


@pytest.mark.parametrize(("fault", "age_s"), [("slow", 64.9), ("never", 1e9)])
def test_a_fault_keeps_it_from_running(fault: str, age_s: float) -> None:
    clock = Clock()
    instance = made(Store(clock, PACE), **{fault: True})
    assert instance.phase(clock.now + age_s) == "booting"


def test_a_deleted_one_is_listed_until_its_time_and_then_gone_for_good() -> None:
    clock = Clock()
    store = Store(clock, PACE)
    instance = made(store)
    store.delete(instance)
    assert store.instance("linode", instance.id) is instance
    assert instance.phase(clock.now) == "deleting"
    clock.now += 2
    assert store.instance("linode", instance.id) is None
    assert store.left() == {"instances": 0, "firewalls": 0}


def test_one_vendor_does_not_see_the_others_machines() -> None:
    store = Store(Clock(), FAST)
    instance = made(store)
    assert store.instance("vultr", instance.id) is None
    assert store.instances("vultr") == []


@hypothesis.given(st.lists(st.integers(0, 4), max_size=40))
def test_no_two_instances_ever_share_an_address(steps: list[int]) -> None:
    # 0 makes one, 1 to 4 delete one or let its node go.
    store = Store(Clock(), FAST)
    holding: list[Instance] = []
    for step in steps:
        if step == 0:
            instance = made(store)
            instance.held = True
            holding.append(instance)
        elif holding and step < 3:
            store.delete(holding[step % len(holding)])
        elif holding:
            gone = holding[step % len(holding)]
            if gone.gone_at is not None:
                gone.held = False
                holding.remove(gone)
        slots = [instance.slot for instance in holding]
        assert len(slots) == len(set(slots))

"""Rules as data and as nftables text, which nft itself reads."""

import pathlib
import shutil
import subprocess

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from components.firewall_rules import EVERYWHERE, Rule, boot_rules, nftables, rules
from components.fleet_settings import FleetSettings
from components.ports import Port
from components.settings import parse_settings

RANGES = st.sampled_from(
    [
        "10.0.0.0/8",
        "10.1.0.0/16",
        "192.168.0.0/16",
        "192.0.2.0/24",
        "203.0.113.7/32",
        "fd00::/8",
        "2001:db8::/32",
        "::1/128",
    ]
)


def fleet(**changes: object) -> FleetSettings:
    entry = {"name": "render", "cloud": "qemu", **changes}
    return parse_settings({"fleets": [entry]}, project="gaxx", stack="demo").fleets[0]


def checked_by_nft(folder: pathlib.Path, text: str) -> None:
    nft = shutil.which("nft", path="/usr/sbin:/sbin:/usr/bin")
    assert nft, "nft is missing"
    path = folder / "rules.nft"
    path.write_text(text)
    # In a network namespace of its own the check needs no right over this machine's tables.
    done = subprocess.run(
        ["unshare", "--net", "--map-root-user", nft, "-c", "-f", str(path)],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 0, done.stderr + text


def test_the_rules_of_a_fleet_are_ssh_agent_metrics_and_no_profiler() -> None:
    found = rules(fleet(trustedCidrs=["10.0.0.0/8"], sshCidrs=["203.0.113.7/32"]))
    assert found == (
        Rule("accept", "tcp", Port.SSH, ("203.0.113.7/32",), "gaxx-ssh"),
        Rule("accept", "tcp", Port.AGENT, ("10.0.0.0/8",), "gaxx-agent"),
        Rule("accept", "tcp", Port.METRICS, ("10.0.0.0/8",), "gaxx-metrics"),
        Rule("drop", "tcp", Port.PROFILE, EVERYWHERE, "gaxx-no-profile"),
    )


def test_a_local_fleet_has_its_ssh_at_2222() -> None:
    assert rules(fleet(cloud="local"))[0].port == Port.LOCAL_SSH


def test_nobody_trusted_means_no_rule_for_the_agent() -> None:
    found = rules(fleet(trustedCidrs=[], reach="ssh"))
    assert [rule.port for rule in found] == [Port.SSH, Port.PROFILE]


@given(st.lists(RANGES, min_size=1, max_size=6, unique=True))
def test_the_order_in_which_ranges_are_declared_changes_nothing(ranges: list[str]) -> None:
    shuffled = sorted(ranges)
    assert rules(fleet(trustedCidrs=ranges)) == rules(fleet(trustedCidrs=shuffled))
    assert nftables(rules(fleet(trustedCidrs=ranges))) == nftables(rules(fleet(trustedCidrs=shuffled)))


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    trusted=st.lists(RANGES, min_size=1, max_size=6, unique=True),
    ssh=st.lists(RANGES, min_size=1, max_size=3, unique=True),
    metadata_denied=st.booleans(),
)
def test_nft_accepts_the_ruleset_of_any_fleet(
    tmp_path: pathlib.Path, trusted: list[str], ssh: list[str], metadata_denied: bool
) -> None:
    checked_by_nft(
        tmp_path, nftables(rules(fleet(trustedCidrs=trusted, sshCidrs=ssh)), metadata_denied=metadata_denied)
    )


def test_nft_accepts_what_a_machine_boots_with(tmp_path: pathlib.Path) -> None:
    checked_by_nft(tmp_path, nftables(boot_rules()))


def test_everything_is_dropped_unless_accepted_and_the_profiler_before_anything_else() -> None:
    text = nftables(rules(fleet()))
    assert "hook input priority filter; policy drop;" in text
    assert text.index("tcp dport 6060 drop") < text.index("tcp dport 22 accept")
    accepted = [line.strip() for line in text.splitlines() if "tcp dport" in line and "accept" in line]
    assert accepted == [
        "ip saddr { 127.0.0.0/8, 192.0.2.2/32 } tcp dport 22 accept",
        "ip saddr { 10.0.0.0/8 } tcp dport 8088 accept",
        "ip saddr { 10.0.0.0/8 } tcp dport 9091 accept",
    ]


def test_labels_fit_the_vendors() -> None:
    labels = [rule.label for rule in (*rules(fleet()), *boot_rules())]
    assert all(3 <= len(label) <= 32 for label in labels)


@pytest.mark.skipif(not pathlib.Path("/proc/self/ns/net").exists(), reason="no network namespaces")
def test_loading_the_ruleset_twice_leaves_one_table_and_others_alone(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "rules.nft"
    path.write_text(nftables(rules(fleet()), metadata_denied=True))
    script = (
        f"nft add table inet other; nft -f {path}; nft -f {path}; nft list tables; "
        "nft list chain inet gaxx input | grep -c dport"
    )
    done = subprocess.run(
        ["unshare", "--net", "--map-root-user", "sh", "-ec", script],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
        env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"},
    )
    assert done.stdout.splitlines() == ["table inet other", "table inet gaxx", "6"], done.stderr

"""Releases that nodes may be and that no machine is booted of here: what ours brings, held to their own programs.

Their cloud-init reads the user-data, their sshd lets the bootstrap key in, their sudo and Python run the helper, and
the installer goes through to its end; only systemd does not run, which says so and starts nothing.
"""

import hashlib
import json
import pathlib
import re
import struct
from collections.abc import Iterator

import pytest

from components import bundle
from components.cloudinit import HELPER
from components.ports import Port
from components.provider import manifest
from components.provider.enrolling import CERTIFICATE_VALID_S, ENROL_PRINCIPAL
from tests import sshd_promises
from tests.vm import release_space
from tests.vm.release_space import KeyPair, Released
from tools.image.releases import RELEASES, Release

pytestmark = [pytest.mark.vm, pytest.mark.timeout(600)]

ROOT = pathlib.Path(__file__).parents[2]
USER = "gaxx-enrol"
ADDRESS = "192.0.2.7"


@pytest.fixture(scope="module", params=RELEASES, ids=lambda release: release.name)
def release(request: pytest.FixtureRequest) -> Release:
    """One of them, made."""
    found: Release = request.param
    assert found.is_made, f"no root of this recipe at {found.folder}: `make image`"
    return found


@pytest.fixture(scope="module")
def booted(release: Release, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Released]:
    """Its machine as the user-data leaves it."""
    with release_space.booted(release.root, tmp_path_factory.mktemp("booted")) as made:
        yield made


@pytest.fixture(scope="module")
def enrolled(release: Release, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Released]:
    """Another one, with an enrolment behind it."""
    with release_space.booted(release.root, tmp_path_factory.mktemp("enrolled")) as made:
        with made.sshd():
            enrol(made, tmp_path_factory.mktemp("bundles"))
        yield made


def helper(machine: Released, verb: str, stdin: bytes = b"") -> dict[str, str]:
    """Have the helper do something, over SSH and by sudo, with the bootstrap key."""
    done = machine.ssh(USER, machine.user, machine.host.public, f"sudo -n {HELPER} {verb}", stdin=stdin)
    assert done.returncode == 0, done.stdout + done.stderr
    answer: dict[str, str] = json.loads(done.stdout)
    return answer


def signed(machine: Released, data: bytes, what: str) -> bytes:
    """As the helper reads it."""
    signature = machine.authority.sign_detached(data, f"gaxx-{what}").encode()
    return struct.pack(">I", len(signature)) + signature + data


def enrol(machine: Released, cache: pathlib.Path) -> None:
    """Do what the provider does, step by step."""
    facts = helper(machine, "facts")
    built = bundle.build(facts["python"], facts["architecture"], cache)
    data = built.path.read_bytes()
    helper(machine, f"bundle {built.sha256} {len(data)}", signed(machine, data, "bundle"))
    request = json.dumps({"node": "demo-1", "renewKeys": False}).encode()
    identity = helper(machine, f"identity {built.sha256}", request)
    token = hashlib.sha256(machine.authority.token("ada").encode()).hexdigest()
    ada = {
        "name": "ada",
        "role": "operator",
        "tokenSha256": token,
        "sshPublicKey": KeyPair.make().public,
        "certificateSerial": "",
    }
    body = manifest.compose(
        {
            "node": "demo-1",
            "fleet": "demo",
            "machineId": "4711",
            "tlsName": "demo-1.demo.gaxx",
            "cloud": "linode",
            "address": ADDRESS,
            "sshPort": 22,
            "created": "2026-01-01T00:00:00+00:00",
            "ttlS": 3600,
            "idleS": 1800,
            "trustedCidrs": ["10.0.0.0/8", "fd00::/8"],
            "sshCidrs": ["203.0.113.7/32", "127.0.0.0/8"],
            "principals": [ada],
            "slots": 2,
            "env": {"COLOUR": "teal"},
            "files": {"/srv/a": {"content": "a\n", "mode": "0644"}},
        },
        serial=1,
        certificate=machine.authority.sign_node_csr(
            identity["csr"], name="demo-1", dns_names=["demo-1.demo.gaxx"], addresses=[ADDRESS], days=1
        ),
        authority_certificates=machine.authority.certificate_pem,
        authorities_ssh=[machine.authority.ssh_public_key],
        bundle=built.sha256,
        extra_principals=(),
    )
    # The installer asks for systemd; its client is there and knows that in a chroot it is to start nothing.
    machine.run("mkdir", "-p", "/run/systemd/system")
    answer = helper(machine, f"apply {built.sha256}", signed(machine, body, "manifest"))
    assert answer["sshHostKey"] == identity["sshHostKey"]


def host_key(machine: Released) -> str:
    """The one that its sshd has now."""
    return " ".join(machine.run("cat", "/etc/ssh/ssh_host_ed25519_key.pub").split()[:2])


def test_its_cloud_init_finds_nothing_wrong_with_the_user_data(booted: Released) -> None:
    booted.write("/tmp/user-data", booted.user_data.encode())
    assert "Valid" in booted.run("cloud-init", "schema", "--config-file", "/tmp/user-data")
    booted.write("/tmp/wrong", f"{booted.user_data}disable_root: perhaps\n".encode())
    booted.run("cloud-init", "schema", "--config-file", "/tmp/wrong", check=1)


def test_its_cloud_init_makes_of_it_what_was_meant(booted: Released) -> None:
    assert release_space.status(booted)["errors"] == []
    assert booted.run("stat", "-c", "%a %U", HELPER, "/etc/sudoers.d/gaxx-enrol").split() == [
        "755", "root", "440", "root",
    ]  # fmt: skip
    keys = booted.run("sh", "-c", "ls /etc/ssh/ssh_host_*_key")
    assert keys.split() == ["/etc/ssh/ssh_host_ed25519_key"], "no host key but the one that is known"
    assert host_key(booted) == booted.host.public
    users = [line.split(":")[0] for line in booted.run("cat", "/etc/passwd").splitlines()]
    assert [user for user in users if user in {USER, "debian", "ubuntu"}] == [USER]
    assert booted.run("passwd", "--status", USER).split()[1] == "L"


@pytest.mark.parametrize("user", [USER, "root", "ada"])
def test_its_sshd_takes_keys_only_and_nobody_as_root(booted: Released, enrolled: Released, user: str) -> None:
    for machine in (booted, enrolled):
        machine.run("/usr/sbin/sshd", "-t")
        sshd_promises.assert_kept(machine.sshd_settings(user))


def test_its_sshd_forwards_to_the_agent_alone_and_for_who_enrols_to_nothing(enrolled: Released) -> None:
    ports = (int(Port.AGENT), int(Port.METRICS))
    targets = [f"{host}:{port}" for host in ("127.0.0.1", ADDRESS) for port in ports]
    assert enrolled.sshd_settings("gaxx")["permitopen"].split() == targets
    assert enrolled.sshd_settings("gaxx")["authorizedkeysfile"] == "/etc/gaxx/authorized_keys/%u"
    for name in ("allowtcpforwarding", "allowstreamlocalforwarding", "allowagentforwarding", "permittty"):
        assert enrolled.sshd_settings(USER)[name] == "no"


def test_its_sudo_reads_the_one_right_that_there_is(booted: Released) -> None:
    assert "parsed OK" in booted.run("visudo", "-c")
    rights = booted.run("sudo", "-l", "-U", USER)
    assert [line.strip() for line in rights.splitlines() if "NOPASSWD" in line] == [f"(root) NOPASSWD: {HELPER}"]


def test_its_nft_accepts_the_first_rules_and_those_of_an_enrolment(booted: Released, enrolled: Released) -> None:
    for machine, open_ports in ((booted, {"22"}), (enrolled, {"22", "8088", "9091"})):
        machine.run("nft", "-c", "-f", "/etc/nftables.conf")
        machine.run("nft", "-f", "/etc/nftables.conf")
        listed = machine.run("nft", "list", "table", "inet", "gaxx")
        assert set(re.findall(r"tcp dport (\d+) (?:counter )?accept", listed)) == open_ports
        assert "policy drop" in listed
        machine.run("nft", "delete", "table", "inet", "gaxx")
    assert "169.254.169.254" in enrolled.run("cat", "/etc/nftables.conf")


def test_its_python_compiles_all_that_runs_there(booted: Released) -> None:
    booted.run("python3", "-W", "error", "-m", "py_compile", HELPER)
    for path in sorted((ROOT / "agent").rglob("*.py")):
        booted.write(f"/tmp/{path.relative_to(ROOT)}", path.read_bytes())
    booted.run("python3", "-W", "error", "-m", "compileall", "-q", "/tmp/agent")


def test_an_enrolment_by_its_own_programs_comes_to_its_end(enrolled: Released) -> None:
    known = json.loads(enrolled.run("cat", "/etc/gaxx/manifest.json"))
    assert (known["node"], known["serial"]) == ("demo-1", 1)
    assert enrolled.run("cat", "/srv/a") == "a\n"
    accounts = enrolled.run("id", "gaxx") + enrolled.run("id", "gaxx-agent") + enrolled.run("id", "gaxx-runner")
    assert accounts.count("gaxx-work") == 2
    enrolled.run("test", "!", "-e", "/var/lib/cloud/instances")


def test_what_the_user_data_held_opens_nothing_any_more(enrolled: Released) -> None:
    key = KeyPair.make()
    valid = enrolled.authority.sign_ssh_user(
        key.public, principals=[ENROL_PRINCIPAL], valid_s=CERTIFICATE_VALID_S, key_id="test"
    )
    command = f"sudo -n {HELPER} facts"
    now = host_key(enrolled)
    with enrolled.sshd():
        spent = enrolled.ssh(USER, enrolled.user, now, command)
        again = enrolled.ssh(USER, key, now, command, certificate=valid)
        old = enrolled.ssh(USER, key, enrolled.host.public, command, certificate=valid)
    assert b"Permission denied (publickey)" in spent.stderr
    assert json.loads(again.stdout)["enrolled"] is True, again.stderr
    assert b"Host key verification failed" in old.stderr


def test_its_systemd_reads_the_units_and_finds_them_closed(enrolled: Released) -> None:
    units = enrolled.run("sh", "-c", "ls /etc/systemd/system/gaxx-*").split()
    assert {"gaxx-agent.service", "gaxx-runner.service", "gaxx-expire.timer"} <= {
        pathlib.Path(one).name for one in units
    }
    enrolled.run("systemd-analyze", "verify", *units)
    # In tenths; the exit code is 1 where one is exposed more.
    for unit, limit in (("gaxx-agent.service", 15), ("gaxx-runner.service", 35)):
        enrolled.run("systemd-analyze", "security", "--offline=true", f"--threshold={limit}", unit)


def test_the_agent_starts_under_its_python_and_says_what_it_lacks(enrolled: Released) -> None:
    tree = json.loads(enrolled.run("cat", "/etc/gaxx/manifest.json"))["bundle"]
    said = enrolled.run("env", f"PYTHONPATH=/opt/gaxx/bundles/{tree}", "python3", "-W", "error", "-m", "agent", check=1)
    assert "GAXX_AGENT_TLS_CERT" in said
    assert "Traceback" not in said

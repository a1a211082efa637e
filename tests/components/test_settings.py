"""Stack configuration: what is read, and every way in which it is refused."""

import copy
import json
import pathlib
import typing

import pytest
import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import NameOID
from hypothesis import given, settings
from hypothesis import strategies as st

from components.authority import Authority
from components.errors import SettingsError
from components.settings import KEYS, FileSpec, Settings, format_duration, parse_duration, parse_settings

ROOT = pathlib.Path(__file__).parents[2]
AUTHORITY = Authority.create("gaxx demo")


def make_csr(curve: ec.EllipticCurve | None = None) -> str:
    key = ec.generate_private_key(curve or ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "ada")])
    request = x509.CertificateSigningRequestBuilder().subject_name(name).sign(key, hashes.SHA256())
    return request.public_bytes(serialization.Encoding.PEM).decode()


def openssh(key: "ed25519.Ed25519PrivateKey | rsa.RSAPrivateKey") -> str:
    public = key.public_key().public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
    return public.decode()


def private_pem(key: ed25519.Ed25519PrivateKey) -> str:
    form = serialization.PrivateFormat.OpenSSH
    return key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption()).decode()


KEY = ed25519.Ed25519PrivateKey.generate()
OPERATOR = {"name": "ada", "role": "operator", "sshPublicKey": f"{openssh(KEY)} ada@desk", "csr": make_csr()}
PAID: dict[str, typing.Any] = {
    "ttl": "4h",
    "authorityKey": AUTHORITY.pem,
    "operators": [OPERATOR],
    "fleets": [
        {"name": "render", "cloud": "linode", "nodes": 8, "regions": ["nl-ams"], "sshCidrs": ["203.0.113.7/32"]}
    ],
}
LOCAL: dict[str, typing.Any] = {"fleets": [{"name": "demo", "nodes": 3}]}


def read(values: dict[str, typing.Any]) -> Settings:
    return parse_settings(values, project="gaxx", stack="demo")


def faults(values: dict[str, typing.Any]) -> dict[str, str]:
    """The faults by key path; several of one path are joined."""
    try:
        read(values)
    except SettingsError as error:
        found: dict[str, str] = {}
        for path, text in error.faults:
            found[path] = f"{found[path]} | {text}" if path in found else text
        return found
    return {}


def with_fleet(base: dict[str, typing.Any], **changes: object) -> dict[str, typing.Any]:
    values = copy.deepcopy(base)
    values["fleets"][0].update(changes)
    return values


def test_the_example_stack_is_three_local_nodes() -> None:
    config = yaml.safe_load((ROOT / "stacks/Pulumi.demo.yaml").read_text())["config"]
    found = read({key.removeprefix("gaxx:"): value for key, value in config.items()})
    fleet = found.fleets[0]
    assert (fleet.name, fleet.cloud, fleet.nodes, fleet.enough, fleet.type) == ("demo", "local", 3, 3, "small")
    assert (fleet.image, fleet.regions, fleet.reach, fleet.slots) == ("host", ("local",), "direct", 2)
    assert (fleet.trusted_cidrs, fleet.ssh_cidrs) == (("10.0.0.0/8",), ("127.0.0.0/8",))
    assert fleet.machine is not None
    assert not found.paid
    assert not found.authority_declared


def test_a_whole_stack_is_read() -> None:
    values = with_fleet(
        PAID,
        enough=6,
        type="g6-standard-4",
        regions=["nl-ams", "de-fra-2"],
        image="linode/debian12",
        trustedCidrs=["10.0.0.0/8", "fd00::/8"],
        reach="direct",
        packages=["ffmpeg", "python3-numpy=1:1.24.2-1"],
        files={"/srv/b": {"content": "b\n", "mode": "0755"}, "/srv/a": "a\n"},
        env={"LANG": "C.UTF-8", "THREADS": 4.0},
        groups=["gpu"],
        idle="45m",
    )
    values |= {"deniedSerials": ["0A:1b"], "allowedRegions": ["nl-ams", "de-fra-2"], "tokenGeneration": 2.0}
    values["jumpHost"] = "ada@bastion.example.org:2022"
    found = read(values)
    fleet = found.fleets[0]
    assert (found.ttl_s, found.token_generation, found.denied_serials) == (4 * 3600, 2, ("a1b",))
    assert found.jump_host == "ada@bastion.example.org:2022"
    assert found.paid
    assert found.authority_declared
    assert (fleet.nodes, fleet.enough, fleet.slots, fleet.idle_s) == (8, 6, 4, 2700)
    assert [fleet.region(index) for index in (1, 2, 3)] == ["nl-ams", "de-fra-2", "nl-ams"]
    assert fleet.files == (FileSpec("/srv/a", "a\n", "0644"), FileSpec("/srv/b", "b\n", "0755"))
    assert dict(fleet.env) == {"LANG": "C.UTF-8", "THREADS": "4"}
    operator = found.operators[0]
    assert operator.ssh_public_key == openssh(KEY)
    assert len(operator.key_sha256) == 64


DIGEST = "0123456789abcdef" * 4


@pytest.mark.parametrize(
    "image",
    [
        "debian-12",
        "/srv/images/debian-12.qcow2",
        "/srv/images/my own image",
        f"https://example.org:8443/latest/debian-12.qcow2?a=b#sha256={DIGEST}",
        f"http://127.0.0.1:8000/debian-12.qcow2#sha256={DIGEST}",
    ],
)
def test_an_image_of_qemu_is_a_name_a_path_or_a_pinned_url(image: str) -> None:
    assert read(with_fleet(LOCAL, cloud="qemu", image=image)).fleets[0].image == image


@pytest.mark.parametrize(
    ("image", "words"),
    [
        ("debian", "'debian' is no pinned image of qemu; debian-12, /srv/images/"),
        ("debian-12-latest", "no pinned image"),
        ("images/debian-12.qcow2", "no pinned image"),
        ("~/debian-12.qcow2", "no pinned image"),
        ("/srv/../etc/debian-12.qcow2", "no plain absolute path"),
        ("/srv//debian-12.qcow2", "no plain absolute path"),
        ("/srv/debian-12.qcow2/", "no plain absolute path"),
        ("/srv/debian\n12", "no plain absolute path"),
        ("/srv/debian-latest.qcow2", "is not pinned"),
        ("https://example.org/debian-12.qcow2", "is not pinned; with #sha256=<64 hex digits, lower case>"),
        ("https://example.org/debian-12.qcow2#sha256=abc", "is not pinned"),
        (f"https://example.org/debian-12.qcow2#sha512={DIGEST}", "is not pinned"),
        (f"https://example.org/debian-12.qcow2#sha256={DIGEST.upper()}", "is not pinned"),
        (f"http://example.org/debian-12.qcow2#sha256={DIGEST}", "is not fetched: an https:// URL is"),
        (f"http://127.0.0.1.example.org/d12#sha256={DIGEST}", "is not fetched"),
        (f"file:///srv/debian-12.qcow2#sha256={DIGEST}", "is not fetched"),
        (f"https://#sha256={DIGEST}", "is not fetched"),
        (f"https://example.org#sha256={DIGEST}", "is not fetched"),
        (f"https://example.org:99999/d12#sha256={DIGEST}", "is not fetched"),
        (f"https://[::/d12#sha256={DIGEST}", "is not fetched"),
        (f"https://example.org/a b#sha256={DIGEST}", "is not fetched"),
        (f"https://example.org/a|b#sha256={DIGEST}", "is not fetched"),
        (f"https://ada:hunter2@example.org/d12#sha256={DIGEST}", "holds a login"),
    ],
)
def test_another_image_of_qemu_is_refused_with_its_key_path(image: str, words: str) -> None:
    found = faults(with_fleet(LOCAL, cloud="qemu", image=image))
    assert words in found.get("gaxx:fleets[0].image", ""), found
    assert "hunter2" not in str(found)


@pytest.mark.parametrize("cloud", ["local", "linode", "vultr"])
def test_an_image_elsewhere_is_qemus_alone(cloud: str) -> None:
    for image in ("/srv/images/debian-12.qcow2", f"https://example.org/d12#sha256={DIGEST}"):
        assert "gaxx:fleets[0].image" in faults(with_fleet(LOCAL, cloud=cloud, image=image))


def test_the_engines_form_of_the_same_values_reads_the_same() -> None:
    """The engine hands structured values over as JSON text, and numbers as floats."""
    as_text = {key: json.dumps(value) if isinstance(value, list) else value for key, value in PAID.items()}
    assert read(as_text) == read(PAID)
    assert read({**LOCAL, "tokenGeneration": "3"}).token_generation == 3
    assert read(with_fleet(LOCAL, nodes=3.0)) == read(LOCAL)


def test_an_authority_that_is_still_encrypted_counts_as_declared() -> None:
    assert read({**PAID, "authorityKey": {"secure": "v1:abc"}}).authority_declared


def test_nothing_printed_of_the_settings_holds_the_authoritys_key() -> None:
    assert AUTHORITY.pem.splitlines()[1] not in repr(read(PAID))


def test_all_faults_of_a_file_are_told_at_once_with_their_paths() -> None:
    values = {
        "ttl": "4",
        "fleet": [],
        "fleets": [
            {"name": "render", "cloud": "linode", "nodes": -1, "regions": ["nl-ams"], "sshCidrs": ["0.0.0.0/0"]},
            {"name": "render", "trustedCidrs": ["10.0.0.0/8", "0.0.0.0/0"]},
        ],
    }
    with pytest.raises(SettingsError) as caught:
        read(values)
    assert [path for path, _ in caught.value.faults] == [
        "gaxx:fleet",
        "gaxx:ttl",
        "gaxx:fleets[0].nodes",
        "gaxx:fleets[0].sshCidrs[0]",
        "gaxx:fleets[1].trustedCidrs[1]",
        "gaxx:fleets[1].name",
        "gaxx:authorityKey",
        "gaxx:operators",
    ]
    assert "8 faults" in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "path", "words"),
    [
        ({"ttl": 30}, "ttl", "it has no unit; 30m, 4h or 2d"),
        ({"ttl": "soon"}, "ttl", "30m, 4h or 2d is"),
        ({"ttl": "0h"}, "ttl", "no time at all"),
        ({"ttl": "30d"}, "ttl", "30d is longer than 7d; gaxx:maxTtl"),
        ({"ttl": True}, "ttl", "not a duration"),
        ({"fleets": None}, "fleets", "missing"),
        ({"fleets": "render"}, "fleets", "a list was expected, not a text"),
        ({"fleets": "[{"}, "fleets", "not JSON"),
        ({"fleets": {"name": "x"}}, "fleets", "a list was expected, not a mapping"),
        ({"fleets": ["x"]}, "fleets[0]", "a mapping was expected, not a text"),
        ({"operatorz": []}, "operatorz", "did you mean operators?"),
        ({"colour": 1}, "colour", "known: allowedRegions, "),
        ({"deniedSerials": ["xyz"]}, "deniedSerials[0]", "hex"),
        ({"deniedSerials": "a1"}, "deniedSerials", "a list was expected"),
        ({"tokenGeneration": 0}, "tokenGeneration", "1 to 1000000"),
        ({"tokenGeneration": 1.5}, "tokenGeneration", "not a whole number"),
        ({"jumpHost": "-oProxyCommand=evil"}, "jumpHost", "[user@]host[:port]"),
        ({"jumpHost": "a b"}, "jumpHost", "[user@]host[:port]"),
        ({"jumpHost": "bastion:99999"}, "jumpHost", "[user@]host[:port]"),
        ({"jumpHost": "bastion:6060"}, "jumpHost", "6060 is used nowhere"),
        ({"jumpHost": "bastion"}, "jumpHost", "every fleet is on this computer"),
        ({"authorityKey": "hello"}, "authorityKey", "PEM"),
        ({"authorityKey": ["x"]}, "authorityKey", "encrypted text"),
        ({"allowedRegions": ["nl-ams", "nl-ams"]}, "allowedRegions[1]", "listed twice"),
    ],
)
def test_a_fault_of_the_stack_is_refused(changes: dict[str, object], path: str, words: str) -> None:
    assert words in faults({**LOCAL, **changes}).get(f"gaxx:{path}", "")


@pytest.mark.parametrize(
    ("key", "words"),
    [
        ("ttl", "linode cost money"),
        ("authorityKey", "`gaxx init --stack demo --cloud linode`"),
        ("operators", "`gaxx init --stack demo --cloud linode`"),
    ],
)
def test_a_paid_cloud_needs_what_a_local_one_does_not(key: str, words: str) -> None:
    values = copy.deepcopy(PAID)
    del values[key]
    assert list(faults(values)) == [f"gaxx:{key}"]
    assert words in faults(values)[f"gaxx:{key}"]
    assert faults(LOCAL) == {}


def test_an_observer_alone_cannot_own_a_paid_stack() -> None:
    values = {**PAID, "operators": [{**OPERATOR, "role": "observer"}]}
    assert list(faults(values)) == ["gaxx:operators"]


def test_a_longer_ttl_can_be_allowed_aloud() -> None:
    assert read({**LOCAL, "ttl": "30d", "maxTtl": "60d"}).ttl_s == 30 * 86400


@pytest.mark.parametrize(
    ("changes", "path", "words"),
    [
        ({"name": None}, "name", "missing"),
        ({"name": "Render"}, "name", "a-z, 0-9"),
        ({"name": "render-"}, "name", "not ending in -"),
        ({"name": "a--b"}, "name", "single -"),
        ({"name": "1st"}, "name", "starting with a letter"),
        ({"name": "a" * 25}, "name", "at most 24"),
        ({"name": "../x"}, "name", "a-z, 0-9"),
        ({"cloud": "linod"}, "cloud", "did you mean linode?"),
        ({"cloud": 7}, "cloud", "a text was expected, not a number"),
        ({"nodes": -1}, "nodes", "0 to 250"),
        ({"nodes": 251}, "nodes", "0 to 250"),
        ({"nodes": "three"}, "nodes", "not a whole number"),
        ({"nodes": 2.5}, "nodes", "not a whole number"),
        ({"nodes": True}, "nodes", "not a whole number"),
        ({"enough": 4}, "enough", "1 to 3"),
        ({"enough": 0}, "enough", "1 to 3"),
        ({"privateNetwork": "10.20.0.0/24"}, "privateNetwork", "local has no private networks; linode and vultr have"),
        ({"type": "smal"}, "type", "did you mean small?"),
        ({"image": "debian"}, "image", "host is"),
        ({"regions": ["nl-ams"]}, "regions[0]", "not a region of local; local is"),
        ({"reach": "vpn"}, "reach", "known: direct, ssh"),
        ({"trustedCidrs": ["0.0.0.0/0"]}, "trustedCidrs[0]", "8088 and 9091 to the world"),
        ({"trustedCidrs": ["::/0"]}, "trustedCidrs[0]", "8088 and 9091 to the world"),
        ({"trustedCidrs": ["0.0.0.0/1", "128.0.0.0/1"]}, "trustedCidrs[1]", "to the world"),
        (
            {"trustedCidrs": ["198.50.0.0/16", "198.51.0.0/16"]},
            "trustedCidrs",
            "together these ranges are 198.50.0.0/15",
        ),
        ({"trustedCidrs": ["::ffff:0:0/96"]}, "trustedCidrs[0]", "IPv4 written as IPv6"),
        ({"trustedCidrs": ["10.0.0.1/8"]}, "trustedCidrs[0]", "10.0.0.0/8 or 10.0.0.1/32"),
        ({"trustedCidrs": "10.0.0.0/8"}, "trustedCidrs", "a list was expected, not a text"),
        ({"trustedCidrs": []}, "trustedCidrs", "reach: ssh needs none"),
        ({"sshCidrs": ["0.0.0.0/0"]}, "sshCidrs[0]", "SSH to the world"),
        ({"sshCidrs": ["::/0"]}, "sshCidrs[0]", "SSH to the world"),
        ({"sshCidrs": []}, "sshCidrs", "203.0.113.7/32"),
        ({"packages": ["-o=evil"]}, "packages[0]", "not a Debian package"),
        ({"packages": ["ffmpeg", "a;b"]}, "packages[1]", "not a Debian package"),
        ({"packages": ["openssh-server-"]}, "packages[0]", "not a Debian package"),
        ({"groups": ["GPU"]}, "groups[0]", "not a group"),
        ({"idle": "45"}, "idle", "no unit"),
        ({"slots": 0}, "slots", "1 to 1024"),
        ({"ports": [6060]}, "ports", "6060 is never opened"),
        ({"trustedCidr": []}, "trustedCidr", "did you mean trustedCidrs?"),
        ({"files": {"srv/a": ""}}, "files.srv/a", "not an absolute path"),
        ({"files": {"/srv/../etc/shadow": ""}}, "files./srv/../etc/shadow", "without .."),
        ({"files": {"/srv//a": ""}}, "files./srv//a", "double"),
        ({"files": {"/etc/ssh/sshd_config.d/00.conf": ""}}, "files./etc/ssh/sshd_config.d/00.conf", "/etc/ssh belongs"),
        ({"files": {"/etc/gaxx/manifest.json": ""}}, "files./etc/gaxx/manifest.json", "/etc/gaxx belongs"),
        ({"files": {"/srv/a": {"content": "", "mode": 420}}}, "files./srv/a.mode", '"0644" in quotes'),
        ({"files": {"/srv/a": {"content": "", "mode": "0666"}}}, "files./srv/a.mode", "everybody write"),
        ({"files": {"/srv/a": {"content": "", "mode": "4755"}}}, "files./srv/a.mode", "not a file mode"),
        ({"files": {"/srv/a": {"content": "", "owner": "x"}}}, "files./srv/a.owner", "unknown key"),
        ({"files": {"/srv/a": {"mode": "0644"}}}, "files./srv/a.content", "a text was expected"),
        ({"files": {"/srv/a": 5}}, "files./srv/a", "{content, mode}"),
        ({"files": {"/srv/a": "x" * 300_000}}, "files./srv/a.content", "262144 is the limit"),
        ({"files": {"/srv/k": private_pem(KEY)}}, "files./srv/k.content", "holds a private key"),
        ({"env": {"9X": "1"}}, "env.9X", "not a variable's name"),
        ({"env": {"GAXX_NODE": "1"}}, "env.GAXX_NODE", "set by Gaxx"),
        ({"env": {"LINODE_TOKEN": "x"}}, "env.LINODE_TOKEN", "a node never gets it"),
        ({"env": {"ON": True}}, "env.ON", "quote the value"),
        ({"env": {"A": "AKIA" + "ABCDEFGHIJKLMNOP"}}, "env.A", "an AWS access key"),
        ({"env": {"A": {"secure": "v1:x"}}}, "env.A", "quote the value"),
        ({"env": ["A=1"]}, "env", "a mapping was expected"),
    ],
)
def test_a_fault_of_a_fleet_is_refused(changes: dict[str, object], path: str, words: str) -> None:
    found = faults(with_fleet(LOCAL, **changes))
    assert words in found.get(f"gaxx:fleets[0].{path}", ""), found


@pytest.mark.parametrize(
    ("changes", "path", "words"),
    [
        ({"regions": []}, "regions", "linode needs at least one"),
        ({"regions": None}, "regions", "linode needs at least one"),
        ({"regions": ["us-east"]}, "regions[0]", "not among gaxx:allowedRegions; nl-ams would be"),
        ({"regions": ["NL"]}, "regions[0]", "not a region"),
        ({"image": "linode/latest"}, "image", "not pinned"),
        ({"image": "linode/debian"}, "image", "linode/debian12 is"),
        ({"type": "large machine"}, "type", "g6-standard-2 would be"),
        ({"sshCidrs": None}, "sshCidrs", "linode needs the address you connect from"),
        ({"nodes": 501}, "nodes", "0 to 500"),
    ],
)
def test_a_fault_of_a_paid_fleet_is_refused(changes: dict[str, object], path: str, words: str) -> None:
    values = with_fleet({**PAID, "allowedRegions": ["nl-ams"]}, **changes)
    assert words in faults(values).get(f"gaxx:fleets[0].{path}", "")


def test_a_slip_in_the_clouds_name_draws_no_other_faults() -> None:
    assert list(faults(with_fleet(PAID, cloud="linoed", type="g6-standard-2"))) == ["gaxx:fleets[0].cloud"]


def test_two_fleets_may_not_share_a_name_nor_call_a_group_like_the_other() -> None:
    twice = {"fleets": [{"name": "a"}, {"name": "b", "groups": ["a"]}, {"name": "a"}]}
    found = faults(twice)
    assert "already the name of gaxx:fleets[0]" in found["gaxx:fleets[2].name"]
    assert "@a means that fleet" in found["gaxx:fleets[1].groups[0]"]


def test_no_nodes_is_a_fleet_too() -> None:
    assert read(with_fleet(LOCAL, nodes=0)).fleets[0].enough == 0


@pytest.mark.parametrize(
    ("changes", "field", "words"),
    [
        ({"name": "a:b"}, "name", "letters, digits"),
        ({"name": ""}, "name", "empty"),
        ({"role": "admin"}, "role", "known: observer, operator"),
        ({"sshPublicKey": None}, "sshPublicKey", "missing"),
        ({"sshPublicKey": private_pem(KEY)}, "sshPublicKey", "stays with its owner"),
        ({"sshPublicKey": "ssh-dss AAAA"}, "sshPublicKey", "not accepted"),
        ({"sshPublicKey": "ssh-ed25519 !!!"}, "sshPublicKey", "base64"),
        ({"sshPublicKey": "ssh-ed25519 AAAA"}, "sshPublicKey", "does not hold what its type says"),
        ({"sshPublicKey": openssh(KEY)[:-12]}, "sshPublicKey", "damaged"),
        ({"sshPublicKey": f'command="x" {openssh(KEY)}'}, "sshPublicKey", "not accepted"),
        ({"sshPublicKey": f"{openssh(KEY)}\n{openssh(KEY)}"}, "sshPublicKey", "not a public key"),
        ({"sshPublicKey": openssh(rsa.generate_private_key(65537, 2048))}, "sshPublicKey", "2048 bits is too short"),
        ({"csr": None}, "csr", "missing"),
        ({"csr": "hello"}, "csr", "not a PEM certificate signing request"),
        ({"csr": private_pem(KEY)}, "csr", "stays with its owner"),
        ({"csr": make_csr(ec.SECP224R1())}, "csr", "P-256"),
        ({"password": "x"}, "password", "unknown key"),
    ],
)
def test_a_fault_of_an_operator_is_refused(changes: dict[str, object], field: str, words: str) -> None:
    found = faults({**PAID, "operators": [OPERATOR | {"name": "bob", "csr": make_csr()}, OPERATOR | changes]})
    assert words in found.get(f"gaxx:operators[1].{field}", ""), found


def test_one_key_or_one_name_is_not_two_operators() -> None:
    found = faults({**PAID, "operators": [OPERATOR, OPERATOR | {"name": "Ada"}]})
    assert set(found) == {"gaxx:operators[1].name", "gaxx:operators[1].csr"}


def test_an_observer_needs_no_ssh_key() -> None:
    observer = {"name": "eve", "role": "observer", "csr": make_csr()}
    assert read({**PAID, "operators": [OPERATOR, observer]}).operators[1].ssh_public_key == ""


def test_a_fault_never_quotes_a_secret() -> None:
    secret = AUTHORITY.pem
    for values in ({"authorityKey": secret[:300]}, {"fleets": [{"name": "x", "files": {"/srv/k": secret}}]}):
        with pytest.raises(SettingsError) as caught:
            read({**LOCAL, **values})
        assert secret.splitlines()[1][:20] not in str(caught.value)


@given(st.integers(1, 9999 * 86400))
def test_a_duration_that_is_written_reads_back(seconds: int) -> None:
    assert parse_duration(format_duration(seconds)) == seconds


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
FLEET_KEYS = st.sampled_from(
    [
        "name",
        "cloud",
        "nodes",
        "enough",
        "type",
        "regions",
        "image",
        "trustedCidrs",
        "sshCidrs",
        "reach",
        "packages",
        "files",
        "env",
        "groups",
        "idle",
        "slots",
        "x",
    ]
)
ANY_FLEET = st.dictionaries(FLEET_KEYS, JSON, max_size=6)
OPERATOR_KEYS = st.sampled_from(["name", "role", "sshPublicKey", "csr", "other"])


@settings(max_examples=300, deadline=None)
@given(
    st.dictionaries(st.sampled_from([*(key.name for key in KEYS), "other"]), JSON, max_size=5),
    st.lists(ANY_FLEET | JSON, max_size=3),
    st.lists(st.dictionaries(OPERATOR_KEYS, JSON, max_size=4) | JSON, max_size=2),
)
def test_whatever_is_configured_is_either_read_or_refused_with_faults(
    values: dict[str, typing.Any], fleets: list[object], operators: list[object]
) -> None:
    document = {"fleets": fleets, "operators": operators, **values}
    found = outcome(document)
    if isinstance(found, SettingsError):
        assert found.faults
        assert all(path.startswith("gaxx:") and text for path, text in found.faults)
    else:
        assert found == read(document)


def outcome(values: dict[str, typing.Any]) -> Settings | SettingsError:
    try:
        return read(values)
    except SettingsError as error:
        return error


@pytest.mark.parametrize("text", ["10.20.0.0/24", "172.31.0.0/16", "192.168.7.16/28"])
def test_a_private_network_is_one_of_the_ranges_that_are_free_for_it(text: str) -> None:
    assert read(with_fleet(PAID, privateNetwork=text)).fleets[0].private_network == text


@pytest.mark.parametrize(
    "text", ["10.0.0.0/8", "10.20.0.0/29", "10.20.0.1/24", "8.8.8.0/24", "192.168.200.0/24", "fd00::/64", "web"]
)
def test_other_ranges_are_refused(text: str) -> None:
    with pytest.raises(SettingsError, match="privateNetwork"):
        read(with_fleet(PAID, privateNetwork=text))

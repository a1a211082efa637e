"""The enrolment helper as a local node runs it: the real program, the real ssh-keygen, an unprivileged account."""

import dataclasses
import hashlib
import io
import json
import os
import pathlib
import shutil
import subprocess
import typing
import zipfile
from collections.abc import Iterator

import pytest
from cryptography import x509

from components import bundle
from components.authority import Authority

ROOT = pathlib.Path(__file__).parents[2]
HELPER = ROOT / "components/cloudinit/files/gaxx_enrol.py"
AUTHORITY = Authority.create("gaxx demo")
STRANGER = Authority.create("gaxx demo")
REFUSED = 2
DISK_FULL = 28
UV_CACHE = os.environ.get("UV_CACHE_DIR") or str(pathlib.Path.home() / ".cache/uv")

# An installer that only tells what it was asked: the real one needs a whole machine and has its own tests.
INSTALLER = """
import json, os, sys
data = sys.stdin.read()
if "fail" in data:
    print(json.dumps({"error": "the installer says no"}))
    sys.exit(1)
answer = {"verb": sys.argv[1], "root": os.environ["GAXX_ROOT"], "input": data}
print(json.dumps({**answer, "environment": sorted(os.environ)}))
"""


def make_bundle(installer: str = INSTALLER) -> bytes:
    """A small bundle with the real unpacker."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.write(ROOT / "components/bundle_unpack.py", "__main__.py")
        for name, text in (("__init__.py", ""), ("install/__init__.py", ""), ("install/__main__.py", installer)):
            archive.writestr(f"agent/{name}", text)
    return buffer.getvalue()


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def signed(data: bytes, namespace: str, authority: Authority = AUTHORITY) -> bytes:
    signature = authority.sign_detached(data, namespace).encode()
    return len(signature).to_bytes(4, "big") + signature + data


BUNDLE = make_bundle()
BUNDLE_SHA256 = sha256(BUNDLE)


@dataclasses.dataclass(frozen=True, slots=True)
class Node:
    """A local node's folder and its helper."""

    root: pathlib.Path

    def call(self, *argv: str, data: bytes = b"", **environment: str) -> tuple[int, dict[str, typing.Any]]:
        """Call the helper as the node's account; give its exit code and its answer."""
        # Root's environment says nothing about "/": only an account without rights may live in a folder.
        identity: dict[str, typing.Any] = {"user": 65534, "group": 65534} if os.geteuid() == 0 else {}
        done = subprocess.run(
            [str(self.root / "usr/local/sbin/gaxx-enrol"), *argv],
            input=data,
            capture_output=True,
            env={"GAXX_ROOT": str(self.root), "PATH": "/usr/bin:/bin", **environment},
            cwd="/",
            timeout=60,
            check=False,
            **identity,
        )
        assert not done.stderr, done.stderr.decode()
        return done.returncode, json.loads(done.stdout)

    def put(self, path: str, content: str) -> pathlib.Path:
        """Write a file of the node."""
        target = self.root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(content)
        self.give_away()
        return target

    def install(self) -> None:
        """Install the small bundle."""
        assert self.call("bundle", BUNDLE_SHA256, data=signed(BUNDLE, "gaxx-bundle"))[0] == 0

    def give_away(self) -> None:
        """Hand everything to the node's account."""
        if os.geteuid() == 0:
            for path in (self.root, *self.root.rglob("*")):
                os.chown(path, 65534, 65534)

    def store(self) -> list[str]:
        """All that lies where bundles are."""
        folder = self.root / "opt/gaxx/bundles"
        return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


@pytest.fixture
def node(state_dir: pathlib.Path) -> Node:
    node = Node(state_dir / "node")
    helper = node.put("usr/local/sbin/gaxx-enrol", HELPER.read_text())
    helper.chmod(0o755)
    signer = f'authority namespaces="gaxx-bundle,gaxx-manifest" {AUTHORITY.ssh_public_key}\n'
    node.put("etc/gaxx/authority.allowed_signers", signer)
    node.put("etc/gaxx/machine.json", '{"node": "demo-1", "machine": "m1"}')
    return node


def manifest(**changes: object) -> bytes:
    document = {"version": 1, "node": "demo-1", "machine": "m1", "serial": 10, "bundle": BUNDLE_SHA256, **changes}
    return json.dumps(document).encode()


def test_a_fresh_node_tells_its_facts(node: Node) -> None:
    code, facts = node.call("facts")
    assert code == 0
    free = facts.pop("free_bytes")
    assert free > 0
    version = subprocess.run(["/usr/bin/python3", "-V"], capture_output=True, text=True, check=True).stdout
    assert facts == {
        "python": ".".join(version.split()[1].split(".")[:2]),
        "architecture": os.uname().machine,
        "enrolled": False,
        "manifestSerial": 0,
        "cloudInit": "none",
        "bundles": [],
        "bundleStore": "",
    }


@pytest.mark.parametrize(
    ("files", "state"),
    [
        ({"run/cloud-init/status.json": "{}"}, "running"),
        ({"run/cloud-init/result.json": '{"v1": {"errors": []}}'}, "done"),
        ({"run/cloud-init/result.json": '{"v1": {"errors": ["scripts-user"]}}'}, "error: ['scripts-user']"),
        ({"etc/cloud/cloud-init.disabled": ""}, "disabled"),
        ({"run/cloud-init/disabled": ""}, "disabled"),
    ],
)
def test_the_facts_say_how_far_cloud_init_is(node: Node, files: dict[str, str], state: str) -> None:
    for path, content in files.items():
        node.put(path, content)
    assert node.call("facts")[1]["cloudInit"] == state


def test_a_signed_bundle_is_unpacked_once_and_then_known(node: Node) -> None:
    code, answer = node.call("bundle", BUNDLE_SHA256, data=signed(BUNDLE, "gaxx-bundle"))
    assert (code, answer) == (0, {"bundle": BUNDLE_SHA256, "installed": True})
    assert node.call("facts")[1]["bundles"] == [BUNDLE_SHA256]
    assert node.call("bundle", BUNDLE_SHA256)[1]["installed"] is False
    assert node.store() == [BUNDLE_SHA256]


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (signed(BUNDLE, "gaxx-bundle", STRANGER), "signature"),
        (signed(BUNDLE, "gaxx-manifest"), "signature"),
        (signed(BUNDLE, "gaxx-other"), "signature"),
        (signed(BUNDLE, "gaxx-bundle")[:-1], "sha256"),
        (signed(BUNDLE, "gaxx-bundle") + b"!", "sha256"),
        (signed(BUNDLE[:-1] + b"!", "gaxx-bundle"), "sha256"),
        (b"", "no signature"),
        (b"\0\0\0\0" + BUNDLE, "no signature"),
        (b"\xff\xff\xff\xff" + BUNDLE, "no signature"),
        (BUNDLE, "no signature"),
    ],
    ids=[
        "another authority's",
        "signed as a manifest",
        "signed for something else",
        "cut",
        "longer",
        "another file",
        "empty",
        "without signature",
        "an endless signature",
        "unsigned",
    ],
)
def test_a_bundle_that_does_not_prove_itself_is_refused_and_leaves_nothing(node: Node, data: bytes, words: str) -> None:
    code, answer = node.call("bundle", BUNDLE_SHA256, data=data)
    assert code == REFUSED
    assert words in answer["error"]
    assert node.store() == []


def test_a_bundle_that_this_python_cannot_run_leaves_nothing(node: Node) -> None:
    buffer = io.BytesIO(make_bundle())
    with zipfile.ZipFile(buffer, "a") as archive:
        archive.writestr("agent/broken.py", "import a_module_for_another_python")
    data = buffer.getvalue()
    code, answer = node.call("bundle", sha256(data), data=signed(data, "gaxx-bundle"))
    assert code == 1
    assert "a_module_for_another_python" in answer["error"]
    assert node.store() == []


def test_a_signed_file_that_is_no_bundle_leaves_nothing(node: Node) -> None:
    code, _ = node.call("bundle", sha256(b"text"), data=signed(b"text", "gaxx-bundle"))
    assert code == 1
    assert node.store() == []


def test_what_an_interrupted_push_left_is_removed_by_the_next(node: Node) -> None:
    node.put("opt/gaxx/bundles/.new-abc/bundle", "half of it")
    assert node.call("facts")[1]["bundles"] == []
    node.install()
    assert node.store() == [BUNDLE_SHA256]


def test_a_bundle_larger_than_the_disk_is_refused_with_the_numbers_before_it_is_sent(node: Node) -> None:
    code, answer = node.call("bundle", BUNDLE_SHA256, str(10**15))
    assert code == DISK_FULL
    assert answer["error"].startswith(f"disk full: needs {10**15 + (1 << 23)} bytes, ")
    assert str(node.root / "opt/gaxx/bundles") in answer["error"]


@pytest.fixture
def small_disk(node: Node) -> Iterator[Node]:
    """A node whose bundles lie on a file system of 10 MB."""
    if os.geteuid() != 0:
        pytest.skip("only root mounts a file system")
    node.put("opt/gaxx/bundles/here", "")
    store = node.root / "opt/gaxx/bundles"
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=10m,uid=65534,gid=65534", "none", store], check=True)
    yield node
    subprocess.run(["umount", store], check=True)


def test_a_disk_that_fills_up_during_the_push_is_said_and_cleaned(small_disk: Node) -> None:
    data = make_bundle() + bytes(12_000_000)
    code, answer = small_disk.call("bundle", sha256(data), data=signed(data, "gaxx-bundle"))
    assert code == DISK_FULL
    assert "disk full" in answer["error"]
    assert small_disk.store() == []


def test_a_disk_too_small_for_the_unpacked_bundle_is_said_and_cleaned(small_disk: Node) -> None:
    buffer = io.BytesIO(make_bundle())
    with zipfile.ZipFile(buffer, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("zeroes", bytes(20_000_000))
    data = buffer.getvalue()
    code, answer = small_disk.call("bundle", sha256(data), data=signed(data, "gaxx-bundle"))
    assert code == DISK_FULL
    assert "disk full: needs 4" in answer["error"]
    assert small_disk.store() == []


def test_a_manifest_that_is_signed_for_this_node_reaches_the_installer_unchanged(node: Node) -> None:
    node.install()
    document = manifest()
    code, answer = node.call("apply", BUNDLE_SHA256, data=signed(document, "gaxx-manifest"), SECRET="x")
    assert code == 0
    assert answer["verb"] == "apply"
    assert answer["input"] == document.decode()
    assert answer["root"] == str(node.root)
    assert "SECRET" not in answer["environment"]
    assert node.call("facts")[1]["enrolled"] is True


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (signed(manifest(), "gaxx-manifest", STRANGER), "signature"),
        (signed(manifest(), "gaxx-bundle"), "signature"),
        (signed(manifest(), "gaxx-manifest")[:-2] + b" }", "signature"),
        (signed(manifest(node="demo-2"), "gaxx-manifest"), "for node demo-2; this is demo-1"),
        (signed(manifest(machine="m2"), "gaxx-manifest"), "for machine m2; this is m1"),
        (signed(manifest(serial=9), "gaxx-manifest"), "serial 9 is not above 9"),
        (signed(manifest(serial=8), "gaxx-manifest"), "replay"),
        (signed(manifest(bundle="0" * 64), "gaxx-manifest"), "bundle"),
        (manifest(), "no signature"),
    ],
    ids=[
        "another authority's",
        "signed as a bundle",
        "changed",
        "another node's",
        "another machine's",
        "replayed",
        "older",
        "another bundle",
        "unsigned",
    ],
)
def test_a_manifest_that_does_not_prove_itself_is_refused(node: Node, data: bytes, words: str) -> None:
    node.install()
    node.put("etc/gaxx/manifest.json", '{"node": "demo-1", "machine": "m1", "serial": 9}')
    code, answer = node.call("apply", BUNDLE_SHA256, data=data)
    assert code == REFUSED
    assert words in answer["error"]
    assert node.call("facts")[1]["enrolled"] is False


def test_a_second_enrolment_on_the_bootstrap_key_is_refused_and_one_by_certificate_is_not(node: Node) -> None:
    node.install()
    node.put("etc/gaxx/enrolled", "")
    by_key = str(node.put("key", "publickey ssh-ed25519 AAAAC3NzaC1lZDI1NTE5\n"))
    by_certificate = str(node.put("certificate", "publickey ssh-ed25519-cert-v01@openssh.com AAAAIHNza\n"))
    data = signed(manifest(), "gaxx-manifest")
    for verb, body in (("bundle", b""), ("identity", b"{}"), ("apply", data), ("confirm", b"")):
        code, answer = node.call(verb, BUNDLE_SHA256, data=body, SSH_USER_AUTH=by_key)
        assert (code, answer["error"]) == (REFUSED, "this node is enrolled: its bootstrap key is used up")
    assert node.call("facts", SSH_USER_AUTH=by_key)[0] == 0
    assert node.call("apply", BUNDLE_SHA256, data=data, SSH_USER_AUTH=by_certificate)[0] == 0


def test_a_failure_of_the_installer_is_told_in_its_own_words_and_does_not_enrol(node: Node) -> None:
    node.install()
    code, answer = node.call("apply", BUNDLE_SHA256, data=signed(manifest(extra="fail"), "gaxx-manifest"))
    assert (code, answer) == (1, {"error": "the installer says no"})
    assert node.call("facts")[1]["enrolled"] is False


@pytest.mark.parametrize("verb", ["status", "confirm"])
def test_without_a_name_the_bundle_in_use_answers(node: Node, verb: str) -> None:
    assert node.call(verb) == (1, {"error": "no bundle is in use"})
    node.install()
    node.put("etc/gaxx/manifest.json", manifest().decode())
    code, answer = node.call(verb)
    assert (code, answer["verb"]) == (0, verb)


@pytest.mark.parametrize("name", ["../../../tmp/evil", "A" * 64, "0" * 63, "0" * 64 + "\n"])
def test_only_a_sha256_names_a_bundle(node: Node, name: str) -> None:
    code, _ = node.call("identity", name, data=b"{}")
    assert code == 1


@pytest.mark.parametrize("argv", [(), ("shell",), ("--help",)])
def test_anything_else_is_answered_with_the_usage(node: Node, argv: tuple[str, ...]) -> None:
    code, answer = node.call(*argv)
    assert code == 1
    assert answer["error"].startswith("usage: gaxx-enrol facts|")


def test_local_nodes_share_the_bundles_that_their_machine_file_names(node: Node) -> None:
    shared = node.root / "shared"
    node.put("etc/gaxx/machine.json", json.dumps({"node": "demo-1", "machine": "m1", "bundleStore": str(shared)}))
    node.install()
    assert [path.name for path in shared.iterdir()] == [BUNDLE_SHA256]
    assert node.call("facts")[1]["bundleStore"] == str(shared)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can prove what root refuses")
def test_root_does_not_let_its_environment_say_where_the_machine_is(state_dir: pathlib.Path) -> None:
    (state_dir / "etc/gaxx").mkdir(parents=True)
    (state_dir / "etc/gaxx/enrolled").touch()
    # In a namespace of its own, so that the real "/opt" of whoever runs the tests stays as it is.
    command = ["unshare", "--mount", "sh", "-ec", 'mount -t tmpfs none /opt; exec "$0" facts', str(HELPER)]
    done = subprocess.run(
        command, capture_output=True, env={"GAXX_ROOT": str(state_dir), "PATH": "/usr/bin:/bin"}, check=True
    )
    assert json.loads(done.stdout)["enrolled"] is pathlib.Path("/etc/gaxx/enrolled").exists()
    assert not (state_dir / "opt").exists()


@pytest.mark.engine
@pytest.mark.timeout(300)
def test_the_real_bundle_makes_the_nodes_key_and_sends_a_request(
    node: Node, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UV_CACHE_DIR", UV_CACHE)
    assert shutil.which("ssh-keygen")
    node.put("etc/ssh/ssh_host_ed25519_key.pub", "ssh-ed25519 AAAA\n")
    facts = node.call("facts")[1]
    built = bundle.build(facts["python"], facts["architecture"], tmp_path)
    code, answer = node.call("bundle", built.sha256, data=signed(built.path.read_bytes(), "gaxx-bundle"))
    assert code == 0, answer
    code, identity = node.call("identity", built.sha256, data=b'{"node": "demo-1"}')
    assert code == 0, identity
    assert x509.load_pem_x509_csr(identity["csr"].encode()).is_signature_valid
    assert identity["sshHostKey"].startswith("ssh-ed25519 ")

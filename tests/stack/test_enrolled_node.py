"""What an enrolled node refuses, over real SSH: spent keys, bad signatures, old settings."""

import hashlib
import json
from collections.abc import Iterator

import pytest

from components.authority import BUNDLE_NAMESPACE, MANIFEST_NAMESPACE, Authority
from components.cloud_table import CLOUDS
from components.errors import NodeError, Refused
from components.inventory import Node
from components.provider import ssh_session
from components.provider.ssh_session import Login, LoginRefusedError
from tests.stack import node_access
from tests.stack.project import Project

pytestmark = [pytest.mark.engine, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def node(standing: Project) -> Node:
    return standing.inventory().nodes[0]


@pytest.fixture(autouse=True)
def unharmed(standing: Project, node: Node) -> Iterator[None]:
    """Whatever is refused changes nothing: settings, bundles and service stay as they are."""

    def settings() -> str:
        return (standing.machine(node.name) / "etc/gaxx/manifest.json").read_text()

    before, stored = settings(), bundles(standing)
    yield
    assert settings() == before
    assert bundles(standing) == stored
    standing.gaxx("run", "-n", node.name, "--", "true")


def bundles(project: Project) -> list[str]:
    (store,) = project.nodes_folder.glob("*/.bundles")
    return sorted(path.name for path in store.iterdir())


def newer_manifest(project: Project, of: Node, **changes: object) -> bytes:
    manifest = json.loads((project.machine(of.name) / "etc/gaxx/manifest.json").read_text())
    return json.dumps({**manifest, "serial": manifest["serial"] + 1, **changes}).encode()


def apply(project: Project, node: Node, manifest: bytes, signed_by: Authority) -> None:
    sha256 = json.loads(manifest)["bundle"]
    with node_access.session(node, node_access.authority(project)) as session:
        command = f"{node_access.helper(project, node)} apply {sha256}"
        session.call(command, node_access.signed(manifest, signed_by, MANIFEST_NAMESPACE))


def test_the_bootstrap_key_opens_nothing_any_more(standing: Project, node: Node) -> None:
    login = node_access.bootstrap_login(standing, node)

    with (
        pytest.raises(LoginRefusedError, match="does not let"),
        ssh_session.connect(node_access.endpoint(node), login),
    ):
        pytest.fail("the spent key has logged in")


def test_a_second_enrolment_without_a_certificate_is_refused(standing: Project, node: Node) -> None:
    # An operator may log in with a plain key, and look; enrolment is not for operators.
    login = Login(node.ssh_user, (standing.home / "config/gaxx/operator/ssh_ed25519").read_text())
    helper = node_access.helper(standing, node)

    with ssh_session.connect(node_access.endpoint(node), login) as session:
        assert session.call(f"{helper} facts")["enrolled"] is True
        for verb in ("bundle", "identity", "apply", "confirm"):
            with pytest.raises(Refused, match="bootstrap key is used up"):
                session.call(f"{helper} {verb} {'0' * 64}", b"{}")


def test_a_certificate_of_another_authority_does_not_log_in(node: Node) -> None:
    with pytest.raises(LoginRefusedError), node_access.session(node, Authority.create("demo")):
        pytest.fail("a stranger has logged in")


def test_a_bundle_that_is_not_signed_or_not_whole_is_refused(standing: Project, node: Node) -> None:
    content = b"not a bundle of ours"
    ours, digest = node_access.authority(standing), hashlib.sha256(content).hexdigest()
    command = f"{node_access.helper(standing, node)} bundle"

    with node_access.session(node, ours) as session:
        forged = node_access.signed(content, Authority.create("demo"), BUNDLE_NAMESPACE)
        with pytest.raises(Refused, match="signature of this bundle does not verify"):
            session.call(f"{command} {digest} {len(content)}", forged)
        cut = node_access.signed(content[:-1], ours, BUNDLE_NAMESPACE)
        with pytest.raises(Refused, match="sha256 is"):
            session.call(f"{command} {digest} {len(content)}", cut)
        # What is signed as a manifest is not a bundle, whatever it holds.
        confused = node_access.signed(content, ours, MANIFEST_NAMESPACE)
        with pytest.raises(Refused, match="does not verify"):
            session.call(f"{command} {digest} {len(content)}", confused)


def test_a_manifest_with_a_bad_signature_is_refused(standing: Project, node: Node) -> None:
    manifest = newer_manifest(standing, node, env={"EVIL": "1"})

    with pytest.raises(Refused, match="signature of this manifest does not verify"):
        apply(standing, node, manifest, Authority.create("demo"))


def test_a_replayed_manifest_is_refused(standing: Project, node: Node) -> None:
    current = json.loads((standing.machine(node.name) / "etc/gaxx/manifest.json").read_text())

    for serial in (current["serial"], current["serial"] - 1):
        manifest = newer_manifest(standing, node, serial=serial)
        with pytest.raises(Refused, match="a replay"):
            apply(standing, node, manifest, node_access.authority(standing))


def test_the_manifest_of_another_node_or_machine_is_refused(standing: Project, node: Node) -> None:
    for manifest in (
        newer_manifest(standing, node, node="demo-2"),
        newer_manifest(standing, node, machine="0123456789ab"),
    ):
        with pytest.raises(Refused, match="the manifest is for"):
            apply(standing, node, manifest, node_access.authority(standing))


def test_what_a_long_step_says_of_itself_is_heard_and_is_no_complaint(standing: Project, node: Node) -> None:
    said: list[str] = []
    talks = "printf 'progress: 40 %%, Unpacking\\033[31m ffmpeg\\nprogress: 41 %%\\n' >&2"
    fails = "echo 'no such thing' >&2; exit 1"

    with node_access.session(node, node_access.authority(standing)) as session:
        assert session.call(f"{talks}; echo '{{}}'", say=said.append) == {}
        with pytest.raises(NodeError, match=r": no such thing$"):
            session.call(f"{talks}; {fails}; {talks}")

    # Nothing of a node's reaches a terminal as a command to it.
    assert said == ["40 %, Unpacking[31m ffmpeg", "41 %"]


def test_a_node_that_falls_silent_is_given_up(standing: Project, node: Node) -> None:
    with (
        node_access.session(node, node_access.authority(standing)) as session,
        pytest.raises(NodeError, match="no word for 0 s"),
    ):
        session.call("exec sleep 600", limit_s=0.2)


def test_items_have_the_limits_of_their_machine_type(standing: Project, node: Node) -> None:
    size = CLOUDS["local"].types["small"]
    limits = "ulimit -Sd; ulimit -Hn; ulimit -c"

    by_agent = standing.gaxx("run", "-n", node.name, "--stream", "--", "sh", "-c", limits).stdout

    said = [line.split(":", 1)[1].strip() for line in by_agent.splitlines()]
    assert said == [str(size.memory_limit_bytes // 1024), str(size.open_files_limit), "0"]

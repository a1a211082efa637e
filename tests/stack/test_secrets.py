"""Where the secrets of a stack are, and where they are not."""

import base64
import contextlib
import dataclasses
import json
import pathlib
import threading
import typing
from collections.abc import Iterator

import pytest

from components.authority import Authority
from tests.stack.project import Project, fleet, new_project

pytestmark = [pytest.mark.engine, pytest.mark.timeout(300)]

_SAMPLE_S = 0.005
_NODES = ("demo-1", "demo-2")


@dataclasses.dataclass(slots=True)
class Watched:
    """A stack that is up, what was seen while it came up, and all its secrets by name."""

    project: Project
    said: str
    command_lines: set[bytes]
    secrets: dict[str, str]

    def betrayed(self, content: bytes) -> set[str]:
        """Names of the secrets that `content` betrays."""
        return {name for name, secret in self.secrets.items() if any(piece in content for piece in pieces(secret))}

    def betrayed_below(self, folder: pathlib.Path) -> dict[str, set[str]]:
        """The same for each file below `folder` that betrays any."""
        files = [path for path in folder.rglob("*") if path.is_file() and not path.is_symlink()]
        assert files, f"there is something to search in {folder}"
        found = {str(path.relative_to(folder)): self.betrayed(path.read_bytes()) for path in files}
        return {name: secrets for name, secrets in found.items() if secrets}


@pytest.fixture(scope="module", params=["an authority of its own", "an authority in its configuration"])
def watched(request: pytest.FixtureRequest, bundles: pathlib.Path) -> Iterator[Watched]:
    with new_project(bundles) as project:
        project.create("demo", fleet(len(_NODES)))
        if request.param == "an authority in its configuration":
            project.pulumi("config", "set", "--secret", "gaxx:authorityKey", stdin=Authority.create("demo").pem)
        with sampled_command_lines() as command_lines:
            said = project.up().text
        exported = json.loads(project.pulumi("stack", "export", "--show-secrets").stdout)
        yield Watched(project, said, command_lines, dict(all_secrets(project, exported["deployment"]["resources"])))


def pieces(secret: str) -> Iterator[bytes]:
    """What would betray a secret: it, or any line of a key, in the clear or in base64."""
    lines = [line for line in secret.splitlines() if len(line) > 20 and not line.startswith("-----")] or [secret]
    # Some lines of a key file are the same in all of them, or are its public half.
    for line in {line for line in lines if not line.startswith("b3BlbnNzaC1rZXktdjEAAAAABG5vbmUAAAAEbm9uZQ")}:
        yield line.encode()
        for shift in range(3):
            # Where in a group of three it begins changes all of it but the middle.
            yield base64.b64encode(bytes(shift) + line.encode())[4:-4]


def all_secrets(project: Project, resources: list[dict[str, typing.Any]]) -> Iterator[tuple[str, str]]:
    yield "passphrase", (project.home / "passphrase").read_text()
    for resource in resources:
        name = resource["urn"].rpartition("::")[2]
        if resource["type"] == "pulumi:providers:gaxx":
            certificate = "-----BEGIN CERTIFICATE-----"
            yield "authority", revealed(resource["inputs"]["authorityKey"]).partition(certificate)[0]
        for key in ("hostPrivateKey", "userPrivateKey", "token"):
            if key in resource.get("outputs", {}):
                yield f"{key} of {name}", revealed(resource["outputs"][key])
    for node in _NODES:
        for path in ("etc/ssh/ssh_host_ed25519_key", "etc/gaxx/tls/node.key"):
            yield f"{path} of {node}", (project.machine(node) / path).read_text()
    for key in ("ssh_ed25519", "tls.key"):
        yield f"operator's {key}", (project.home / "config/gaxx/operator" / key).read_text()


def revealed(secret: dict[str, str]) -> str:
    """A secret of a state that was exported with its secrets shown."""
    return str(json.loads(secret["plaintext"]))


@contextlib.contextmanager
def sampled_command_lines() -> Iterator[set[bytes]]:
    """Every command line that any process of this machine has meanwhile, as far as one looks often."""
    seen: set[bytes] = set()
    ended = threading.Event()

    def sample() -> None:
        while not ended.wait(_SAMPLE_S):
            for path in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
                with contextlib.suppress(OSError):
                    seen.add(path.read_bytes())

    thread = threading.Thread(target=sample)
    thread.start()
    try:
        yield seen
    finally:
        ended.set()
        thread.join()


def test_every_kind_of_secret_is_known_and_would_be_found(watched: Watched) -> None:
    assert len(watched.secrets) == 1 + 1 + 2 * len(_NODES) + 1 + 2 * len(_NODES) + 2

    found = watched.betrayed(json.dumps(watched.secrets).encode())

    assert found == set(watched.secrets)
    assert watched.betrayed(base64.b64encode(json.dumps(watched.secrets).encode())) == set(watched.secrets)


def test_the_authoritys_key_is_in_the_state_once_and_encrypted(watched: Watched) -> None:
    revealed_state = watched.project.pulumi("stack", "export", "--show-secrets").stdout
    (line, *_) = list(pieces(watched.secrets["authority"]))

    assert revealed_state.count(line.decode()) == 1
    assert watched.betrayed(watched.project.state_file().read_bytes()) == set()


def test_state_history_and_backups_hold_no_secret_in_the_clear(watched: Watched) -> None:
    backend = watched.project.home / "backend"

    assert watched.betrayed_below(backend) == {}
    assert {path.name for path in (backend / ".pulumi").iterdir()} >= {"stacks", "history", "backups"}
    assert backend.stat().st_mode & 0o777 == 0o700


def test_pulumis_own_folder_and_the_stack_file_hold_no_secret_in_the_clear(watched: Watched) -> None:
    assert watched.betrayed_below(watched.project.home / "pulumi") == {}
    assert watched.betrayed_below(watched.project.folder / "stacks") == {}


def test_no_secret_was_an_argument_of_a_process(watched: Watched) -> None:
    assert any(b"pulumi-language-python-exec" in line for line in watched.command_lines), "one looked often enough"
    assert any(b"exec(compile(" in line for line in watched.command_lines), "also at what lives for a moment"

    assert watched.betrayed(b"\n".join(watched.command_lines)) == set()


def test_nothing_that_is_printed_or_logged_holds_a_secret(watched: Watched) -> None:
    project = watched.project
    project.gaxx("run", "--", "true")
    printed = watched.said + project.pulumi("preview", "--diff").text + project.pulumi("stack", "output").text
    shown = project.gaxx("status").text + project.gaxx("ls", "--json").text

    assert watched.betrayed((printed + shown).encode()) == set()
    for node in _NODES:
        assert watched.betrayed_below(project.machine(node) / "var/log") == {}


def test_items_have_no_secret_in_their_environment(watched: Watched) -> None:
    answers = watched.project.gaxx("run", "--", "env").stdout

    assert watched.betrayed(answers.encode()) == set()
    assert "GAXX_NODE=" in answers
    assert "GAXX_AGENT" not in answers


def test_a_node_keeps_neither_its_bootstrap_keys_nor_a_token(watched: Watched) -> None:
    kept = set[str]()
    for node in _NODES:
        kept |= set().union(*watched.betrayed_below(watched.project.machine(node)).values())

    assert {name.partition(" of ")[0] for name in kept} == {"etc/ssh/ssh_host_ed25519_key", "etc/gaxx/tls/node.key"}


def test_what_must_be_kept_in_the_clear_is_for_its_owner_alone(watched: Watched) -> None:
    folders = [watched.project.home / name for name in ("local-state", "config", "cache/gaxx/inventory")]
    for folder in filter(pathlib.Path.exists, folders):
        for name in watched.betrayed_below(folder):
            assert (folder / name).stat().st_mode & 0o077 == 0, f"{folder / name} is for its owner alone"
    for node in _NODES:
        for name in watched.betrayed_below(watched.project.machine(node)):
            assert (watched.project.machine(node) / name).stat().st_mode & 0o077 == 0

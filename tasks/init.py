"""Make a stack: operator keys, the stack in its backend, the authority's key as a secret, a stack file to review."""

import dataclasses
import pathlib
import re
import tempfile
import typing

import yaml

from components import backend
from components.errors import GaxxError
from tasks import check, env, identity, stack_files
from tasks.pulumi_cli import PulumiError, pulumi

_STACK = re.compile(r"[a-z][a-z0-9-]{0,30}")
_KEEP = ("secretsprovider", "encryptedkey", "encryptionsalt")
"""What Pulumi itself keeps in a stack file."""


@dataclasses.dataclass(frozen=True, slots=True)
class Wishes:
    """What the user wants declared."""

    stack: str
    cloud: str
    nodes: int
    fleet: str
    ttl: str
    type: str
    image: str
    regions: tuple[str, ...]
    ssh_cidrs: tuple[str, ...]
    secrets_provider: str


@dataclasses.dataclass(frozen=True, slots=True)
class Made:
    """What there is now."""

    file: pathlib.Path
    operator: identity.Operator
    news: tuple[str, ...]
    """What was made just now, for the user to read."""


def init(wishes: Wishes) -> Made:
    """Make what is missing of all that a stack needs; safe to repeat. Raise GaxxError, PulumiError.

    A stack file that declares fleets already is left as it is, but for the authority's key.
    """
    if not _STACK.fullmatch(wishes.stack):
        message = f"--stack {wishes.stack}: a stack's name is lower-case letters, digits and hyphens, 31 at most"
        raise GaxxError(message)
    root = backend.project_root()
    news = [f"made {path}" for path in env.prepare(env.chosen())]
    operator, fresh = identity.ensure()
    if fresh:
        news.append(f"made operator keys for {operator.name} in {operator.folder}")
    project = backend.project_name(root)
    file = stack_files.path_of(root, wishes.stack)
    existed = _declares_fleets(file)
    if existed:
        news.append(f"{file} declares fleets already: they stay as they are")
    else:
        _check_draft(wishes, operator, project, root)
    if _make_stack(root, wishes):
        news.append(f"made stack {wishes.stack}")
    if _make_authority(root, wishes.stack, file):
        news.append("made the stack's authority; its key is a secret of the stack (gaxx:authorityKey)")
    if not existed:
        file.write_text(render(wishes, operator, _data(file), project), encoding="utf-8")
        news.append(f"wrote {file}")
    elif faults := check.check_files([file], root):
        lines = "\n".join(f"  {fault}" for fault in faults)
        message = f"the stack file has faults:\n{lines}"
        raise GaxxError(message)
    return Made(file, operator, tuple(news))


def _check_draft(wishes: Wishes, operator: identity.Operator, project: str, root: pathlib.Path) -> None:
    """Raise GaxxError when what is wished cannot be: before there is a stack, or a file that would be kept."""
    with tempfile.TemporaryDirectory() as folder:
        draft = stack_files.path_of(pathlib.Path(folder), wishes.stack)
        draft.parent.mkdir()
        data = {"config": {f"{project}:authorityKey": {"secure": "not made yet"}}}
        draft.write_text(render(wishes, operator, data, project), encoding="utf-8")
        faults = check.check_files([draft], root)
    if faults:
        lines = "\n".join(f"  {fault.key}: {fault.text}" for fault in faults)
        message = f"that cannot be declared; nothing was made:\n{lines}"
        raise GaxxError(message)


def _make_stack(root: pathlib.Path, wishes: Wishes) -> bool:
    try:
        pulumi(["stack", "init", wishes.stack, "--secrets-provider", wishes.secrets_provider], root)
    except PulumiError as error:
        if "already exists" not in error.message:
            raise
        pulumi(["stack", "select", wishes.stack], root)
        return False
    return True


def _make_authority(root: pathlib.Path, stack: str, file: pathlib.Path) -> bool:
    from components.authority import Authority

    key = f"{backend.project_name(root)}:authorityKey"
    if key in (_data(file).get("config") or {}):
        return False
    # Through a pipe: an argument could be read by every process of this machine.
    words = ["config", "set", "--secret", "--stack", stack, key]
    pulumi(words, root, stdin=Authority.create(stack).pem.encode())
    return True


def _data(file: pathlib.Path) -> dict[str, typing.Any]:
    try:
        data = yaml.safe_load(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except yaml.YAMLError as error:
        message = f"{file}: not YAML: {error}"
        raise GaxxError(message) from error
    return data if isinstance(data, dict) else {}


def _declares_fleets(file: pathlib.Path) -> bool:
    return any(str(key).endswith(":fleets") for key in _data(file).get("config") or {})


def render(
    wishes: Wishes, operator: identity.Operator, data: typing.Mapping[str, typing.Any], project: str = "gaxx"
) -> str:
    """Write a stack file with a comment to every line that somebody may want to change.

    `data` is what Pulumi has put into the file already: the secrets provider's own words and the encrypted key.
    """
    config = data.get("config") or {}
    secure = config.get(f"{project}:authorityKey", {}).get("secure", "")
    kept = "".join(f"{key}: {data[key]}\n" for key in _KEEP if key in data)
    ttl = f"  {project}:ttl: {wishes.ttl} # from each machine's creation; then `gaxx reap` may destroy it\n"
    return (
        f"# Stack {wishes.stack}. Read it, change it, commit it: `gaxx check` validates, `pulumi preview` shows what\n"
        "# would happen, `pulumi up` does it. Nothing in this file is secret but what says so, encrypted.\n"
        f"{kept}config:\n"
        f"{ttl if wishes.ttl else _commented(ttl)}"
        f"  # The private key that certifies nodes and operators. Who can read the stack's secrets is an operator.\n"
        f"  {project}:authorityKey:\n    secure: {secure}\n"
        "  # Who may use the fleet: public halves only, `gaxx env` makes the keys. Role: operator or observer.\n"
        f"  {project}:operators:\n"
        f"    - name: {operator.name}\n      role: operator\n      sshPublicKey: {operator.ssh_public_key}\n"
        f"      csr: |\n{_indented(operator.csr, 8)}"
        f"  {project}:fleets:\n"
        f"    - name: {wishes.fleet} # nodes are called {wishes.fleet}-1, {wishes.fleet}-2, …\n"
        f"      cloud: {wishes.cloud}\n"
        f"      nodes: {wishes.nodes}\n"
        f"      # enough: {max(1, wishes.nodes * 3 // 4)} # go on when so many are enrolled\n"
        f"      type: {wishes.type}\n"
        f"      image: {wishes.image} # pinned; another one replaces the machines\n"
        f"{_list('regions', wishes.regions, 'nodes are spread over them in this order')}"
        f"{_list('sshCidrs', wishes.ssh_cidrs, 'who reaches port 22; the world is refused')}"
        "      # trustedCidrs: [10.0.0.0/8] # who reaches the agents (8088) and their metrics (9091)\n"
        "      # reach: ssh # ssh: agents are reached through SSH; direct: from inside the trusted network\n"
        "      # packages: [ffmpeg] # of the distribution; applied in place\n"
        "      # env: {LANG: C.UTF-8} # for every item\n"
        "      # groups: [gpu] # for `gaxx run -n @gpu`\n"
        "      # idle: 45m # so long without work, a machine powers itself off, and the stack may be reaped\n"
    )


def _list(name: str, values: tuple[str, ...], comment: str) -> str:
    return f"      {name}: [{', '.join(values)}] # {comment}\n" if values else ""


def _commented(line: str) -> str:
    return f"  # {line.strip()}\n"


def _indented(text: str, width: int) -> str:
    return "".join(f"{' ' * width}{line}\n" for line in text.strip().splitlines())

"""A stack as it is rehearsed: the user's own file, without its secrets, on a backend that is thrown away."""

import os
import pathlib
import secrets
import shutil
import typing
from collections.abc import Mapping

import yaml

from components import backend
from components.errors import GaxxError
from tasks import private, stack_files
from tasks.identity import Operator

_OF_THE_PROVIDER = ("secretsprovider", "encryptedkey", "encryptionsalt")
_ELSEWHERE = ("stacks", "Pulumi.yaml", ".git")
_NOT_OURS = ("PULUMI_STACK", "PULUMI_CONFIG_PASSPHRASE", "PULUMI_ACCESS_TOKEN")


def rewritten(text: str, project: str, operator: Operator) -> tuple[str, tuple[str, ...]]:
    """Return the stack file to rehearse with, and the secret keys that were left out of it. Raise GaxxError.

    Whoever rehearses becomes an operator of the copy, in the place of whoever has the same name.
    """
    try:
        data = yaml.safe_load(text)
    except yaml.YAMLError as error:
        message = f"the stack file is not YAML: {error}"
        raise GaxxError(message) from error
    config = data.get("config") if isinstance(data, dict) else None
    if not isinstance(config, dict):
        message = "the stack file has no config"
        raise GaxxError(message)
    secret = tuple(sorted(str(key) for key, value in config.items() if isinstance(value, dict) and "secure" in value))
    kept: dict[str, typing.Any] = {key: value for key, value in config.items() if str(key) not in secret}
    declared = kept.get(f"{project}:operators")
    others = declared if isinstance(declared, list) else []
    me = {
        "name": operator.name,
        "role": "operator",
        "sshPublicKey": operator.ssh_public_key,
        "csr": operator.csr,
    }
    same = (operator.name, operator.csr.strip())
    kept[f"{project}:operators"] = [me, *(one for one in others if not _is_one_of(one, same))]
    rest = {key: value for key, value in data.items() if key not in (*_OF_THE_PROVIDER, "config")}
    return yaml.safe_dump({**rest, "config": kept}), secret


def make(root: pathlib.Path, stack: str, base: pathlib.Path, operator: Operator) -> tuple[str, ...]:
    """Make a project in `base` that is the one in `root`, with only this stack; return the secrets left out."""
    file = stack_files.path_of(root, stack)
    try:
        text = file.read_text(encoding="utf-8")
    except FileNotFoundError:
        message = f"{file}: there is no such stack file"
        raise GaxxError(message) from None
    copied, left_out = rewritten(text, backend.project_name(root), operator)
    project = base / "project"
    (project / "stacks").mkdir(parents=True)
    for path in root.iterdir():
        if path.name not in _ELSEWHERE:
            (project / path.name).symlink_to(path)
    shutil.copy(root / "Pulumi.yaml", project)
    (project / "stacks" / file.name).write_text(copied, encoding="utf-8")
    (base / "backend").mkdir(mode=0o700)
    (base / "pulumi").mkdir(mode=0o700)
    plugins = _pulumi_home() / "plugins"
    if plugins.is_dir():
        # The vendors' plugins that this user has.
        (base / "pulumi" / "plugins").symlink_to(plugins)
    private.create(base / "passphrase", secrets.token_urlsafe(32).encode())
    return left_out


def environment(base: pathlib.Path, variables: Mapping[str, str]) -> dict[str, str]:
    """What Pulumi gets to work on the copy, and on the rehearsal that `variables` lead to."""
    kept = {name: value for name, value in os.environ.items() if name not in _NOT_OURS}
    policy = base / "project" / "policy"
    return {
        **kept,
        **({"PULUMI_OPTION_POLICY_PACK": str(policy)} if (policy / "PulumiPolicy.yaml").is_file() else {}),
        **variables,
        "PULUMI_HOME": str(base / "pulumi"),
        "PULUMI_BACKEND_URL": f"file://{base / 'backend'}?metadata=skip",
        "PULUMI_CONFIG_PASSPHRASE_FILE": str(base / "passphrase"),
        "PULUMI_SKIP_UPDATE_CHECK": "1",
    }


def _is_one_of(operator: object, same: tuple[str, str]) -> bool:
    if not isinstance(operator, dict):
        return False
    return operator.get("name") == same[0] or str(operator.get("csr", "")).strip() == same[1]


def _pulumi_home() -> pathlib.Path:
    return pathlib.Path(os.environ.get("PULUMI_HOME") or pathlib.Path.home() / ".pulumi")

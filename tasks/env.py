"""Defaults for users who have chosen no Pulumi backend: a file backend and a passphrase of their own, private.

A login, a PULUMI_BACKEND_URL or a backend in Pulumi.yaml is a choice: then only what is missing is given.
"""

import json
import os
import pathlib

from components import backend, places
from components.errors import GaxxError
from tasks import private


def backend_folder() -> pathlib.Path:
    """Where the default backend keeps state."""
    return places.private_dir() / "backend"


def backend_url() -> str:
    """The default backend as Pulumi wants it named.

    Without `metadata=skip` Pulumi writes a second file beside each state file, and not atomically: an engine that
    is killed in that moment leaves a stack that no command can read any more.
    """
    return f"file://{backend_folder()}?metadata=skip"


def passphrase_file() -> pathlib.Path:
    """The passphrase that encrypts the secrets of the default backend's stacks."""
    return places.private_dir() / "passphrase"


def pulumi_home() -> pathlib.Path:
    """Pulumi's own folder, so that nothing of the user's ~/.pulumi is touched."""
    return places.private_dir() / "pulumi-home"


def chosen() -> dict[str, str]:
    """Return the variables that Pulumi needs and that the user has not set otherwise; makes nothing.

    A variable that has our value already is among them: printing them twice prints the same.
    """
    wanted = {"PULUMI_SKIP_UPDATE_CHECK": "1"}
    root = _root()
    if root is not None and (root / "policy" / "PulumiPolicy.yaml").is_file():
        pack = wanted["PULUMI_OPTION_POLICY_PACK"] = str(root / "policy")
        # Levels and parameters of the rules, where the team has written some; another pack has others.
        ours = os.environ.get("PULUMI_OPTION_POLICY_PACK", pack) == pack
        if ours and (root / "policy" / "parameters.json").is_file():
            wanted["PULUMI_OPTION_POLICY_PACK_CONFIG"] = str(root / "policy" / "parameters.json")
    url = backend_url()
    if os.environ.get("PULUMI_BACKEND_URL", url) == url and not _has_choice(root):
        wanted |= {"PULUMI_BACKEND_URL": url, "PULUMI_HOME": str(pulumi_home())}
        if "PULUMI_CONFIG_PASSPHRASE" not in os.environ:
            wanted["PULUMI_CONFIG_PASSPHRASE_FILE"] = str(passphrase_file())
    return {name: value for name, value in wanted.items() if name not in os.environ or os.environ[name] == value}


def prepare(variables: dict[str, str]) -> list[str]:
    """Make the folders and the passphrase that `variables` name; return what was made. Safe to repeat."""
    made: list[str] = []
    if variables.get("PULUMI_BACKEND_URL") == backend_url():
        for folder in (places.private_dir(), backend_folder()):
            if not folder.exists():
                made.append(str(folder))
            private.folder(folder)
            # State keeps ciphertext in files that Pulumi writes 0644: the folder is what protects it.
            folder.chmod(0o700)
    if variables.get("PULUMI_HOME") == str(pulumi_home()):
        private.folder(pulumi_home())
    if variables.get("PULUMI_CONFIG_PASSPHRASE_FILE") == str(passphrase_file()):
        import secrets

        try:
            private.create(passphrase_file(), secrets.token_urlsafe(32).encode())
            made.append(str(passphrase_file()))
        except FileExistsError:
            private.read(passphrase_file())
    return made


def _root() -> pathlib.Path | None:
    try:
        return backend.project_root()
    except GaxxError:
        # Not inside a project: the one this program belongs to, if it is a clone.
        clone = pathlib.Path(__file__).resolve().parent.parent
        return clone if (clone / "Pulumi.yaml").is_file() else None


def _has_choice(root: pathlib.Path | None) -> bool:
    """Whether Pulumi.yaml or a login names a backend; what we keep in our own PULUMI_HOME is no login."""
    if "PULUMI_HOME" in os.environ and os.environ["PULUMI_HOME"] != str(pulumi_home()):
        # Somebody who keeps Pulumi elsewhere has made a choice only when logged in there.
        home = pathlib.Path(os.environ["PULUMI_HOME"])
    else:
        home = pathlib.Path.home() / ".pulumi"
    try:
        credentials = json.loads((home / "credentials.json").read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError, ValueError):
        credentials = {}
    if isinstance(credentials, dict) and credentials.get("current"):
        return True
    try:
        return root is not None and bool(backend.declared_url(root))
    except GaxxError:
        return False  # said, with its line, by whoever needs the project

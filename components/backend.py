"""Which Pulumi backend and stack are selected, read from Pulumi's own files without starting Pulumi.

Sources: pulumi sdk/go/common/workspace (`getWorkspacePath`, `credentials.json`) and
pkg/backend/httpstate/backend.go (`CurrentBackend`), v3.259.0.
"""

import hashlib
import json
import os
import pathlib
import re
import urllib.parse

from components.errors import GaxxError

PULUMI_CLOUD = "https://api.pulumi.com"
_STATES = ".pulumi/stacks"
_OWN_ID = ".pulumi/gaxx-id"
_NAME = re.compile(r"^name: *([A-Za-z][\w.-]*) *$", re.MULTILINE)
"""The project's name as nearly every Pulumi.yaml has it. A YAML parser takes longer to load than a short command."""


def pulumi_home() -> pathlib.Path:
    """Where Pulumi keeps its own state: PULUMI_HOME or ~/.pulumi."""
    home = os.environ.get("PULUMI_HOME")
    return pathlib.Path(home) if home else pathlib.Path.home() / ".pulumi"


def project_root(start: pathlib.Path | None = None) -> pathlib.Path:
    """The nearest folder at or above `start` with a Pulumi.yaml; raise GaxxError when there is none."""
    here = (start or pathlib.Path.cwd()).absolute()
    for folder in (here, *here.parents):
        if (folder / "Pulumi.yaml").is_file():
            return folder
    message = f"no Pulumi.yaml in {here} or above it"
    raise GaxxError(message, hint="run gaxx inside the project")


def project_name(root: pathlib.Path) -> str:
    """The project's name from its Pulumi.yaml."""
    plain = _NAME.findall((root / "Pulumi.yaml").read_text())
    if len(plain) == 1:
        return str(plain[0])
    project = _project(root)
    name = project.get("name")
    if not isinstance(name, str):
        message = f"{root / 'Pulumi.yaml'}: name: missing"
        raise GaxxError(message)
    return name


def current_backend_url(root: pathlib.Path) -> str:
    """The backend that `pulumi` would use in `root`; "" when nobody has logged in or chosen one."""
    url = os.environ.get("PULUMI_BACKEND_URL", "")
    if url:
        return url
    url = declared_url(root)
    if url:
        return url
    try:
        credentials = json.loads((pulumi_home() / "credentials.json").read_text())
    except FileNotFoundError:
        return ""
    except ValueError as error:
        message = f"{pulumi_home() / 'credentials.json'}: not JSON: {error}"
        raise GaxxError(message) from error
    current = credentials.get("current", "")
    return current if isinstance(current, str) else ""


def declared_url(root: pathlib.Path) -> str:
    """The backend that Pulumi.yaml itself names; "" when it names none."""
    if "backend" not in (root / "Pulumi.yaml").read_text():
        return ""
    backend = _project(root).get("backend")
    return str(backend["url"]) if isinstance(backend, dict) and isinstance(backend.get("url"), str) else ""


def backend_id(url: str, root: pathlib.Path) -> str:
    """A short stable id of a backend, fit for a machine's tag: 12 hex digits of its normalised URL.

    A folder's path is the same on many computers: one that has an id of its own (`ensure_own_id`) is known by both.
    """
    folder = folder_of(url, root)
    if folder is not None:
        own = own_id(folder)
        url = f"file://{folder.resolve()}{f'#{own}' if own else ''}"
    else:
        parts = urllib.parse.urlsplit(url or PULUMI_CLOUD)
        # The query may carry credentials (S3 profiles); the place is scheme, host and path.
        url = f"{parts.scheme}://{parts.netloc.rsplit('@', 1)[-1]}{parts.path.rstrip('/')}"
    return hashlib.sha256(url.encode()).hexdigest()[:12]


def folder_of(url: str, root: pathlib.Path) -> pathlib.Path | None:
    """The folder of a file backend; None for any other."""
    if not url.startswith("file://"):
        return None
    return root / pathlib.Path(url.removeprefix("file://").split("?", 1)[0]).expanduser()


def own_id(folder: pathlib.Path) -> str:
    """The id that a file backend was given; empty when it has none."""
    try:
        return (folder / _OWN_ID).read_text().strip()
    except (FileNotFoundError, NotADirectoryError):
        return ""


def ensure_own_id(url: str, root: pathlib.Path) -> None:
    """Give a file backend an id that no other computer's has at the same path, unless machines carry the one it had.

    It lies among Pulumi's own files, and goes where a copy of the backend goes.
    """
    folder = folder_of(url, root)
    if folder is None or not (folder / _STATES).is_dir() or own_id(folder) or _is_used(folder / _STATES):
        return
    new = folder / f"{_OWN_ID}.{os.getpid()}"
    try:
        new.write_text(f"{os.urandom(16).hex()}\n")
        try:
            # Whole or not at all, and of two programs that begin at once the first.
            os.link(new, folder / _OWN_ID)
        finally:
            new.unlink()
    except FileExistsError:
        return
    except OSError:
        # A backend that cannot be written to has other worries, and no machine of this update.
        return


def _is_used(states: pathlib.Path) -> bool:
    """Whether any stack has, or may have, something of ours."""
    for path in states.rglob("*"):
        if path.suffix == ".json" and b"gaxx:index:" in path.read_bytes():
            return True
        if path.suffix == ".gz":
            return True
    return False


def selected_stack(root: pathlib.Path) -> str:
    """The stack that `pulumi stack select` chose for the project in `root`; "" when none is."""
    chosen = os.environ.get("PULUMI_STACK", "")
    if chosen:
        return chosen
    digest = hashlib.sha1(str(root / "Pulumi.yaml").encode(), usedforsecurity=False).hexdigest()
    path = pulumi_home() / "workspaces" / f"{project_name(root)}-{digest}-workspace.json"
    try:
        workspace = json.loads(path.read_text())
    except FileNotFoundError:
        return ""
    except ValueError as error:
        message = f"{path}: not JSON: {error}"
        raise GaxxError(message) from error
    here = backend_id(current_backend_url(root), root)
    # One selection a backend since 3.2xx; before there was one for all of them.
    chosen = workspace.get("stack", "")
    for url, name in (workspace.get("stacks") or {}).items():
        if backend_id(url, root) == here:
            chosen = name
    # A DIY backend writes the fully qualified organization/project/stack.
    return chosen.rsplit("/", 1)[-1] if isinstance(chosen, str) else ""


def _project(root: pathlib.Path) -> dict[str, object]:
    import yaml

    path = root / "Pulumi.yaml"
    try:
        data = yaml.safe_load(path.read_text())
    except yaml.YAMLError as error:
        message = f"{path}: not YAML: {error}"
        raise GaxxError(message) from error
    if not isinstance(data, dict):
        message = f"{path}: a mapping was expected"
        raise GaxxError(message)
    return data

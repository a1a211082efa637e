"""Where Gaxx keeps things on a controller; pure path arithmetic, nothing is created here.

Two roots on purpose: `state_dir` holds local nodes and is open to the account that runs them,
`private_dir` holds what an item must never read (backend, passphrase, authorities, journals).
"""

import hashlib
import os
import pathlib
import pwd
import typing

LOCAL_ACCOUNT = "gaxx"
"""The unprivileged account that set-up makes for root's local nodes."""


class Account(typing.NamedTuple):
    """Who local nodes run as."""

    name: str
    uid: int
    gid: int
    home: pathlib.Path


def _xdg(variable: str, default: str) -> pathlib.Path:
    value = os.environ.get(variable, "")
    # The XDG specification says that relative values are to be ignored.
    base = pathlib.Path(value) if value.startswith("/") else pathlib.Path.home() / default
    return base / "gaxx"


def state_dir() -> pathlib.Path:
    """Local machines live here: /var/lib/gaxx for root, else below the user's own state folder."""
    override = os.environ.get("GAXX_STATE_DIR")
    if override:
        return pathlib.Path(override).absolute()
    if os.geteuid() == 0:
        return pathlib.Path("/var/lib/gaxx")
    return private_dir()


def private_dir() -> pathlib.Path:
    """What only the user may read, also when the user is root: backend, passphrase, authorities, runs."""
    return _xdg("XDG_STATE_HOME", ".local/state")


def config_dir() -> pathlib.Path:
    """The user's configuration: operator keys, secrets.env."""
    return _xdg("XDG_CONFIG_HOME", ".config")


def cache_dir() -> pathlib.Path:
    """What can be made again: engines, bundles, inventories."""
    return _xdg("XDG_CACHE_HOME", ".cache")


def nodes_dir() -> pathlib.Path:
    """One folder a stack, below it one folder a local node."""
    return state_dir() / "nodes"


def operator_dir() -> pathlib.Path:
    """This user's operator keys."""
    override = os.environ.get("GAXX_OPERATOR_DIR")
    return pathlib.Path(override).absolute() if override else config_dir() / "operator"


def stack_key(backend_id: str, project: str, stack: str) -> str:
    """A short name for one stack of one backend that is fit for a file name."""
    return hashlib.sha256(f"{backend_id}|{project}|{stack}".encode()).hexdigest()[:24]


def inventory_cache(backend_id: str, project: str, stack: str) -> pathlib.Path:
    """The cached inventory of a stack."""
    return cache_dir() / "inventory" / f"{stack_key(backend_id, project, stack)}.json"


def audit_folder(backend_id: str, project: str, stack: str) -> pathlib.Path:
    """What was collected of the audit trails of a stack's nodes: evidence, so not in the cache."""
    return private_dir() / "audit" / stack_key(backend_id, project, stack)


def image_folder(name: str) -> pathlib.Path:
    """An image of the `qemu` cloud; the account that runs machines must get there, so it lies in no cache of a user."""
    return state_dir() / "images" / name


def image_file(sha256: str) -> pathlib.Path:
    """A downloaded image, by the hex digest of its bytes."""
    return image_folder(f"sha256-{sha256}.qcow2")


def known_hosts(inventory: pathlib.Path) -> pathlib.Path:
    """The host keys of a cached inventory, as OpenSSH reads them."""
    return inventory.with_suffix(".known_hosts")


def authority_file(backend_id: str, project: str, stack: str) -> pathlib.Path:
    """The authority of a stack of local nodes that has none in its configuration."""
    return private_dir() / "authorities" / f"{stack_key(backend_id, project, stack)}.pem"


def previous_authority_file(authority: pathlib.Path) -> pathlib.Path:
    """The authority that one of these takes over from, while it does."""
    return authority.with_suffix(".previous.pem")


def local_account() -> Account:
    """The account that local nodes run as; raise KeyError when root's account is not there yet."""
    entry = pwd.getpwnam(LOCAL_ACCOUNT) if os.geteuid() == 0 else pwd.getpwuid(os.geteuid())
    return Account(entry.pw_name, entry.pw_uid, entry.pw_gid, pathlib.Path(entry.pw_dir))

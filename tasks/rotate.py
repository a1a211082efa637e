"""New tokens, keys and authority for a stack that goes on working: the stack's configuration changes, `up` does it.

An authority takes over in two updates. After the first every node and controller trusts both, and everything new
is the new one's; the second drops the old. What is cut short goes on where it stopped.
"""

import collections.abc
import dataclasses
import pathlib
import tempfile

from components import places
from components.errors import GaxxError
from tasks import stack_files
from tasks.inventory import Stack
from tasks.pulumi_cli import pulumi

Up = collections.abc.Callable[[], None]
"""Runs `pulumi up` for the stack; raises GaxxError."""
Tell = collections.abc.Callable[[str], None]

TOKENS, KEYS = "tokenGeneration", "keyGeneration"
_AUTHORITY, _PREVIOUS = "authorityKey", "previousAuthorityKey"


@dataclasses.dataclass(frozen=True, slots=True)
class Wishes:
    """What to renew."""

    tokens: bool
    """Operators' bearer tokens."""
    keys: bool
    """TLS keys and certificates of the nodes, their SSH host keys, and operators' certificates."""
    authority: bool
    """The authority itself, and with it every certificate and token."""


def rotate(stack: Stack, wishes: Wishes, up: Up, tell: Tell) -> None:
    """Renew what is wished. Raise GaxxError when an update fails: the configuration is kept, and `up` goes on."""
    config = stack_files.configuration(stack.root, stack.name)
    for name, wished in ((TOKENS, wishes.tokens), (KEYS, wishes.keys)):
        if wished:
            before = int(str(config.get(f"{stack.project}:{name}", 1)))
            pulumi(["config", "set", "--stack", stack.name, f"{stack.project}:{name}", str(before + 1)], stack.root)
            tell(f"{stack.project}:{name}: {before} -> {before + 1}")
    if not wishes.authority:
        try:
            up()
        except GaxxError:
            tell(f"{stack_files.path_of(stack.root, stack.name)} keeps what was raised; `gaxx up` applies it")
            raise
        return
    place: _Declared | _Embedded = _Declared(stack) if f"{stack.project}:{_AUTHORITY}" in config else _Embedded(stack)
    if place.begin():
        tell("a new authority takes over: first every node learns to trust it beside the old one")
    else:
        tell("the authority is being taken over from already: going on")
    rest = "the same command goes on from here"
    try:
        up()
        place.finish()
        rest = "`gaxx up` finishes it"
        tell("every node is under the new authority: now the old one is trusted no more")
        up()
    except GaxxError:
        tell(f"the authority is half-way taken over: {rest}")
        raise


class _Declared:
    """An authority that is a secret of the stack's configuration."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack

    def begin(self) -> bool:
        """Put a new one into the old one's place; False when that is so already."""
        old = self._get(_AUTHORITY)
        config = stack_files.configuration(self._stack.root, self._stack.name)
        if f"{self._stack.project}:{_PREVIOUS}" in config and self._get(_PREVIOUS) != old:
            return False
        self._set(_PREVIOUS, old)
        self._set(_AUTHORITY, _new(self._stack))
        return True

    def finish(self) -> None:
        """Forget the old one."""
        key = f"{self._stack.project}:{_PREVIOUS}"
        pulumi(["config", "rm", "--stack", self._stack.name, key], self._stack.root)

    def _get(self, name: str) -> str:
        words = ["config", "get", "--stack", self._stack.name, f"{self._stack.project}:{name}"]
        return pulumi(words, self._stack.root).decode().strip()

    def _set(self, name: str, pem: str) -> None:
        # Through a pipe: an argument could be read by every process of this machine.
        words = ["config", "set", "--secret", "--stack", self._stack.name, f"{self._stack.project}:{name}"]
        pulumi(words, self._stack.root, stdin=pem.encode())


class _Embedded:
    """An authority that was made at first use, for a stack of free machines."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self._file = places.authority_file(stack.backend_id, stack.project, stack.name)
        self._previous = places.previous_authority_file(self._file)

    def begin(self) -> bool:
        """Put a new one into the old one's place; False when that is so already."""
        try:
            old = self._file.read_text()
        except FileNotFoundError:
            message = f"stack {self._stack.name} has no authority yet"
            raise GaxxError(message, hint="`pulumi up` makes one") from None
        if self._previous.exists() and self._previous.read_text() != old:
            return False
        _write(self._previous, old)
        _write(self._file, _new(self._stack))
        return True

    def finish(self) -> None:
        """Forget the old one."""
        self._previous.unlink()


def _new(stack: Stack) -> str:
    from components.authority import Authority

    return Authority.create(stack.name).pem


def _write(path: pathlib.Path, text: str) -> None:
    with tempfile.NamedTemporaryFile("w", dir=path.parent, delete=False) as file:  # made 0600
        file.write(text)
    pathlib.Path(file.name).replace(path)

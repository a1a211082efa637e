"""New tokens, keys and authority for a stack that goes on working: the stack's configuration changes, `up` does it.

An authority takes over in two updates. After the first every node and controller trusts both, and everything new
is the new one's; the second drops the old. What is cut short goes on where it stopped.
"""

import dataclasses
import pathlib
import tempfile

from components import places
from components.errors import GaxxError
from tasks import stack_files
from tasks.inventory import Stack
from tasks.pulumi_cli import pulumi
from tasks.updates.changing import Tell, Up, restored, saying
from tasks.updates.deploy import Declined

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
    """Renew what is wished.

    Raise deploy.Declined, with everything as it was, when the user does not want the first update, and GaxxError when
    an update fails: the configuration is kept, and another one goes on.
    """
    file = stack_files.path_of(stack.root, stack.name)
    config = stack_files.configuration(stack.root, stack.name)
    place: _Declared | _Embedded = _Declared(stack) if f"{stack.project}:{_AUTHORITY}" in config else _Embedded(stack)
    with restored(file):
        for name, wished in ((TOKENS, wishes.tokens), (KEYS, wishes.keys)):
            if wished:
                before = int(str(config.get(f"{stack.project}:{name}", 1)))
                pulumi(["config", "set", "--stack", stack.name, f"{stack.project}:{name}", str(before + 1)], stack.root)
                tell(f"{stack.project}:{name}: {before} -> {before + 1}")
        if wishes.authority:
            _begin(place, up, tell)
        else:
            with saying(f"{file} keeps what was raised; `gaxx up` applies it", tell):
                up()
    if wishes.authority:
        place.finish()
        tell("every node is under the new authority: now the old one is trusted no more")
        with saying("the old authority is still trusted; `gaxx up` ends that", tell, although_declined=True):
            up()


def _begin(place: "_Declared | _Embedded", up: Up, tell: Tell) -> None:
    begun = place.begin()
    if begun:
        tell("a new authority takes over: first every node learns to trust it beside the old one")
    else:
        tell("the authority is being taken over from already: going on")
    try:
        with saying("a new authority is being taken over from: the same command goes on from here", tell):
            up()
    except Declined:
        if begun:
            place.take_back()
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

    def take_back(self) -> None:
        """Nothing to do: the stack file is put back as a whole."""

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

    def take_back(self) -> None:
        """Put the old one back: nothing has seen the new one."""
        self._previous.replace(self._file)

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

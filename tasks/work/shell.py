"""Placeholders and shells: items are data, so none may become part of a program's text.

A placeholder inside `sh -c '…'` (or `python -c`, `perl -e`) is refused. With `--shell` the script gets the values
as positional parameters instead, referred to by expansions that fit the quotes they stand in: no value is parsed.
"""

import collections.abc
import posixpath
import re

from components.errors import Refused
from tasks.work.placeholders import PLACEHOLDER

SHELLS = frozenset({b"sh", b"bash", b"dash", b"zsh", b"ksh", b"mksh", b"ash", b"busybox", b"fish", b"csh", b"tcsh"})
POSIX_SHELLS = frozenset({b"sh", b"bash", b"dash", b"zsh", b"ksh", b"mksh", b"ash"})
_EVALUATORS = {
    **dict.fromkeys(SHELLS, re.compile(rb"-[A-Za-z]*c\Z")),
    b"python": re.compile(rb"-[A-Za-z]*c\Z"),
    b"perl": re.compile(rb"-[A-Za-z]*[eE]\Z"),
    b"ruby": re.compile(rb"-[A-Za-z]*e\Z"),
    b"node": re.compile(rb"(-[A-Za-z]*[ep]|--eval|--print)\Z"),
    b"php": re.compile(rb"-r\Z"),
    b"su": re.compile(rb"(-[A-Za-z]*c|--command)\Z"),
}
_VERSION = re.compile(rb"[\d.]+\Z")


def script_position(argv: collections.abc.Sequence[bytes]) -> tuple[int, bytes] | None:
    """Find the argument that is a program's text, and the interpreter that will read it; None when there is none."""
    for place, argument in enumerate(argv):
        name = _VERSION.sub(b"", posixpath.basename(argument)) or argument
        option = _EVALUATORS.get(name)
        if option is None:
            continue
        for later in range(place + 1, len(argv) - 1):
            if option.match(argv[later]):
                return later + 1, name
    return None


def guard(argv: collections.abc.Sequence[bytes]) -> None:
    """Raise Refused when an item would become part of a program's text."""
    found = script_position(argv)
    if found is None:
        return
    place, name = found
    placeholder = PLACEHOLDER.search(argv[place])
    if placeholder is None:
        return
    option = _text(argv[place - 1])
    message = f"{_text(placeholder.group())} stands inside the program text of {_text(name)} {option}: items are data"
    way = f'write "$GAXX_ITEM" there, or pass it as an argument: {_text(name)} {option} \'… "$1"\' {_text(name)} {{}}'
    raise Refused(message, hint=way if name in SHELLS else f"{way}; --shell quotes only for shells")


def quoted(argv: collections.abc.Sequence[bytes]) -> list[bytes]:
    """Return an argv that does for every item what the script says, with each value as a positional parameter.

    `sh -c SCRIPT …` is taken as it is; anything else is joined by blanks into one script for `sh`.
    Raise Refused when the script is of a language, or the placeholder in a place, that cannot be quoted safely.
    """
    found = script_position(argv)
    if found is None:
        return _parametrised([b"sh", b"-c", b" ".join(argv)], 2)
    place, name = found
    if PLACEHOLDER.search(argv[place]) is None:
        return list(argv)
    if name not in POSIX_SHELLS:
        message = f"--shell cannot quote for {_text(name)}"
        raise Refused(message, hint="pass the item as an argument, or read GAXX_ITEM from the environment")
    return _parametrised(list(argv), place)


def _parametrised(argv: list[bytes], place: int) -> list[bytes]:
    script, values = _with_parameters(argv[place])
    taken = b"".join(b"_gaxx%d=$%d; " % (number, number) for number in range(1, len(values) + 1))
    zero = argv[place + 1 : place + 2] or [b"sh"]
    text = taken + (b"shift %d; " % len(values)) + script
    return [*argv[:place], text, *zero, *values, *argv[place + 2 :]]


def _with_parameters(script: bytes) -> tuple[bytes, list[bytes]]:
    # What kind of quotes each `$(` and `${` was opened in; the last is where we are.
    values: list[bytes] = []
    out: list[bytes] = []
    contexts = [b""]
    position = 0
    while position < len(script):
        context = contexts[-1]
        placeholder = PLACEHOLDER.match(script, position)
        if placeholder is not None:
            if placeholder.group() not in values:
                values.append(placeholder.group())
            variable = b"${_gaxx%d}" % (values.index(placeholder.group()) + 1)
            out.append({b"": b'"%s"', b'"': b"%s", b"'": b"'\"%s\"'"}[context] % variable)
            position = placeholder.end()
            continue
        step = 2 if context != b"'" and script[position : position + 1] == b"\\" else 1
        if step == 1:
            step = _step(script, position, contexts)
        out.append(script[position : position + step])
        position += step
    return b"".join(out), values


def _step(script: bytes, position: int, contexts: list[bytes]) -> int:
    """Note what the character at `position` opens or closes; return how many characters belong together."""
    context = contexts[-1]
    here = script[position : position + 1]
    two = script[position : position + 2]
    if context == b"'":
        if here == b"'":
            contexts.pop()
        return 1
    if here == b"`" or two in (b"<<", b"$'") or (here == b"#" and context == b"" and _begins_word(script, position)):
        if PLACEHOLDER.search(script, position) is None:
            return 1
        what = {b"`": "backquotes", b"#": "a comment"}.get(here) or {b"<<": "a here-document"}.get(two, "$'…'")
        message = f"--shell cannot tell the quoting of a placeholder after {what}"
        raise Refused(message, hint='write "$GAXX_ITEM" instead')
    if two == b"$(":
        contexts.append(b"")
        return 2
    if here == b'"':
        contexts.pop() if context == b'"' else contexts.append(b'"')
    elif context == b"":
        _open_or_close(here, contexts)
    return 1


def _open_or_close(here: bytes, contexts: list[bytes]) -> None:
    """Outside of quotes: a subshell, its end, or what is taken literally."""
    if here == b"(":
        contexts.append(b"")
    elif here == b")" and len(contexts) > 1:
        contexts.pop()
    elif here == b"'":
        contexts.append(b"'")


def _begins_word(script: bytes, position: int) -> bool:
    return position == 0 or script[position - 1 : position] in b" \t\n;&|("


def _text(data: bytes) -> str:
    return data.decode(errors="backslashreplace")

"""Reading untyped configuration: every getter notes a fault under its key path and goes on, so none hides another."""

import dataclasses
import difflib
import json
import re
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence

_DURATION = re.compile(r"(?:(\d{1,6})d)?(?:(\d{1,6})h)?(?:(\d{1,6})m)?(?:(\d{1,6})s)?")
_UNIT_S = (86400, 3600, 60, 1)
_SHOWN = 60

T = typing.TypeVar("T")


@dataclasses.dataclass(slots=True)
class Faults:
    """What is wrong so far, in the order of reading."""

    found: list[tuple[str, str]] = dataclasses.field(default_factory=list)

    def add(self, path: str, text: str) -> None:
        """Note one fault: what is wrong and what would be right."""
        self.found.append((path, text))

    def below(self, path: str) -> bool:
        """Tell whether anything is wrong at `path` or inside it."""
        return any(p == path or p.startswith((f"{path}.", f"{path}[")) for p, _ in self.found)


@dataclasses.dataclass(frozen=True, slots=True)
class Reader:
    """One mapping of the configuration and where it is. A value that has a fault reads as its default."""

    values: Mapping[str, object]
    faults: Faults
    path: str = "gaxx:"

    def at(self, key: str) -> str:
        """The key path of one of this mapping's keys."""
        return f"{self.path}{key}" if self.path.endswith(":") else f"{self.path}.{key}"

    def add(self, key: str, text: str) -> None:
        """Note a fault of one of this mapping's keys."""
        self.faults.add(self.at(key), text)

    def refuse_unknown(self, known: Iterable[str]) -> None:
        """Note every key that is not known, with the nearest that is."""
        names = tuple(known)
        for key in self.values:
            if key not in names:
                self.add(key, f"unknown key; {suggestion(key, names)}")

    def text(self, key: str, default: str | None = None) -> str:
        """A text that is not empty; without a default the key is required."""
        value = self.values.get(key)
        if value is None:
            if default is None:
                self.add(key, "missing")
            return default or ""
        return self._text(self.at(key), value) or default or ""

    def integer(self, key: str, default: int, *, minimum: int, maximum: int) -> int:
        """A whole number within bounds; the engine hands them over as floats or as text."""
        value = self.values.get(key)
        if value is None:
            return default
        number = _whole(value)
        if number is None:
            self.add(key, f"{shown(value)} is not a whole number; {minimum} to {maximum} is")
        elif not minimum <= number <= maximum:
            self.add(key, f"{number} is out of range; {minimum} to {maximum} is in it")
        else:
            return number
        return default

    def duration_s(self, key: str, default: int) -> int:
        """A duration in seconds, written as 30m, 4h or 2d."""
        value = self.values.get(key)
        if value is None:
            return default
        try:
            return parse_duration(value if isinstance(value, str) else shown(value))
        except ValueError as error:
            self.add(key, str(error))
            return default

    def choice(self, key: str, choices: Sequence[str], default: str) -> str:
        """One of a closed set of words."""
        value = self.text(key, default)
        if value not in choices:
            self.add(key, f"{shown(value)} is not known; {suggestion(value, choices)}")
            return default
        return value

    def texts(self, key: str, default: tuple[str, ...] = (), *, limit: int = 64) -> tuple[str, ...]:
        """A list of texts, each once; one that is twice is a fault."""
        seen: dict[str, str] = {}
        items = self.sequence(key, limit=limit)
        if items is None:
            return default
        for path, item in items:
            text = self._text(path, item)
            if text in seen:
                self.faults.add(path, f"{shown(text)} is listed twice (first as {seen[text]})")
            elif text:
                seen[text] = path
        return tuple(seen)

    def checked(self, key: str, default: tuple[str, ...], check: Callable[[str], T]) -> tuple[T, ...]:
        """A list of texts, each turned into a value by `check`, whose ValueError is the fault."""
        items = self.sequence(key)
        result = []
        pairs = [(self.at(key), text) for text in default] if items is None else items
        for path, item in pairs:
            text = self._text(path, item)
            if text:
                try:
                    result.append(check(text))
                except ValueError as error:
                    self.faults.add(path, str(error))
        return tuple(result)

    def sequence(self, key: str, *, limit: int = 64) -> list[tuple[str, object]] | None:
        """The items of a list with their key paths; None when the key is absent or no list."""
        value = self._decoded(key)
        if value is None:
            return None
        if not isinstance(value, list | tuple):
            self.add(key, f"a list was expected, not {kind(value)}")
            return None
        if len(value) > limit:
            self.add(key, f"{len(value)} entries; {limit} is the limit")
        return [(f"{self.at(key)}[{index}]", item) for index, item in enumerate(value[:limit])]

    def mapping(self, key: str) -> dict[str, object]:
        """A mapping with text keys; empty when the key is absent or something else."""
        value = self._decoded(key)
        if value is None:
            return {}
        if not isinstance(value, dict):
            self.add(key, f"a mapping was expected, not {kind(value)}")
            return {}
        return {str(name): item for name, item in value.items()}

    def readers(self, key: str) -> list["Reader"]:
        """One reader for each mapping of a list of mappings."""
        result = []
        for path, item in self.sequence(key) or []:
            if isinstance(item, dict):
                result.append(Reader({str(name): value for name, value in item.items()}, self.faults, path))
            else:
                self.faults.add(path, f"a mapping was expected, not {kind(item)}")
        return result

    def _decoded(self, key: str) -> object:
        value = self.values.get(key)
        # The engine hands structured configuration over as JSON text.
        if isinstance(value, str) and value.lstrip()[:1] in ("[", "{"):
            try:
                return typing.cast("object", json.loads(value))
            except ValueError as error:
                self.add(key, f"not JSON: {error}")
                return None
        return value

    def _text(self, path: str, value: object) -> str:
        if isinstance(value, dict) and "secure" in value:
            self.faults.add(path, "encrypted values cannot be used here; a plain one can")
        elif not isinstance(value, str):
            self.faults.add(path, f"a text was expected, not {kind(value)}")
        elif not value.strip():
            self.faults.add(path, "empty")
        else:
            return value
        return ""


def parse_duration(text: str) -> int:
    """Seconds of "90s", "30m", "4h", "2d" or "1h30m"; raise ValueError when it is something else or nothing."""
    match = _DURATION.fullmatch(text.strip())
    if match is None or not any(match.groups()):
        unit = "; it has no unit" if re.fullmatch(r"[0-9.]+", text.strip()) else ""
        message = f"{shown(text)} is not a duration{unit}; 30m, 4h or 2d is"
        raise ValueError(message)
    seconds = sum(int(number or 0) * unit for number, unit in zip(match.groups(), _UNIT_S, strict=True))
    if seconds == 0:
        message = f"{shown(text)} is no time at all; 30m, 4h or 2d is"
        raise ValueError(message)
    return seconds


def format_duration(seconds: int) -> str:
    """Write seconds as `parse_duration` reads them."""
    parts = []
    for unit, letter in zip(_UNIT_S, "dhms", strict=True):
        number, seconds = divmod(seconds, unit)
        if number:
            parts.append(f"{number}{letter}")
    return "".join(parts) or "0s"


def suggestion(word: str, known: Iterable[str]) -> str:
    """The nearest known word as a question, or all of them."""
    names = sorted(known)
    lowered = {name.lower(): name for name in names}
    near = difflib.get_close_matches(word.lower(), lowered, n=1)
    return f"did you mean {lowered[near[0]]}?" if near else f"known: {', '.join(names)}"


def shown(value: object) -> str:
    """A value as a fault quotes it: short."""
    text = repr(value) if isinstance(value, str) else str(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


def kind(value: object) -> str:
    """What a value is, in words, without quoting it: it may be a secret."""
    names = {
        str: "a text",
        bool: "true or false",
        int: "a number",
        float: "a number",
        list: "a list",
        dict: "a mapping",
    }
    return "nothing" if value is None else names.get(type(value), type(value).__name__)


def _whole(value: object) -> int | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return value
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, str) and re.fullmatch(r"-?[0-9]{1,9}", value.strip()):
        return int(value)
    return None

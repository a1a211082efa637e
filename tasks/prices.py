"""What machine types cost an hour: the table that rules, reviews and `gaxx reap` share, with its date and sources."""

import concurrent.futures
import dataclasses
import datetime as dt
import json
import os
import pathlib
import tempfile
from collections.abc import Iterator, Mapping

from components.errors import GaxxError
from components.vendors import TOKENS, Prices, public

FREE = frozenset({"local", "qemu"})
"""Clouds that cost nothing."""
_CURRENCY = "USD an hour, without tax, transfer and backups"
_LEAST = 0.5
"""A vendor that suddenly names less than half of the types that it had is not believed."""


@dataclasses.dataclass(frozen=True, slots=True)
class Row:
    """A machine type."""

    cloud: str
    type: str
    hourly_usd: float


@dataclasses.dataclass(frozen=True, slots=True)
class Table:
    """The table of a project."""

    date: str
    """When the vendors were asked: a day, or a month."""
    sources: Mapping[str, str]
    types: Mapping[str, Mapping[str, float]]
    """Cloud to type to $/hour."""
    regions: Mapping[str, Mapping[str, float]]
    """Cloud to region to factor, where a region is dearer."""

    def hourly_usd(self, cloud: str, kind: str, region: str = "") -> float | None:
        """$/hour of a machine; None where it is not in the table."""
        if cloud in FREE:
            return 0.0
        price = self.types.get(cloud, {}).get(kind)
        return None if price is None else price * self.regions.get(cloud, {}).get(region, 1.0)

    def rows(self) -> Iterator[Row]:
        """All types, cloud by cloud, the cheapest first."""
        for cloud in sorted(self.types):
            for kind, price in sorted(self.types[cloud].items(), key=lambda entry: (entry[1], entry[0])):
                yield Row(cloud, kind, price)


@dataclasses.dataclass(frozen=True, slots=True)
class Change:
    """A type whose price is another one now; None: it is not, or was not, offered."""

    cloud: str
    type: str
    before: float | None
    after: float | None


def path_of(root: pathlib.Path) -> pathlib.Path:
    """Where a project keeps its table: in the folder of the rules that judge by it."""
    return root / "policy" / "prices.json"


def read(root: pathlib.Path) -> Table:
    """Read a project's table; raise GaxxError when there is none or it is none."""
    path = path_of(root)
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        clouds = content["clouds"]
        return Table(
            str(content["date"]),
            {name: str(cloud["source"]) for name, cloud in clouds.items()},
            {name: {kind: float(usd) for kind, usd in cloud["types"].items()} for name, cloud in clouds.items()},
            {name: {region: float(by) for region, by in cloud["regions"].items()} for name, cloud in clouds.items()},
        )
    except OSError as error:
        message = f"no table of prices at {path}: {error.strerror}"
        raise GaxxError(message) from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        message = f"{path} is no table of prices: {type(error).__name__}: {error}"
        raise GaxxError(message, hint="`git restore` it") from error


def update(root: pathlib.Path, *, today: dt.date | None = None) -> list[Change]:
    """Ask all vendors, write the table, and return what is another price now; all of them or nothing.

    Needs no token: what things cost, a vendor tells everybody. Raise VendorError, or GaxxError for an answer that is
    not to be believed.
    """
    old = read(root)
    with concurrent.futures.ThreadPoolExecutor(len(TOKENS)) as pool:
        answers = dict(zip(TOKENS, pool.map(lambda name: public(name).prices(), TOKENS), strict=True))
    for name, answer in answers.items():
        if len(answer.types) < _LEAST * len(old.types.get(name, {})):
            message = f"{name}: {answer.source} names {len(answer.types)} types, and there were {len(old.types[name])}"
            raise GaxxError(message, hint="nothing was written")
    _write(path_of(root), answers, today or dt.datetime.now(dt.UTC).date())
    return [
        Change(cloud, kind, before, after)
        for cloud, answer in answers.items()
        for kind in sorted({*old.types.get(cloud, {}), *answer.types})
        for before, after in [(old.types.get(cloud, {}).get(kind), answer.types.get(kind))]
        if before != after
    ]


def _write(path: pathlib.Path, answers: Mapping[str, Prices], today: dt.date) -> None:
    content = {
        "date": today.isoformat(),
        "currency": _CURRENCY,
        "clouds": {
            name: {
                "source": answer.source,
                "types": dict(sorted(answer.types.items())),
                "regions": dict(sorted(answer.regions.items())),
            }
            for name, answer in answers.items()
        },
    }
    # Whole or not at all: whoever judges meanwhile reads the old one.
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            json.dump(content, file, indent=2)
            file.write("\n")
        pathlib.Path(temporary).chmod(0o644)
        pathlib.Path(temporary).replace(path)
    except BaseException:
        pathlib.Path(temporary).unlink(missing_ok=True)
        raise

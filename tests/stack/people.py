"""Operators and observers of a test, each with keys of their own."""

import dataclasses
import json
import pathlib

import pytest

from tasks import identity
from tests.stack.project import Project


@dataclasses.dataclass(frozen=True, slots=True)
class Person:
    """One with an operator folder and a cache of their own."""

    name: str
    folder: pathlib.Path
    environment: dict[str, str]

    def entry(self, role: str = "operator") -> dict[str, str]:
        """As an element of `gaxx:operators`."""
        own = json.loads((self.folder / "operator.json").read_text())
        return {"name": own["name"], "role": role, "sshPublicKey": own["sshPublicKey"], "csr": own["csr"]}


def owner(project: Project) -> Person:
    """Whose project it is."""
    return Person("tester", project.home / "config/gaxx/operator", {})


def person(project: Project, name: str) -> Person:
    """Make somebody else, who works with the same stack from a controller of their own."""
    folder = project.home / f"operator-{name}"
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setenv("GAXX_OPERATOR_DIR", str(folder))
        identity.ensure(name)
    cache = project.home / f"cache-{name}"
    return Person(name, folder, {"GAXX_OPERATOR_DIR": str(folder), "XDG_CACHE_HOME": str(cache)})

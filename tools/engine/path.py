"""The first source: a `pulumi` that the person has installed."""

import os
import pathlib
import shutil

from tools.engine.errors import EngineError
from tools.engine.found import Engine, version_of

LANGUAGE_HOST = "pulumi-language-python"


def find(search_path: str | None = None) -> Engine:
    """The first usable `pulumi` on PATH. Raises EngineError naming every one that was looked at and is not."""
    unusable: list[str] = []
    for folder in (search_path if search_path is not None else os.environ.get("PATH", "")).split(os.pathsep):
        name = shutil.which("pulumi", path=folder) if folder else None
        if name is None or _is_ours(pathlib.Path(folder)):
            continue
        binary = pathlib.Path(name).absolute()
        try:
            version = version_of(binary)
        except EngineError as error:
            unusable.append(str(error))
            continue
        if not _has_language_host(binary, search_path):
            unusable.append(f"{binary} has no {LANGUAGE_HOST} beside it")
            continue
        return Engine("path", version, binary)
    raise EngineError("; ".join(unusable) or "no pulumi on PATH")


def _is_ours(folder: pathlib.Path) -> bool:
    """Whether a set-up of this project, in this clone or another, put the pulumi there: with an active venv it did."""
    return (folder.parent / "share" / "gaxx" / "engine.json").exists()


def _has_language_host(binary: pathlib.Path, search_path: str | None) -> bool:
    return (binary.resolve().parent / LANGUAGE_HOST).exists() or shutil.which(
        LANGUAGE_HOST, path=search_path
    ) is not None

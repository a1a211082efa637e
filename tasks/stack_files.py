"""The stack files of a project: where they lie and what stands in them, unchecked."""

import pathlib

from components.errors import GaxxError


def path_of(root: pathlib.Path, stack: str) -> pathlib.Path:
    """Where the configuration of a stack lies."""
    return root / "stacks" / f"Pulumi.{stack}.yaml"


def paths(root: pathlib.Path) -> list[pathlib.Path]:
    """Every stack file of the project."""
    return sorted((root / "stacks").glob("Pulumi.*.yaml"))


def configuration(root: pathlib.Path, stack: str) -> dict[str, object]:
    """Return what stands under a stack's `config`, keys as they stand there; raise GaxxError when it cannot be read."""
    import yaml

    path = path_of(root, stack)
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        reason = getattr(error, "strerror", None) or " ".join(str(error).split())
        message = f"{path}: {reason}"
        raise GaxxError(message) from error
    found = data.get("config") if isinstance(data, dict) else None
    return dict(found) if isinstance(found, dict) else {}

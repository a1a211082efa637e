"""What the stack file at hand declares, as settings: for verbs that hold what is to what ought to be."""

import yaml

from components.errors import GaxxError, SettingsError
from components.settings import Settings, parse_settings
from tasks.deploy import stack_file
from tasks.inventory import Stack


def config_of(stack: Stack) -> dict[str, object]:
    """Return the stack file's configuration, keys as they stand there; raise GaxxError when it cannot be read."""
    path = stack_file(stack.root, stack.name)
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        reason = getattr(error, "strerror", None) or " ".join(str(error).split())
        message = f"{path}: {reason}"
        raise GaxxError(message) from error
    return dict((data.get("config") if isinstance(data, dict) else None) or {})


def settings_of(stack: Stack) -> Settings:
    """Read and validate the stack's file; raise GaxxError when it cannot be, naming `gaxx check` for the details."""
    prefix = f"{stack.project}:"
    values = {
        str(key).removeprefix(prefix): value for key, value in config_of(stack).items() if str(key).startswith(prefix)
    }
    try:
        return parse_settings(values, project=stack.project, stack=stack.name)
    except SettingsError as error:
        message = f"{stack_file(stack.root, stack.name)}: {error.message}"
        raise GaxxError(message, hint="`gaxx check` says where") from error

"""What the stack file at hand declares, as settings: for verbs that hold what is to what ought to be."""

from components.errors import GaxxError, SettingsError
from components.settings import Settings, parse_settings
from tasks import stack_files
from tasks.inventory import Stack


def settings_of(stack: Stack, **instead: object) -> Settings:
    """Read and validate the stack's file, with these values `instead` of its own.

    Raise GaxxError when it cannot be; `gaxx check` has the details of what stands in the file.
    """
    prefix = f"{stack.project}:"
    config = stack_files.configuration(stack.root, stack.name)
    values = {str(key).removeprefix(prefix): value for key, value in config.items() if str(key).startswith(prefix)}
    try:
        return parse_settings({**values, **instead}, project=stack.project, stack=stack.name)
    except SettingsError as error:
        message = f"{stack_files.path_of(stack.root, stack.name)}: {error.message}"
        raise GaxxError(message, hint="" if instead else "`gaxx check` says where") from error

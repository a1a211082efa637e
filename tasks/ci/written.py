"""Write the workflow files of a project."""

import pathlib

from components.errors import GaxxError

TEMPLATES = pathlib.Path(__file__).parent / "github"
_STACK = "STACK"
_VARIABLES = ("STACK: STACK", '"$STACK"')
"""Where the word is a variable's name and not the stack's."""


def write(root: pathlib.Path, stack: str) -> list[pathlib.Path]:
    """Write the workflows for a stack below `root`; return those that were not there. What is there is kept."""
    folder = root / ".github" / "workflows"
    made = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for template in sorted(TEMPLATES.glob("*.yml")):
            path = folder / template.name.replace(_STACK, stack)
            if not path.exists():
                path.write_text(rendered(template, stack), encoding="utf-8")
                made.append(path)
    except OSError as error:
        message = f"{error.filename or folder}: {error.strerror}"
        raise GaxxError(message) from error
    return made


def rendered(template: pathlib.Path, stack: str) -> str:
    """A template with the stack's name in it."""
    lines = []
    for line in template.read_text(encoding="utf-8").splitlines(keepends=True):
        if _VARIABLES[0] in line:
            lines.append(line.replace(_VARIABLES[0], f"STACK: {stack}"))
        elif _VARIABLES[1] in line:
            lines.append(line)
        else:
            lines.append(line.replace(_STACK, stack))
    return "".join(lines)

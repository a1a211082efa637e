"""What stands at the vendors, carries this project's marks, and is in no state: asked for a review where that can be.

A review needs no token. Where none is there, or nothing of the proposed change may be acted upon, it says that nobody
was asked; it never says that there is nothing.
"""

import os
import pathlib

from components import backend
from components.errors import GaxxError
from components.vendors import TOKENS
from tasks.reap import survey
from tasks.reap.verdicts import Judged
from tasks.review.document import Json

_AGELESS_S = -86400.0
"""However young: tomorrow the same thing is to be told in the same words."""
_SHOWN = frozenset({"orphan", "locked", "unknown"})


def look(root: pathlib.Path, *, static: bool) -> Json:
    """Look for orphans; the answer is `asked`, `found`, and in `note` what was not asked and why."""
    if static:
        return _nobody("a static review asks nobody")
    if not any(os.environ.get(variable) for variable in TOKENS.values()):
        return _nobody(f"neither {' nor '.join(TOKENS.values())} is in the environment")
    fault = _backend_fault(root)
    if fault:
        return _nobody(fault)
    try:
        found = survey.survey(root, survey.Wishes(grace_s=_AGELESS_S, ask_nodes=False, this_computer=False))
    except GaxxError as error:
        return _nobody(error.message)
    asked = [cloud for cloud, variable in TOKENS.items() if os.environ.get(variable)]
    things = [_entry(thing) for thing in found.things if thing.verdict in _SHOWN]
    return {
        "asked": asked,
        "stacks": [stack.name for stack in found.stacks],
        "found": sorted(things, key=lambda entry: [str(value) for value in entry.values()]),
        "note": "; ".join((*found.faults, *found.notes)),
    }


def _backend_fault(root: pathlib.Path) -> str:
    url = backend.current_backend_url(root)
    if not url:
        return "no Pulumi backend is chosen"
    if url.startswith("file://"):
        folder = root / pathlib.Path(url.removeprefix("file://").split("?", 1)[0]).expanduser()
        if not folder.is_dir():
            return "there is no Pulumi backend here"
    return ""


def _nobody(why: str) -> Json:
    return {"asked": [], "stacks": [], "found": [], "note": why}


def _entry(thing: Judged) -> Json:
    # No age: the same review of the same things says the same.
    return {
        "stack": thing.stack,
        "cloud": thing.cloud,
        "kind": thing.found.kind,
        "name": thing.found.label or thing.found.id,
        "id": thing.found.id,
        "verdict": thing.verdict,
        "created": thing.found.created,
        "hourlyUsd": thing.hourly_usd,
        "why": thing.why,
    }

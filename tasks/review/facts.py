"""What the policy pack of a checkout reads out of a document: asked as a program, because tasks know no policy.

The answer is the pack's own (policy/facts.py): openings, machines with prices, and for a static review violations.
"""

import dataclasses
import json
import pathlib
import subprocess
import sys
import typing
from collections.abc import Mapping

from components.errors import GaxxError
from tasks.review.document import Document, Json

VERSION = 1
_LIMIT_S = 120.0


@dataclasses.dataclass(frozen=True, slots=True)
class Facts:
    """The pack's answer about one document."""

    openings: Mapping[str, Json]
    """URN to what it opens (`found`: first, last, sources) and what could not be told (`faults`)."""
    machines: Mapping[str, Json]
    """URN to cloud, type, region, image, ttl, hourlyUsd (None: no price), userDataKnown."""
    fixes: Mapping[str, str]
    """Rule to what to do."""
    prices_of: str
    violations: tuple[Json, ...]


def ask(document: Document, checkout: pathlib.Path) -> Facts:
    """Ask the pack that lies in `checkout`; raise GaxxError when it has none or gives no answer."""
    if not (checkout / "policy" / "facts.py").is_file():
        message = f"{checkout} holds no policy pack that can be asked (policy/facts.py)"
        raise GaxxError(message)
    request: dict[str, typing.Any] = {"resources": [dataclasses.asdict(resource) for resource in document.resources]}
    if document.mode == "static":
        parameters = checkout / "policy" / "parameters.json"
        configuration = json.loads(parameters.read_text(encoding="utf-8")) if parameters.is_file() else {}
        request |= {"judge": True, "configuration": configuration, "stackRegions": list(document.stack_regions)}
    done = subprocess.run(
        [sys.executable, "-m", "policy.facts"], cwd=checkout, input=json.dumps(request), capture_output=True,
        text=True, timeout=_LIMIT_S, check=False,
    )  # fmt: skip
    if done.returncode != 0:
        said = done.stderr.strip().splitlines()
        message = f"the policy pack gave no answer: {said[-1] if said else f'exit code {done.returncode}'}"
        raise GaxxError(message)
    answer = json.loads(done.stdout)
    if answer.get("version") != VERSION:
        message = f"the policy pack answers in version {answer.get('version')}, and this review reads {VERSION}"
        raise GaxxError(message)
    return Facts(
        answer["openings"], answer["machines"], answer["fixes"], answer["pricesOf"], tuple(answer["violations"])
    )

"""Two documents in, the comment and the exit code out."""

import dataclasses
import pathlib
import typing
from collections.abc import Mapping

from tasks.review import comment, facts, page
from tasks.review.comparison import compare
from tasks.review.document import Json, from_json
from tasks.review.lost import of_stack
from tasks.review.redaction import redacted_values

VERSION = 1
FORMATS = ("markdown", "json", "terminal")


def judge(request: Mapping[str, typing.Any], checkout: pathlib.Path) -> Json:
    """Answer `{"base": …, "head": …, "notes": […], "format": …, "orphans": …}`; the rules are those in `checkout`.

    Raise GaxxError when there are none, ValueError for documents of another version.
    """
    base, head = from_json(request["base"]), from_json(request["head"])
    lost = of_stack(request["orphans"], head.stack) if request.get("orphans") else None
    model = compare((base, facts.ask(base, checkout)), (head, facts.ask(head, checkout)), request["notes"], lost)
    answer: Json = {"version": VERSION, "exitCode": model.exit_code, "verdict": model.verdict}
    match request["format"]:
        case "json":
            answer["model"] = redacted_values(dataclasses.asdict(model))
        case "terminal":
            answer["text"] = page.terminal(comment.page(model))
        case _:
            answer["text"] = page.markdown(comment.page(model), start=f"{comment.marker(model.stack)}\n")
    return answer

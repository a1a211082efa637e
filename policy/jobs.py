"""Job templates, judged: `python -m policy.jobs < request.json > findings.json`.

A program, for whoever may import nothing of the pack: `gaxx policy check`.
"""

import json
import sys
import typing
from collections.abc import Iterable, Mapping

from policy.job_rules import RULES

VERSION = 1


def judge(job: Mapping[str, typing.Any], configuration: Mapping[str, typing.Any]) -> Iterable[dict[str, str]]:
    """Every finding about one template; `configuration` is the pack's: rule to level, or to level and parameters."""
    for rule in RULES:
        given = configuration.get(rule.name, rule.level)
        parameters = given if isinstance(given, dict) else {}
        level = parameters.get("enforcementLevel", rule.level) if isinstance(given, dict) else given
        if level == "disabled":
            continue
        try:
            found = list(rule.judge(job, rule.settings(parameters)))
        except Exception as error:  # noqa: BLE001 - whatever it is, it must refuse rather than end as a traceback
            found = [("", f"the rule could not judge it ({type(error).__name__}: {error}), so it is refused")]
        for key, text in found:
            yield {"rule": rule.name, "level": str(level), "key": key, "text": text, "fix": rule.fix}


def main() -> None:
    """Read `{"jobs": [template, …], "configuration": {…}}` from stdin; write the findings of each to stdout."""
    request = json.load(sys.stdin)
    answer = [list(judge(job, request.get("configuration") or {})) for job in request["jobs"]]
    json.dump({"version": VERSION, "findings": answer}, sys.stdout, ensure_ascii=False)


if __name__ == "__main__":
    main()

"""Changed job templates, as a page of their own beside those of stacks."""

import collections.abc
import dataclasses
import pathlib
import re

from tasks.review import page, templates
from tasks.review.comment import marker
from tasks.review.document import Json
from tasks.review.page import Block, Heading, Lines, Table, prose, text
from tasks.review.redaction import redacted_values

NAME = ".jobs"
"""Stands where a comment on a stack has its name; no stack is called so."""
_TEMPLATE = re.compile(r"jobs/[^/]+\.yaml")


def changed(names: collections.abc.Iterable[str], project: pathlib.Path) -> list[pathlib.Path]:
    """The templates among changed files that the head still has."""
    return [project / name for name in names if _TEMPLATE.fullmatch(name) and (project / name).is_file()]


def judged(
    paths: collections.abc.Sequence[pathlib.Path], base: pathlib.Path, head: pathlib.Path
) -> list[templates.Finding]:
    """What the base's rules have against the head's templates, with names of files relative to the project."""
    found = templates.judge(paths, base)
    return [dataclasses.replace(entry, file=str(pathlib.Path(entry.file).relative_to(head))) for entry in found]


def told(findings: collections.abc.Sequence[templates.Finding], count: int, form: str) -> tuple[str, Json | None]:
    """The page in a format of reviews: text, or a model."""
    if form == "json":
        return "", redacted_values({"templates": count, "findings": [dataclasses.asdict(entry) for entry in findings]})
    blocks = list(_blocks(findings, count))
    if form == "terminal":
        return page.terminal(blocks), None
    return page.markdown(blocks, start=f"{marker(NAME)}\n"), None


def _blocks(findings: collections.abc.Sequence[templates.Finding], count: int) -> collections.abc.Iterator[Block]:
    rules = dict.fromkeys(finding.rule or "settings" for finding in findings if finding.level == "mandatory")
    verdict = f"**refused** by {', '.join(f'`{rule}`' for rule in rules)}" if rules else "no rule broken"
    yield Heading(f"Review of job templates: {count} changed, {verdict}", level=2)
    if findings:
        yield Table(
            ("where", "rule", "level", "what", "fix"),
            tuple(
                (
                    text((f"{finding.file}:{finding.line}",)),
                    text((finding.rule,)),
                    text(finding.level, strong=finding.level == "mandatory"),
                    prose(f"{finding.key}: {finding.text}" if finding.key else finding.text),
                    prose(finding.fix),
                )
                for finding in findings
            ),
        )
    yield Lines((text("Read, and not run."),), bullets=False)

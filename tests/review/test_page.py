"""The page stays a comment, whatever is in it."""

import hypothesis
import pytest
from hypothesis import strategies as st

from tasks.review import comment, page
from tasks.review.comparison import Model, compare
from tasks.review.document import Document, Resource, Violation
from tasks.review.facts import Facts

URN = "urn:pulumi:big::gaxx::gaxx:index:Fleet"


def declared(nodes: int, *, commit: str, fleets: int = 1, **props: str) -> tuple[Document, Facts]:
    """A document of fleets with so many nodes together, and what a pack says of it."""
    resources = []
    machines = {}
    for number in range(fleets):
        name = f"fleet{number}"
        resources.append(Resource(f"{URN}::{name}", "gaxx:index:Fleet", name, "", {"cloud": "linode"}))
    for index in range(nodes):
        fleet = f"fleet{index % fleets}"
        name = f"{fleet}-{index // fleets + 1}"
        urn = f"{URN}$linode:index/instance:Instance::{name}"
        resources.append(Resource(urn, "linode:index/instance:Instance", name, f"{URN}::{fleet}", {}))
        machines[urn] = {
            "cloud": "linode", "type": "g6-standard-2", "region": "nl-ams", "image": "linode/debian12", "ttl": "4h",
            "hourlyUsd": 0.036, "userDataKnown": False, **props,
        }  # fmt: skip
    return (
        Document("big", commit, "declared", resources=tuple(resources)),
        Facts({}, machines, {"some-rule": "do it right"}, "2025-08", ()),
    )


def said(model: Model) -> str:
    return page.markdown(comment.page(model), start=comment.marker(model.stack))


def test_three_hundred_nodes_are_a_few_lines() -> None:
    text = said(compare(declared(0, commit="aaaa"), declared(300, commit="bbbb")))

    assert "create `fleet0-[1-300]`" in text
    assert "$10.800" in text
    assert len(text) < 2500
    assert len(text.splitlines()) < 40


def test_three_hundred_different_fleets_still_are_a_comment() -> None:
    text = said(compare(declared(300, commit="aaaa", fleets=300), declared(300, commit="b", fleets=300, image="x/1")))

    assert len(text) < page.COMMENT_LIMIT
    assert "and 240 more rows" in text


def test_thousands_of_long_violations_are_cut_below_the_limit_and_that_is_said() -> None:
    before, (document, facts) = declared(1, commit="aaaa"), declared(1, commit="bbbb")
    violations = tuple(Violation("some-rule", "mandatory", "", f"{n} {'wrong ' * 400}") for n in range(2000))
    noisy = Document("big", "bbbb", "declared", resources=document.resources, violations=violations)
    model = compare(before, (noisy, facts))

    assert model.exit_code == 2
    assert len(said(model)) < page.COMMENT_LIMIT


def test_an_engine_that_failed_is_no_pass() -> None:
    before, (document, facts) = declared(1, commit="aaaa"), declared(1, commit="bbbb")
    failed = Document("big", "bbbb", "declared", resources=document.resources, failure="ZeroDivisionError: <b>")
    model = compare(before, (failed, facts))

    assert model.exit_code == 1
    assert "**the preview failed**" in said(model)
    assert "no rule broken" not in said(model)


@pytest.mark.parametrize("kind", ["code", "prose"])
@hypothesis.given(words=st.text(max_size=400))
def test_words_of_others_start_nothing(kind: page.Kind, words: str) -> None:
    line = page.markdown([page.Table(("a",), ((page.Text(((words, kind),)),),))])
    (row,) = line.splitlines()[2:]

    assert row.startswith("| ")
    assert row.endswith(" |")
    outside = "".join(row[1:-1].split("`")[::2])
    assert not set(outside) & set("|@#<>*_[]!~\\&")
    assert row.count("`") % 2 == 0
    assert "//" not in outside

"""Names on the nodes: which globs mean what, and which names of a node's are believed."""

import contextlib
import os
import pathlib

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent.files.found import find
from agent.files.territory import Territory
from components.errors import GaxxError, Refused
from tasks.files import names


@pytest.mark.parametrize(
    ("glob", "folder", "pattern"),
    [
        ("out/*.png", "out", "*.png"),
        ("out/**/*.png", "out", "**/*.png"),
        ("out", "", "out"),
        ("a/b/c", "a/b", "c"),
        ("./a//b/", "a", "b"),
        ("/var/log/*.log", "/var/log", "*.log"),
        ("/etc", "/", "etc"),
        ("*", "", "*"),
        (".", "", "*"),
        ("[ab]/c", "", "[ab]/c"),
    ],
)
def test_a_glob_is_split_where_its_wildcards_begin(glob: str, folder: str, pattern: str) -> None:
    assert names.split_glob(glob) == (folder, pattern)


@pytest.mark.parametrize("glob", ["../x", "a/../b", "a/..", "a\0b"])
def test_a_glob_that_climbs_is_refused(glob: str) -> None:
    with pytest.raises(Refused, match="neither"):
        names.split_glob(glob)


@pytest.mark.parametrize("glob", ["", "/", "//"])
def test_a_glob_that_names_nothing_is_said_so(glob: str) -> None:
    with pytest.raises(GaxxError, match="names no file"):
        names.split_glob(glob)


@pytest.mark.parametrize(
    "name",
    [
        "", "/etc/passwd", "../x", "a/../x", "a/..", "..", ".", "./a", "a//b", "a/", "a\0b", "x" * 256,
        "/".join(["deep" * 50] * 30), ".gaxx-get-0/x", "a/.gaxx-get-1",
    ],
)  # fmt: skip
def test_a_name_that_could_lead_anywhere_is_unsafe(name: str) -> None:
    assert names.why_unsafe(name)


@pytest.mark.parametrize("name", ["a", "a/b", "a b", "..a", "a..", "...", "-rf", "ü/\n", "a\\..\\b", ".hidden"])
def test_an_odd_but_plain_name_is_safe(name: str) -> None:
    assert names.why_unsafe(name) == ""


@pytest.mark.parametrize(
    ("path", "pattern", "asked"),
    [
        ("1.png", "*.png", True),
        ("1.png/inside/deep", "*.png", True),
        (".hidden.png", "*.png", False),
        (".git/hooks/post-commit", "*", False),
        (".git/hooks/post-commit", "*.png", False),
        ("Makefile", "*.png", False),
        ("x/1.png", "*.png", False),
        ("x/1.png", "**/*.png", True),
        ("x/y/z/1.png", "**/*.png", True),
        ("1.png", "**/*.png", True),
        ("x/.y/1.png", "**/*.png", False),
        ("out", "out", True),
        ("out/.hidden", "out", True),
        ("output", "out", False),
        ("a/b", "**", True),
    ],
)
def test_only_what_was_asked_for_is_taken(path: str, pattern: str, asked: bool) -> None:
    assert names.is_asked_for(path, pattern) is asked


@pytest.mark.parametrize(
    ("path", "pattern", "leads"),
    [("a", "a/b", True), ("b", "a/b", False), ("x", "**/c", True), (".x", "**/c", False), ("a", "a", True)],
)
def test_a_folder_is_searched_only_where_something_may_match(path: str, pattern: str, leads: bool) -> None:
    assert names.leads_on(path, pattern) is leads


def test_many_stars_are_matched_at_once() -> None:
    # With backtracking this would not end.
    assert not names.is_asked_for("/".join(["a"] * 1500), "/".join(["**", "a"] * 12 + ["b"]))


PART = st.sampled_from(["a", "b", "ab", ".h", "*", "a*", "?", "[ab]", "**", ".*"])
NAME = st.sampled_from(["a", "b", "ab", ".h", "c"])


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    paths=st.lists(st.lists(NAME, min_size=1, max_size=4).map("/".join), min_size=1, max_size=6),
    pattern=st.lists(PART, min_size=1, max_size=4).map("/".join),
)
def test_a_controller_takes_exactly_what_an_agent_would_send(
    tmp_path_factory: pytest.TempPathFactory, paths: list[str], pattern: str
) -> None:
    home = tmp_path_factory.mktemp("work") / "ada"
    home.mkdir()
    for path in paths:
        with contextlib.suppress(FileExistsError, NotADirectoryError, IsADirectoryError):
            (home / path).parent.mkdir(parents=True, exist_ok=True)
            (home / path).write_text("x")
    sent = set()
    with contextlib.suppress(FileNotFoundError):
        for found in find(Territory(home.parent, []), home, "", [pattern]):
            sent.add(found.path)
            if found.descriptor >= 0:
                os.close(found.descriptor)
    everything = {str(path.relative_to(home)) for path in pathlib.Path(home).rglob("*")}
    assert {path for path in everything if names.is_asked_for(path, pattern)} == sent

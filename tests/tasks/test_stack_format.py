"""`gaxx fmt` changes how a stack file looks, and never what it says."""

import os
import pathlib
import subprocess
import sys
import textwrap

import hypothesis
import pytest
import yaml
from hypothesis import strategies as st

from components.errors import GaxxError
from tasks.stack_format import formatted

ROOT = pathlib.Path(__file__).resolve().parents[2]


def said(text: str) -> str:
    return formatted(textwrap.dedent(text))


@pytest.mark.parametrize("path", sorted(ROOT.glob("stacks/**/Pulumi.*.yaml")), ids=lambda path: path.name)
def test_stack_files_that_come_along_are_in_form(path: pathlib.Path) -> None:
    assert formatted(path.read_text()) == path.read_text()


def test_indentation_spaces_and_blank_lines_are_one_way() -> None:
    assert said("""\


        # a stack
        config:
            gaxx:ttl:    4h   # then it ends


            # the machines
            gaxx:fleets:
            -   name:  demo
                nodes: 3
                # who reaches it
                sshCidrs:
                - 203.0.113.7/32   # home
                -    10.0.0.0/8
            - name: other



        """) == textwrap.dedent("""\
        # a stack
        config:
          gaxx:ttl: 4h   # then it ends

          # the machines
          gaxx:fleets:
            - name: demo
              nodes: 3
              # who reaches it
              sshCidrs:
                - 203.0.113.7/32   # home
                - 10.0.0.0/8
            - name: other
        """)


def test_texts_of_several_lines_move_as_a_whole() -> None:
    assert said("""\
        config:
           gaxx:operators:
           - name: ada
             csr: |
                 -----BEGIN
                   indented

                 # no comment
                 -----END
             role: >-
               op
               erator
           gaxx:ttl: 4h
        """) == textwrap.dedent("""\
        config:
          gaxx:operators:
            - name: ada
              csr: |
                  -----BEGIN
                    indented

                  # no comment
                  -----END
              role: >-
                op
                erator
          gaxx:ttl: 4h
        """)


def test_flow_collections_and_quotes_stay() -> None:
    text = 'config:\n  a:fleets: [{name: "x", env: {A: \'1\'}},\n    {name: y}]\n  b:c: "two\n    lines"\n'

    assert formatted(text) == text


def test_windows_line_ends_go() -> None:
    assert formatted("config:\r\n    a:b: 1\r\n") == "config:\n  a:b: 1\n"


@pytest.mark.parametrize("text", ["", "\n\n", "# only a comment\n", "config:\n", "config: {}\n", "config:\n  a:b:\n"])
def test_files_of_nearly_nothing_stay(text: str) -> None:
    assert yaml.safe_load(formatted(text)) == yaml.safe_load(text)


def test_what_is_no_yaml_is_one_line_with_its_place() -> None:
    with pytest.raises(GaxxError, match=r"^x\.yaml:2: not YAML: "):
        formatted("a: 1\n\tb: 2\n", "x.yaml")


def test_the_command_names_what_it_changes_and_check_changes_nothing(project: pathlib.Path) -> None:
    path = project / "stacks" / "Pulumi.x.yaml"
    path.write_text("config:\n    a:b:   1 # kept\n")

    def fmt(*words: str) -> "subprocess.CompletedProcess[str]":
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        line = [sys.executable, "-m", "tasks.cli.main", "fmt", *words]
        return subprocess.run(line, cwd=project, env=environment, capture_output=True, text=True, check=False)

    would = fmt("--check")
    assert (would.returncode, would.stdout) == (1, f"{path}\n")
    assert path.read_text() == "config:\n    a:b:   1 # kept\n"
    did = fmt("--stack", "x")
    assert (did.returncode, did.stdout) == (0, f"{path}\n")
    assert path.read_text() == "config:\n  a:b: 1 # kept\n"
    assert fmt("--check").returncode == 0
    assert fmt("nowhere.yaml").stderr == "gaxx: nowhere.yaml: No such file or directory\n"


_words = st.text("abc #:-'\"[]{}&*!|>%@\n é", max_size=8)
_values = st.recursive(
    st.one_of(_words, st.integers(), st.booleans(), st.none()),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(_words, inner, max_size=3)),
    max_leaves=12,
)


@hypothesis.settings(max_examples=300)
@hypothesis.given(
    value=st.dictionaries(_words, _values, min_size=1, max_size=4),
    indent=st.integers(2, 6),
    style=st.sampled_from([None, "|", '"', "'", ">"]),
    flow=st.sampled_from([None, False]),
)
def test_any_value_stays_and_a_second_time_changes_nothing(
    value: dict[str, object], indent: int, style: str | None, flow: bool | None
) -> None:
    text = yaml.safe_dump(value, indent=indent, default_style=style, default_flow_style=flow, allow_unicode=True)
    try:
        once = formatted(text)
    except GaxxError:
        return  # refused rather than changed
    assert yaml.safe_load(once) == yaml.safe_load(text)
    assert formatted(once) == once

"""Items never become part of a program's text."""

import os
import subprocess

import hypothesis
import pytest
from hypothesis import strategies as st

from components.errors import Refused
from tasks.work import shell
from tasks.work.placeholders import Template

NASTY = st.binary(max_size=40).map(lambda data: data.replace(b"\0", b"")) | st.sampled_from(
    [b"$(touch pwned)", b"'; touch pwned; '", b'"; touch pwned; "', b"`touch pwned`", b"{}", b"-n", b"a\nb", b"\\"]
)


@pytest.mark.parametrize(
    "argv",
    [
        [b"sh", b"-c", b"echo {}"],
        [b"/bin/bash", b"-lc", b"echo {/}", b"bash"],
        [b"env", b"A=b", b"sh", b"-e", b"-c", b"echo {.}"],
        [b"timeout", b"5", b"dash", b"-c", b"echo {#} {}"],
        [b"python3.11", b"-c", b"print('{}')"],
        [b"perl", b"-ne", b"print '{}'"],
        [b"node", b"--eval", b"'{}'"],
        [b"su", b"someone", b"-c", b"ls {}"],
    ],
)
def test_a_placeholder_in_a_program_text_is_refused_with_the_way_to_do_it(argv: list[bytes]) -> None:
    with pytest.raises(Refused, match="items are data") as caught:
        shell.guard(argv)
    assert '"$GAXX_ITEM"' in caught.value.hint


@pytest.mark.parametrize(
    "argv",
    [
        [b"sh", b"-c", b'echo "$1"', b"sh", b"{}"],
        [b"sh", b"script.sh", b"{}"],
        [b"convert", b"-c", b"{}"],
        [b"sh", b"-c", b'echo "$GAXX_ITEM"'],
    ],
)
def test_a_placeholder_beside_a_program_text_is_not(argv: list[bytes]) -> None:
    shell.guard(argv)


@pytest.mark.parametrize(
    "script",
    [
        b"printf %s {}",
        b'printf %s "{}"',
        b"printf %s '{}'",
        b'printf %s "$(printf %s {})"',
        b'printf %s "$(printf %s "{}")"',
        b'x={}; (printf %s "$x")',
    ],
)
@hypothesis.given(item=NASTY)
@hypothesis.settings(max_examples=25, deadline=None)
def test_a_quoted_script_sees_the_items_bytes_and_runs_none_of_them(script: bytes, item: bytes) -> None:
    argv = Template(shell.quoted([b"sh", b"-c", script])).command(item, 0)
    shown = subprocess.run(argv, stdout=subprocess.PIPE, check=True, env={"PATH": os.defpath}).stdout
    # Command substitution drops trailing newlines, here as everywhere.
    assert shown == (item if b"$(" not in script else item.rstrip(b"\n"))


def test_a_quoted_script_keeps_its_own_arguments() -> None:
    argv = Template(shell.quoted([b"sh", b"-c", b'echo "$0" "$1" {} "$#"', b"name", b"mine"])).command(b"item", 0)
    assert subprocess.check_output(argv) == b"name mine item 1\n"


def test_with_shell_any_command_is_one_script() -> None:
    argv = Template(shell.quoted([b"echo {} | tr a-z A-Z;", b"echo {#}"])).command(b"some item", 0)
    assert subprocess.check_output(argv) == b"SOME ITEM\n1\n"


@pytest.mark.parametrize("script", [b"echo `ls {}`", b"cat <<E\n{}\nE", b"echo $'{}'", b"true # {}"])
def test_a_place_whose_quoting_cannot_be_told_is_refused(script: bytes) -> None:
    with pytest.raises(Refused, match="cannot tell the quoting"):
        shell.quoted([b"sh", b"-c", script])


def test_another_language_is_not_quoted_for() -> None:
    with pytest.raises(Refused, match="cannot quote for python"):
        shell.quoted([b"python3", b"-c", b"print({})"])

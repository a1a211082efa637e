"""What an enrolment makes of a jump host that cannot be used, and of one that leads to a machine which still boots."""

import contextlib
import dataclasses
import socket
import time
import typing

import pytest

from components.authority import Authority
from components.jump_host import JumpHostError
from components.provider import enrolling
from components.provider.context import Context, EngineLog
from components.provider.enrolling import Enroller
from components.provider.enrolment import Enrolment, _applies
from components.provider.ssh_session import Endpoint, Login
from components.provider.wire import Properties

AUTHORITY = Authority.create("gaxx demo")
CONTEXT = Context("urn:pulumi:demo::gaxx::gaxx:index:Enrolment::demo-1-enrolment", EngineLog(""), AUTHORITY.pem)
INPUTS: Properties = {"node": "demo-1", "fleet": "demo"}


@pytest.fixture
def nobody() -> str:
    """Where no jump host is."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return f"ada@127.0.0.1:{server.getsockname()[1]}"


async def test_one_that_is_not_there_is_waited_for_briefly_and_named(
    nobody: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(enrolling, "JUMP_LIMIT_S", 0.7)
    endpoint = Endpoint("demo-1", "192.0.2.9", 22, (), nobody)
    begin = time.monotonic()

    with contextlib.ExitStack() as stack, pytest.raises(JumpHostError) as caught:
        await Enroller(CONTEXT, INPUTS)._contact(stack, endpoint, Login("gaxx-enrol", ""), patience_s=600)

    assert str(caught.value) == f"demo-1: the jump host {nobody}: connection refused"
    assert time.monotonic() - begin > 0.7, "it may have been a moment's trouble"


STATE: Properties = {
    **dict.fromkeys(Enrolment.inputs, "same"),
    "jumpHost": "old",
    "certificateExpires": time.time() + 10**7,
}


@pytest.mark.parametrize(
    ("changes", "applies"), [({"jumpHost": "new"}, False), ({"jumpHost": None}, False), ({"address": "x"}, True)]
)
def test_another_jump_host_is_nothing_that_a_node_gets_to_know(changes: dict[str, typing.Any], applies: bool) -> None:
    assert _applies(STATE, {**STATE, **changes}) is applies


def test_an_enrolment_from_before_there_were_jump_hosts_has_none() -> None:
    from components.provider.enrolment import _endpoint

    old = {"node": "demo-1", "sshHost": "192.0.2.9", "sshPort": 22}
    assert _endpoint(old, ()) == Endpoint("demo-1", "192.0.2.9", 22, ())
    assert _endpoint({**old, "jumpHost": "ada@b"}, ()) == dataclasses.replace(_endpoint(old, ()), jump_host="ada@b")
